"""The central LLM gateway: every prompt and every answer of every workload passes through it."""
