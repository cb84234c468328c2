"""PostgreSQL as the gateway sees it: the audit and ledger schemas' statements, each done at one instant.

Commits without a flush are lost by a crash, advisory locks die with their session, rows appear at the commit.
test_faithfulness.py runs the same statements on the real server and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import msgspec

from services.gateway.adapters import audit_owed, audit_recovery, audit_writer, ledger
from services.gateway.audit.record import CLOSING_KINDS, Row

Undo = Callable[[], object]
Found = list[dict[str, Any]]
ZERO = Decimal(0)
WAL_WRITER_S = 0.6  # within this a commit without a flush is on disk all the same


@dataclass
class Budget:
    spent: Decimal = ZERO
    reserved: Decimal = ZERO
    limit: Decimal = ZERO  # as last asked; the real table does not store it


@dataclass
class Held:
    request_id: str
    usd: Decimal
    scopes: tuple[str, ...]
    day: date
    created_at: datetime
    state: str = "reserved"
    settled_usd: Decimal | None = None


@dataclass
class Chain:
    opened_at: datetime
    closed_by: UUID | None = None
    taken: bool = False


@dataclass(eq=False)
class Session:
    """What the server keeps for one connection."""

    pending: list[Callable[[], None]] | None = None  # writes of an open transaction
    locks: set[UUID] = field(default_factory=set)


class Store:
    """The data of one server, and what of it would survive losing power."""

    def __init__(self, now: Callable[[], datetime], later: Callable[[float, Callable[[], None]], None]) -> None:
        self.now = now
        self.later = later
        self.changed: Callable[[], None] = lambda: None  # told after every statement
        self.chains: dict[UUID, Chain] = {}
        self.records: dict[tuple[UUID, int], Row] = {}
        self.budgets: dict[tuple[str, date], Budget] = {}
        self.held: dict[str, Held] = {}
        self.locks: dict[UUID, Session] = {}
        self.started_at = now() - timedelta(minutes=10)
        self._unflushed: list[Undo] = []

    # --- durability ---------------------------------------------------------------------------------

    def flush(self) -> None:
        self._unflushed.clear()

    def lose_power(self) -> None:
        """Everything committed without a flush is undone, the last first."""
        for undo in reversed(self._unflushed):
            undo()
        self._unflushed.clear()

    def stop(self) -> None:
        self.locks.clear()

    def start(self) -> None:
        self.started_at = self.now()

    def is_durable(self, request_id: str, kind: str) -> bool:
        """Would survive losing power now."""
        return not self._unflushed_records(request_id) and any(
            one.request_id == request_id and one.kind == kind for one in self.records.values()
        )

    def _unflushed_records(self, request_id: str) -> bool:
        return any(getattr(undo, "request_id", None) == request_id for undo in self._unflushed)

    # --- statements -----------------------------------------------------------------------------------

    def run(self, session: Session, statement: str, values: Sequence[Any]) -> Found:
        """The rows that a statement answers with."""
        words = " ".join(statement.split())
        if words.startswith("SET "):
            return []
        answer = self._STATEMENTS[words](self, session, *values)
        self.changed()
        return answer if isinstance(answer, list) else [{"value": answer}]

    def begin(self, session: Session) -> None:
        session.pending = []

    def commit(self, session: Session) -> None:
        pending, session.pending = session.pending or [], None
        for write in pending:
            write()
        self.commit_record()

    def end(self, session: Session) -> None:
        """The connection is gone: its transaction never was, its locks are free."""
        session.pending = None
        for chain in session.locks:
            self.locks.pop(chain, None)
        session.locks.clear()

    def _write(self, session: Session, write: Callable[[], None]) -> None:
        if session.pending is None:
            write()
            self.commit_record()
        else:
            session.pending.append(write)

    def commit_record(self) -> None:
        """A commit of an audit record is on disk when it is acknowledged."""
        self.flush()

    # --- the audit chain --------------------------------------------------------------------------------

    def _insert_records(self, session: Session, chain: UUID, *columns: Sequence[Any]) -> Found:
        rows = [Row(*values) for values in zip(*columns, strict=True)]
        if any((chain, row.seq) in self.records for row in rows):
            raise asyncpg.UniqueViolationError("record exists")
        self._require_one_end(rows)

        def write() -> None:
            for row in rows:
                self.records[chain, row.seq] = row

                def undo(key: tuple[UUID, int] = (chain, row.seq)) -> None:
                    self.records.pop(key, None)

                undo.request_id = row.request_id  # type: ignore[attr-defined]
                self._unflushed.append(undo)

        self._write(session, write)
        return []

    def _insert_record(self, session: Session, chain: UUID, *values: Any) -> Found:
        return self._insert_records(session, chain, *([value] for value in values))

    def _require_one_end(self, rows: Sequence[Row]) -> None:
        """The index `record_end`: of all chains, one closing record a request."""
        ends = [row.request_id for row in rows if row.kind in CLOSING_KINDS and row.request_id]
        ended = {row.request_id for row in self.records.values() if row.kind in CLOSING_KINDS} if ends else set()
        if len(set(ends)) < len(ends) or ended & set(ends):
            refused = asyncpg.UniqueViolationError("request has ended")
            refused.constraint_name = audit_writer.ONE_END
            raise refused

    def _ended(self, session: Session, request_ids: Sequence[str], closing: Sequence[str]) -> Found:
        del session
        return [
            {"request_id": row.request_id}
            for row in self.records.values()
            if row.request_id in request_ids and row.request_id and row.kind in closing
        ]

    def _insert_chain(self, session: Session, chain: UUID) -> Found:
        def write() -> None:
            self.chains[chain] = Chain(self.now())
            self._unflushed.append(lambda: self.chains.pop(chain, None))

        self._write(session, write)
        return []

    def _try_lock(self, session: Session, chain: UUID) -> bool:
        if self.locks.setdefault(chain, session) is not session:
            return False
        session.locks.add(chain)
        return True

    def _unlock(self, session: Session, chain: UUID) -> bool:
        if self.locks.get(chain) is not session:
            return False
        del self.locks[chain]
        session.locks.discard(chain)
        return True

    def _close_chain(self, session: Session, chain: UUID, closed_by: UUID | None = None) -> Found:
        if self.locks.get(chain) is not session:
            raise asyncpg.RaiseError("chain is not locked by this session")
        found = self.chains.get(chain)
        if found is not None and found.closed_by is None:
            found.closed_by = closed_by or chain
            self.flush()
        return []

    def _take_chain(self, session: Session, chain: UUID) -> bool:
        if self.locks.get(chain) is not session:
            raise asyncpg.RaiseError("chain is not locked by this session")
        found = self.chains.get(chain)
        if found is None or found.closed_by is not None:
            return False
        found.taken = True
        self.flush()
        return True

    def _is_taken(self, session: Session, chain: UUID) -> bool | None:
        del session
        found = self.chains.get(chain)
        return None if found is None else found.taken or found.closed_by is not None

    def _open_chains(self, session: Session, own: UUID) -> Found:
        del session
        if not self.started_at < self.now() - timedelta(seconds=5):
            return []
        found = sorted((one.opened_at, chain) for chain, one in self.chains.items() if one.closed_by is None)
        return [{"chain": chain} for _, chain in found if chain != own]

    def _rows_of(self, chain: UUID, seq_least: int = 0) -> list[Row]:
        return [row for (of, seq), row in sorted(self.records.items(), key=_by_seq) if of == chain and seq >= seq_least]

    def _hashes(self, session: Session, chain: UUID, seq_least: int) -> Found:
        del session
        return [{"seq": row.seq, "hash": row.hash} for row in self._rows_of(chain, seq_least)]

    def _texts(self, session: Session, chain: UUID, seq_least: int) -> Found:
        del session
        return [{"seq": row.seq, "record": row.record, "hash": row.hash} for row in self._rows_of(chain, seq_least)]

    def _last_seq(self, session: Session, chain: UUID) -> int:
        del session
        return max((seq for of, seq in self.records if of == chain), default=0)

    def _open_intents(
        self, session: Session, chain: UUID, kind: str, closing: Sequence[str], first: int, end: int
    ) -> Found:
        del session
        closed = {row.request_id for row in self.records.values() if row.kind in closing and row.request_id}
        rows = [row for row in self._rows_of(chain) if row.kind == kind and row.request_id not in closed]
        return [{"seq": row.seq, "request_id": row.request_id} for row in rows if first <= row.seq < end]

    def _still_open(self, session: Session, request_ids: Sequence[str], intent: str, closing: Sequence[str]) -> Found:
        del session
        found: dict[str, set[str]] = {}
        for row in self.records.values():
            found.setdefault(row.request_id, set()).add(row.kind)
        open_ = [r for r in sorted(found) if r in request_ids and intent in found[r] and not found[r] & set(closing)]
        return [{"request_id": request_id} for request_id in open_]

    # --- the ledger ---------------------------------------------------------------------------------------

    def _reserve(self, session: Session, packed: str) -> list[int]:
        del session
        asked = msgspec.json.decode(packed, type=ledger.Group)
        self.later(WAL_WRITER_S, self.flush)
        today, verdicts = self.now().date(), []
        rows = zip(asked.ids, asked.request_ids, asked.usd, asked.scope_of, asked.limits, strict=True)
        for id_, request_id, sum_, numbers, most in rows:
            names = [asked.scopes[number - 1] if number else "" for number in numbers]
            over = [
                bool(name) and self._is_over(name, today, sum_, limit) for name, limit in zip(names, most, strict=True)
            ]
            verdicts.append(over.index(True) + 1 if any(over) else 0)
            if not any(over):
                self._hold(id_, Held(request_id, sum_, tuple(filter(None, names)), today, self.now()))
        return verdicts

    def _is_over(self, scope: str, day: date, usd: Decimal, limit: Decimal | None) -> bool:
        budget = self.budgets.setdefault((scope, period_of(scope, day)), Budget())
        if limit is None:
            return True
        budget.limit = limit
        return budget.spent + budget.reserved + usd > limit

    def _hold(self, id_: str, held: Held) -> None:
        if id_ in self.held:
            raise asyncpg.UniqueViolationError("reservation exists")
        self.held[id_] = held
        self._book(held, reserved=held.usd)

        def undo() -> None:
            del self.held[id_]
            self._book(held, reserved=-held.usd)

        self._unflushed.append(undo)

    def _book(self, held: Held, *, reserved: Decimal = ZERO, spent: Decimal = ZERO) -> None:
        for scope in held.scopes:
            budget = self.budgets[scope, period_of(scope, held.day)]
            budget.reserved += reserved
            budget.spent += spent

    def _settle(self, session: Session, ids: Sequence[str], usd: Sequence[Decimal]) -> int:
        del session
        return self._finish(dict(zip(ids, usd, strict=True)), "settled")

    def _sweep(self, session: Session, age: timedelta) -> int:
        del session
        old = {i: h.usd for i, h in self.held.items() if h.state == "reserved" and h.created_at < self.now() - age}
        return self._finish(old, "expired")

    def _finish(self, due: dict[str, Decimal], state: str) -> int:
        finished = 0
        for id_, usd in due.items():
            held = self.held.get(id_)
            if held is not None and held.state == "reserved":
                self._end(held, usd, state)
                finished += 1
        return finished

    def _end(self, held: Held, usd: Decimal, state: str) -> None:
        held.state, held.settled_usd = state, usd
        self._book(held, reserved=-held.usd, spent=usd)

        def undo() -> None:
            held.state, held.settled_usd = "reserved", None
            self._book(held, reserved=held.usd, spent=-usd)

        self._unflushed.append(undo)

    _STATEMENTS: ClassVar[dict[str, Callable[..., Any]]] = {
        " ".join(audit_writer.INSERT.split()): _insert_records,
        " ".join(audit_writer.INSERT_ONE.split()): _insert_record,
        "INSERT INTO audit.chain (chain) VALUES ($1)": _insert_chain,
        "SELECT pg_try_advisory_lock(audit.lock_key($1))": _try_lock,
        "SELECT pg_advisory_unlock(audit.lock_key($1))": _unlock,
        "SELECT audit.close_chain($1, $1)": _close_chain,
        "SELECT audit.close_chain($1, $2)": _close_chain,
        "SELECT audit.take_chain($1)": _take_chain,
        audit_writer.IS_TAKEN: _is_taken,
        "SELECT seq, hash FROM audit.record WHERE chain = $1 AND seq >= $2 ORDER BY seq": _hashes,
        "SELECT seq, record, hash FROM audit.record WHERE chain = $1 AND seq >= $2 ORDER BY seq": _texts,
        "SELECT coalesce(max(seq), 0) FROM audit.record WHERE chain = $1": _last_seq,
        " ".join(audit_recovery.OPEN_CHAINS.split()): _open_chains,
        " ".join(audit_recovery.OPEN_INTENTS.split()): _open_intents,
        " ".join(audit_owed.STILL_OPEN.split()): _still_open,
        audit_writer.ENDED: _ended,
        " ".join(ledger.RESERVE.split()): lambda store, *values: [{"value": store._reserve(*values)}],
        ledger.SETTLE: _settle,
        "SELECT ledger.sweep($1) AS expired": lambda store, *values: [{"expired": store._sweep(*values)}],
    }


def period_of(scope: str, day: date) -> date:
    """A month's budget has its row at the first day."""
    return day.replace(day=1) if scope.startswith("month:") else day


def _by_seq(item: tuple[tuple[UUID, int], Row]) -> tuple[UUID, int]:
    return item[0]
