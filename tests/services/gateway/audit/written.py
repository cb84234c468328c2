"""A chain as an honest writer leaves it, in memory: rows and signed heads, for tests to tamper with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from services.gateway.adapters.audit_signer import AuditKey
from services.gateway.audit.head import StoredHead, name, seal, state
from services.gateway.audit.merkle import Frontier
from services.gateway.audit.record import END, GENESIS, NO_HASH, Body, Row, entry, row, timestamp
from services.gateway.audit.verification import Report, Verification


class SigningKey:
    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP384R1())
        self.public = AuditKey(self._private.public_key())

    def sign(self, text: bytes) -> bytes:
        return self._private.sign(text, ec.ECDSA(hashes.SHA384()))


@dataclass
class Written:
    key: SigningKey = field(default_factory=SigningKey)
    chain: UUID = field(default_factory=uuid4)
    rows: list[Row] = field(default_factory=list)
    heads: list[StoredHead] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=10))

    def append(self, kind: str, request_id: str = "", body: Body | None = None) -> Row:
        previous = self.rows[-1].hash if self.rows else NO_HASH
        added = row(str(self.chain), len(self.rows), previous, entry(kind, request_id, body or {}), timestamp(self.now))
        self.rows.append(added)
        return added

    def seal(self, *, key: SigningKey | None = None) -> StoredHead:
        frontier = Frontier()
        for one in self.rows:
            frontier.add(one.hash)
        text = state(self.chain, frontier, self.rows[-1].hash, self.chain, self.now)
        signature = (key or self.key).sign(text)
        self.heads.append(StoredHead(name(self.chain, frontier.size - 1), seal(text, signature)))
        return self.heads[-1]

    def rewrite_from(self, seq: int, body: Body) -> None:
        """What an attacker with full rights over the store and no key can do: change a record and all that follows."""
        old, self.rows = self.rows, self.rows[:seq]
        for one in old[seq:]:
            self.append(one.kind, one.request_id, body if one.seq == seq else {"rewritten": True})

    def verify(self, *, rows: list[Row] | None = None, heads: list[StoredHead] | None = None) -> Report:
        verification = Verification(self.heads if heads is None else heads, self.key.public.signed, datetime.now(UTC))
        for one in self.rows if rows is None else rows:
            verification.add(str(self.chain), one)
        return verification.finish(open_intents=0)

    def first_fault(self, *, rows: list[Row] | None = None, heads: list[StoredHead] | None = None) -> str:
        """The first bad place without the chain's id; empty when everything holds."""
        faults = self.verify(rows=rows, heads=heads).faults
        return str(faults[0]).removeprefix(f"chain {self.chain} ") if faults else ""


def written(requests: int = 6) -> Written:
    """A chain of genesis, intents and outcomes, and end; a head after every third record and at the end."""
    chain = Written()
    chain.append(GENESIS, body={"software": "sha256:0"})
    for number in range(requests):
        chain.append("intent", f"request-{number}", {"model": "local", "n": number})
        chain.append("outcome", f"request-{number}", {"usd": "0.001", "flags": ("a", "b")})
        if number % 3 == 2:
            chain.seal()
    chain.append(END)
    chain.seal()
    return chain


def moved(row_: Row, seq: int) -> Row:
    return structs.replace(row_, seq=seq)
