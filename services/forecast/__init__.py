"""The forecast: how many tokens each model will be asked for, which replicas that needs, and what they cost."""
