"""What callers may send to /v1/embeddings, read into a `Submission`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import msgspec

from services.gateway.exchange import Denied, Endpoint, Message, Submission
from services.gateway.request_body import BODY_BYTES_MAX, Arrival, Identifier, Strict, decode, refuse
from services.gateway.tokens import ENCODING, table

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
    """One text or several, as text or as token ids: what the controls see is what is embedded."""
    if isinstance(read, str):
        texts: tuple[str, ...] = (read,)
    elif read and all(isinstance(item, int) for item in read):
        texts = _decoded([cast("list[int]", read)])
    elif read and all(isinstance(item, list) for item in read):
        texts = _decoded(cast("list[list[int]]", read))
    else:
        texts = tuple(item for item in read if isinstance(item, str))
        if len(texts) != len(read):
            refuse("input", "invalid_value", "input must be texts or token ids, not some of each.")
    if not 1 <= len(texts) <= EMBEDDING_TEXTS_MAX:
        refuse("input", "invalid_value", f"input must hold 1 to {EMBEDDING_TEXTS_MAX} texts.")
    if not all(texts):
        refuse("input", "invalid_value", "input must not hold an empty text.")
    return texts


def _decoded(read: Sequence[Sequence[int]]) -> tuple[str, ...]:
    known = table()
    if len(read) > EMBEDDING_TEXTS_MAX or not all(0 <= token < len(known) for ids in read for token in ids):
        refuse("input", "invalid_value", f"Token ids must be those of {ENCODING}, from 0 to {len(known) - 1}.")
    # A token can stand for 128 bytes: what a body may not hold must not come out of it either.
    if sum(known.size_bytes(ids) for ids in read) > BODY_BYTES_MAX:
        raise Denied(
            "schema",
            "token ids stand for too much text",
            status=400,
            code="context_length_exceeded",
            public=f"The token ids stand for more than {BODY_BYTES_MAX} bytes of text.",
            param="input",
        )
    return tuple(known.text(ids) for ids in read)
