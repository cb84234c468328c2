"""The most a request can cost: sound bounds in tokens, and their price.

No tokenizer in use makes more tokens than the text has UTF-8 bytes, so bytes bound tokens without
knowing the model.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from hashlib import sha256

from services.gateway.exchange import Grounded, ModelOffer, Role, Submission, Usage

FRAME_BYTES_MAX = 2_048  # what fencing and placeholders may add
CONTEXT_BYTES_MAX = 16_384  # passages
MESSAGE_BYTES = 16  # a turn's markers in a chat template
# What one image can become: the most that Qwen-VL makes of one by default; Claude, Nova and GPT make fewer.
IMAGE_TOKENS_MAX = 16_384

_MILLION = Decimal(1_000_000)


def price(model: ModelOffer, usage: Usage) -> Decimal:
    """US dollars for `usage`: each class of tokens at its own price."""
    fresh = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    read, written = _cache_prices(model)
    return (
        model.usd_per_million_input_tokens * fresh
        + read * usage.cache_read_tokens
        + written * usage.cache_write_tokens
        + model.usd_per_million_output_tokens * usage.output_tokens
    ) / _MILLION


def price_max(model: ModelOffer, input_tokens: int, output_tokens: int) -> Decimal:
    """US dollars that a call cannot exceed, whatever the backend's cache does with its input."""
    dearest = max(model.usd_per_million_input_tokens, *_cache_prices(model))
    return (dearest * input_tokens + model.usd_per_million_output_tokens * output_tokens) / _MILLION


def price_digest(model: ModelOffer) -> str:
    """sha256:<64 hex> of the model's prices: what a record names, so that its cost can be computed again."""
    read, written = _cache_prices(model)
    usual, output = model.usd_per_million_input_tokens, model.usd_per_million_output_tokens
    return _digest_of(model.id, usual, output, read, written)


@lru_cache(maxsize=1024)
def _digest_of(name: str, *usd_per_million: Decimal) -> str:
    """Of input, output, cache reads and cache writes, in the shortest writing of each number."""
    words = [name, *(format(usd.normalize(), "f") for usd in usd_per_million)]
    return f"sha256:{sha256(chr(10).join(words).encode()).hexdigest()}"


def _cache_prices(model: ModelOffer) -> tuple[Decimal, Decimal]:
    """Of reading and of writing; a price that nobody gave is that of other input."""
    read, written = model.usd_per_million_cache_read_tokens, model.usd_per_million_cache_write_tokens
    usual = model.usd_per_million_input_tokens
    return usual if read is None else read, usual if written is None else written


def caller_tokens_max(submission: Submission) -> int:
    """What the caller's own text can become, once."""
    total = len(submission.messages) * MESSAGE_BYTES
    for message in submission.messages:
        total += size_bytes(message.text) + IMAGE_TOKENS_MAX * len(message.images)
        for call in message.tool_calls:
            total += size_bytes(call.name) + size_bytes(call.arguments)
    for tool in submission.tools:
        total += size_bytes(tool.name) + size_bytes(tool.description) + size_bytes(tool.parameters)
    return total + size_bytes(submission.parameters.response_format or "")


def output_tokens_max(submission: Submission, role: Role) -> int:
    """What may come back in all answers: of each the caller's wish, never more than the role's limit."""
    if not submission.endpoint.generates:
        return 0
    most = role.limits.output_tokens_max
    return min(submission.parameters.output_tokens_max or most, most) * submission.choices


def added_tokens_max(submission: Submission, role: Role) -> int:
    """What the gateway adds for each answer: template, passages, the registered schemas of tools."""
    if not submission.endpoint.generates:
        return 0
    schemas = sum(size_bytes(role.tools.get(tool.name, "")) for tool in submission.tools)
    context = CONTEXT_BYTES_MAX if role.collections else 0
    return (size_bytes(role.template.system) + FRAME_BYTES_MAX + context + schemas) * submission.choices


def prompt_tokens_max(grounded: Grounded) -> int:
    """The whole prompt as it was sent: what is charged when a backend does not count."""
    messages = sum(
        MESSAGE_BYTES + size_bytes(message.text) + IMAGE_TOKENS_MAX * len(message.images)
        for message in grounded.governed.messages
    )
    calls = sum(size_bytes(call.arguments) for message in grounded.governed.messages for call in message.tool_calls)
    tools = sum(size_bytes(tool.description) + size_bytes(tool.parameters) for tool in grounded.governed.tools)
    return size_bytes(grounded.system) + messages + calls + tools


def size_bytes(text: str) -> int:
    """UTF-8 bytes of `text`, without encoding it when it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())
