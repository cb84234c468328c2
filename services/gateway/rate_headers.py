"""x-ratelimit-*: what the limiter's own decision left over, in OpenAI's header names.

OpenAI's clients know one kind of tokens, the limiter two: told is the one of input and output that is
nearer to its end. `reset` is when all of it is there again, as a duration in seconds ("1.500s").
"""

from __future__ import annotations

from collections.abc import Iterator

from services.gateway.exchange import Allowance, Rate

Headers = list[tuple[bytes, bytes]]


def rate_headers(allowance: Allowance | None) -> Headers:
    """None: nothing was counted, and nothing is said."""
    if allowance is None:
        return []
    tokens = min(allowance.input_tokens, allowance.output_tokens, key=_share_left)
    return [*_named(b"requests", allowance.requests), *_named(b"tokens", tokens)]


def _share_left(rate: Rate) -> float:
    return rate.remaining / max(1, rate.limit)


def _named(name: bytes, rate: Rate) -> Iterator[tuple[bytes, bytes]]:
    yield b"x-ratelimit-limit-" + name, b"%d" % rate.limit
    yield b"x-ratelimit-remaining-" + name, b"%d" % max(0, rate.remaining)
    yield b"x-ratelimit-reset-" + name, b"%d.%03ds" % divmod(max(0, rate.reset_ms), 1000)
