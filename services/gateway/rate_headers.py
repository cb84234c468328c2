"""x-ratelimit-*: what the limiter's own decision left over, in OpenAI's header names.

OpenAI's clients know one kind of tokens, the limiter two: told is the one of input and output that is
nearer to its end. `reset` is when all of it is there again, as a duration in seconds ("1.500s").
"""

from __future__ import annotations

from services.gateway.exchange import Allowance, Rate

Headers = list[tuple[bytes, bytes]]

_REQUESTS = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_TOKENS = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")


def rate_headers(allowance: Allowance | None) -> Headers:
    """None: nothing was counted, and nothing is said."""
    if allowance is None:
        return []
    tokens = min(allowance.input_tokens, allowance.output_tokens, key=_share_left)
    return _named(_REQUESTS, allowance.requests) + _named(_TOKENS, tokens)


def _share_left(rate: Rate) -> float:
    return rate.remaining / max(1, rate.limit)


def _named(names: tuple[bytes, bytes, bytes], rate: Rate) -> Headers:
    limit, remaining, reset = names
    return [
        (limit, b"%d" % rate.limit),
        (remaining, b"%d" % max(0, rate.remaining)),
        (reset, b"%d.%03ds" % divmod(max(0, rate.reset_ms), 1000)),
    ]
