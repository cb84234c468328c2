"""A signed head: what an outsider needs to know that a chain has not been changed or cut since.

A head states, under a key that the audit store has no part in: chain X has N records, the last one has this
hash, and the Merkle tree (RFC 9162) over all N has this root. It lies in the log archive, which nobody can
overwrite, as `heads/<chain>/<20-digit seq>.json`:

    {"head": "<canonical JSON of the statement>", "signature": "<base64 ECDSA over SHA-384 of that text>"}
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.audit.merkle import Frontier
from services.gateway.audit.record import canonical, timestamp

PREFIX = "heads/"


class HeadError(Exception):
    """An object under heads/ is not a head."""


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. `peaks` are the roots of the tree's full subtrees: with them a successor can go on."""

    chain: str
    hash: str
    peaks: list[str]
    root: str
    sealed_at: str
    sealer: str  # the chain whose writer signed: itself, or the one that took it over
    seq: int
    version: int

    @property
    def size(self) -> int:
        return self.seq + 1

    def frontier(self) -> Frontier:
        return Frontier(self.size, [bytes.fromhex(peak) for peak in self.peaks])


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: str
    signature: str


@dataclass(frozen=True, slots=True)
class Head:
    """A statement with the text that was signed and the signature; not verified by being one."""

    statement: Statement
    text: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class StoredHead:
    """One version of one object under heads/. `content` is None for a delete marker."""

    name: str
    content: bytes | None


def state(chain: UUID, frontier: Frontier, last_hash: bytes, sealer: UUID, moment: datetime) -> bytes:
    """The text to sign. Below 4,096 bytes for any size, the most that KMS signs as it is."""
    return canonical(
        Statement(
            chain=str(chain),
            hash=last_hash.hex(),
            peaks=[peak.hex() for peak in frontier.peaks],
            root=frontier.root().hex(),
            sealed_at=timestamp(moment),
            sealer=str(sealer),
            seq=frontier.size - 1,
            version=1,
        )
    )


def name(chain: UUID | str, seq: int) -> str:
    """Sorted by name is sorted by seq."""
    return f"{PREFIX}{chain}/{seq:020}.json"


def seal(text: bytes, signature: bytes) -> bytes:
    return canonical(_Sealed(text.decode(), base64.b64encode(signature).decode()))


def open_sealed(stored_name: str, sealed: bytes) -> Head:
    """Reads an object of the archive; HeadError when it is malformed or not what its name says."""
    try:
        outer = msgspec.json.decode(sealed, type=_Sealed)
        text = outer.head.encode()
        statement = msgspec.json.decode(text, type=Statement)
        statement.frontier()
        signature = base64.b64decode(outer.signature, validate=True)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HeadError(f"is not a head: {error}") from None
    if canonical(statement) != text:
        raise HeadError("is not in canonical form")
    if name(statement.chain, statement.seq) != stored_name:
        raise HeadError(f"says it is chain {statement.chain} seq {statement.seq}")
    return Head(statement, text, signature)
