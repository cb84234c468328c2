"""A proof that one record is in the chain: the record, a signed head, and the hashes between the two (RFC 9162).

Whoever has the public key can check it, without the audit store, the archive or any other record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from services.gateway.audit.head import HeadError, name, open_sealed
from services.gateway.audit.merkle import inclusion_proof, root_from_inclusion
from services.gateway.audit.record import RecordError, canonical, leaf_hash, parse


class ProofError(Exception):
    """A proof does not hold. The message says where."""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: str
    path: list[str]  # lowest first
    head: str  # the sealed head as it lies in the archive


def prove(record: str, seq: int, hashes: Sequence[bytes], sealed_head: bytes) -> Proof:
    """`hashes` are those of all records that the head covers, in order."""
    return Proof(record, [step.hex() for step in inclusion_proof(hashes, seq)], sealed_head.decode())


def check(proof: bytes, signed: Callable[[bytes, bytes], bool]) -> str:
    """The proven record; ProofError when it is not proven."""
    try:
        given = msgspec.json.decode(proof, type=Proof)
        fields = parse(given.record)
        # The name follows from what the head says of itself: outside the archive it has no other.
        statement = msgspec.json.decode(msgspec.json.decode(given.head)["head"])
        head = open_sealed(name(statement["chain"], statement["seq"]), given.head.encode())
        path = [bytes.fromhex(step) for step in given.path]
        root = root_from_inclusion(leaf_hash(given.record.encode()), fields.seq, head.statement.size, path)
    except (msgspec.MsgspecError, RecordError, HeadError, ValueError, TypeError, KeyError) as error:
        raise ProofError(f"is not a proof: {error}") from None
    if not signed(head.text, head.signature):
        raise ProofError("its head is not signed by the audit key")
    if (fields.chain, root.hex()) != (head.statement.chain, head.statement.root):
        raise ProofError("its record is not one that the head covers")
    return given.record


def encode(proof: Proof) -> str:
    return canonical(proof).decode()
