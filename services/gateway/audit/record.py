"""A record of the audit chain in its canonical form, and the hash that links it to the next.

Canonical: JSON in UTF-8, keys sorted, no white space, no NaN or infinity. The hash is that of a leaf in
RFC 9162, SHA-256(0x00 ‖ canonical bytes), so a chain is at the same time the leaves of a Merkle tree.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

GENESIS: Final = "genesis"  # first record of a chain
END: Final = "end"  # last record of a chain whose writer ended in order
HEARTBEAT: Final = "heartbeat"  # says that an idle writer is alive
RECOVERY: Final = "recovery"  # says where another chain ended that lost its writer
INTENT: Final = "intent"
CLOSING_KINDS: Final = ("outcome", "refusal")  # either closes an intent

NO_HASH: Final = bytes(32)  # what the first record has in place of its predecessor's hash
BODY_BYTES_MAX: Final = 64 * 1024
NAME_LENGTH_MAX: Final = 200

Value = str | int | float | bool | list[str] | None
Body = Mapping[str, str | int | float | bool | tuple[str, ...] | list[str] | None]


class RecordError(Exception):
    """A record cannot be written in canonical form, or a stored text is not in it."""


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parts of a record, by the names they have in its text."""

    body: dict[str, Value]
    chain: str
    kind: str
    previous_hash: str
    request_id: str
    seq: int
    ts: str
    version: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one record is to say, already in canonical text, before it has its place in a chain."""

    kind: str
    request_id: str
    kind_json: str
    request_id_json: str
    body_json: str


class Row(msgspec.Struct, frozen=True, gc=False):
    """A record as the audit store holds it."""

    seq: int
    kind: str
    request_id: str
    record: str
    hash: bytes


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Fields)


def canonical(value: object) -> bytes:
    """The one byte form of a value of JSON types."""
    return _encoder.encode(value)


def leaf_hash(record: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + record).digest()


def timestamp(moment: datetime) -> str:
    """UTC with microseconds, always of the same length."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def entry(kind: str, request_id: str, body: Body) -> Entry:
    """What is to be recorded, encoded; RecordError when it has no canonical form."""
    if len(kind) > NAME_LENGTH_MAX or len(request_id) > NAME_LENGTH_MAX or "\x00" in kind or "\x00" in request_id:
        raise RecordError(f"kind and request_id must have no NUL and at most {NAME_LENGTH_MAX} characters")
    try:
        encoded = canonical(body)
        names = (canonical(kind).decode(), canonical(request_id).decode())
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{kind} has no canonical form: {error}") from None
    if len(encoded) > BODY_BYTES_MAX:
        raise RecordError(f"{kind}: body must have at most {BODY_BYTES_MAX} bytes (got {len(encoded)})")
    if b"null" in encoded:
        _require_finite(kind, body)
    return Entry(kind, request_id, *names, encoded.decode())


def _require_finite(kind: str, body: Body) -> None:
    """JSON has no infinite numbers and no NaN: the encoder quietly writes null for them."""
    for name, value in body.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise RecordError(f"{kind}: body.{name} must be a finite number (got {value})")


def row(chain: str, seq: int, previous_hash: bytes, added: Entry, ts: str) -> Row:
    """The next record of a chain, whose id is a UUID; `ts` is a `timestamp`: neither has a character to be escaped.

    Written out in the order of the keys, as the encoder would write a dict of the same parts.
    """
    record = (
        f'{{"body":{added.body_json},"chain":"{chain}","kind":{added.kind_json},'
        f'"previous_hash":"{previous_hash.hex()}","request_id":{added.request_id_json},'
        f'"seq":{seq},"ts":"{ts}","version":1}}'
    )
    return Row(seq, added.kind, added.request_id, record, leaf_hash(record.encode()))


def parse(record: str) -> Fields:
    """The parts of a stored record; RecordError unless it is exactly the canonical text of them."""
    text = record.encode()
    try:
        fields = _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordError(f"is not a record: {error}") from None
    if canonical(fields) != text:
        raise RecordError("is not in canonical form")
    return fields
