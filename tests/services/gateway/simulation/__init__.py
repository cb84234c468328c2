"""A deterministic simulation: one seed decides time, the order of events, and what the network does."""
