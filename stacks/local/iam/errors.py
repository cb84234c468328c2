"""One error: a policy or a request that cannot be judged. Whoever catches it must deny."""


class PolicyError(ValueError):
    """Says where in the document the fault is and what is allowed there."""
