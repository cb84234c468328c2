"""A proof that one signed head continues another: nothing under the first was changed since (RFC 9162, 2.1.4).

Whoever kept an old head and has the public key can check it, without the audit store or the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from services.gateway.audit.head import Head, HeadError, name, open_sealed
from services.gateway.audit.merkle import consistency_proof, is_consistent
from services.gateway.audit.proof import ProofError
from services.gateway.audit.record import canonical


class Consistency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: str  # the older sealed head, as it lies in the archive
    second: str
    path: list[str]


def prove(hashes: Sequence[bytes], first: bytes, first_size: int, second: bytes) -> Consistency:
    """`hashes` are those of all records that the second head covers, in order."""
    steps = consistency_proof(hashes, first_size)
    return Consistency(first.decode(), second.decode(), [step.hex() for step in steps])


def check(proof: bytes, signed: Callable[[bytes, bytes], bool]) -> tuple[int, int]:
    """How many records each head covers; ProofError when the second does not continue the first."""
    try:
        given = msgspec.json.decode(proof, type=Consistency)
        first, second = (_opened(sealed) for sealed in (given.first, given.second))
        path = [bytes.fromhex(step) for step in given.path]
        roots = [bytes.fromhex(head.statement.root) for head in (first, second)]
    except (msgspec.MsgspecError, HeadError, ValueError, TypeError, KeyError) as error:
        raise ProofError(f"is not a proof: {error}") from None
    if not all(signed(head.text, head.signature) for head in (first, second)):
        raise ProofError("one of its heads is not signed by the audit key")
    sizes = first.statement.size, second.statement.size
    of_one_chain = first.statement.chain == second.statement.chain
    if not of_one_chain or not is_consistent(sizes[0], roots[0], sizes[1], roots[1], path):
        raise ProofError("its second head does not continue the first")
    return sizes


def encode(proof: Consistency) -> str:
    return canonical(proof).decode()


def _opened(sealed: str) -> Head:
    """The name follows from what the head says of itself: outside the archive it has no other."""
    statement = msgspec.json.decode(msgspec.json.decode(sealed)["head"])
    return open_sealed(name(statement["chain"], statement["seq"]), sealed.encode())
