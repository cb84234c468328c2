"""What callers may send to /v1/embeddings, read into a `Submission`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from services.gateway.exchange import Endpoint, Message, Submission
from services.gateway.request_body import Arrival, Identifier, Strict, decode, refuse

EMBEDDING_TEXTS_MAX = 256


class EmbeddingBody(Strict, frozen=True):
    model: Identifier
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None
    user: str | None = None  # accepted for compatibility and not forwarded: who asks is in the token


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    submission: Submission
    base64: bool


_decoder = msgspec.json.Decoder(EmbeddingBody)


def read_embedding(arrival: Arrival, body: bytes, *, dimensions: int) -> EmbeddingRequest:
    """The embedding submission in `body`: one user message a text. `dimensions` are those that vectors have."""
    read = decode(body, _decoder)
    if read.dimensions not in (None, dimensions):
        refuse("dimensions", "invalid_value", f"Vectors have {dimensions} dimensions: ask for these, or name none.")
    submission = Submission(
        request_id=arrival.request_id,
        client_request_id=arrival.client_request_id,
        received_at=arrival.received_at,
        endpoint=Endpoint.EMBEDDINGS,
        bearer=arrival.bearer,
        model=read.model,
        messages=tuple(Message("user", text) for text in _texts(read.input)),
    )
    return EmbeddingRequest(submission, read.encoding_format == "base64")


def _texts(read: str | list[str | int | list[int]]) -> tuple[str, ...]:
    texts = (read,) if isinstance(read, str) else tuple(read)
    if not 1 <= len(texts) <= EMBEDDING_TEXTS_MAX:
        refuse("input", "invalid_value", f"input must hold 1 to {EMBEDDING_TEXTS_MAX} texts.")
    strings = tuple(text for text in texts if isinstance(text, str))
    if len(strings) != len(texts):
        refuse(
            "input",
            "unsupported_value",
            "input must be text: token ids would pass the personal-data controls unseen. "
            "With LangChain set check_embedding_ctx_length=False.",
        )
    if not all(strings):
        refuse("input", "invalid_value", "input must not hold an empty text.")
    return strings
