"""Refusals of callers nobody knows, bounded: the first ones of a second have a record each, the others share one.

Whoever can reach the gateway can make it refuse, and each refusal is a durable record. So that a flood of bad tokens
does not fill the chain, or slow down who is known, refusals of one kind that come within WINDOW_S go into one record
with their number, the ids of the first of them and a digest of all ids. No refusal is without a record, and none is
answered before its record is durable; what a flood gets is a slower answer. Refusals of known callers pass as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING

from services.gateway.exchange import AuditRecord
from services.gateway.ports import AuditLog

if TYPE_CHECKING:
    from hashlib import _Hash

OWN_RECORDS_PER_S = 10
WINDOW_S = 0.25
IDS_MAX = 64  # named in one record
KINDS_MAX = 64  # told apart at a time; what is beyond goes by stage and status only

_Value = str | int | float | bool | tuple[str, ...] | None
_Kind = frozenset[tuple[str, _Value]]


@dataclass(slots=True)
class _Tally:
    first: AuditRecord
    count: int = 0
    ids: list[str] = field(default_factory=list)
    digest: _Hash = field(default_factory=sha256)

    def add(self, request_id: str) -> None:
        self.count += 1
        self.digest.update(f"{request_id}\n".encode())
        if len(self.ids) < IDS_MAX:
            self.ids.append(request_id)

    def record(self) -> AuditRecord:
        if self.count == 1:
            return self.first
        body: dict[str, _Value] = dict(self.first.body)
        body["count"] = self.count
        body["request_ids"] = tuple(self.ids)
        body["request_ids_sha256"] = self.digest.hexdigest()
        return AuditRecord(self.first.kind, self.first.request_id, body)


class RefusalTally:
    """Implements AuditLog on top of another."""

    def __init__(self, log: AuditLog, ticks: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._ticks = ticks
        self._own_left = float(OWN_RECORDS_PER_S)
        self._counted_at = ticks()
        self._open: dict[_Kind, tuple[_Tally, asyncio.Task[None]]] = {}
        self._writing: set[asyncio.Task[None]] = set()  # the loop keeps weak references only

    def append(self, record: AuditRecord) -> Awaitable[None]:
        """Done when a record that counts this one is durable; Unavailable otherwise."""
        if record.kind != "refusal" or "subject" in record.body or self._may_have_its_own():
            return self._log.append(record)
        tally, written = self._tally_of(record)
        tally.add(record.request_id)
        return asyncio.shield(written)

    def _may_have_its_own(self) -> bool:
        now = self._ticks()
        self._own_left = min(OWN_RECORDS_PER_S, self._own_left + (now - self._counted_at) * OWN_RECORDS_PER_S)
        self._counted_at = now
        if self._own_left < 1:
            return False
        self._own_left -= 1
        return True

    def _tally_of(self, record: AuditRecord) -> tuple[_Tally, asyncio.Task[None]]:
        kind = frozenset(record.body.items())
        if kind not in self._open and len(self._open) >= KINDS_MAX:
            coarse = {name: record.body.get(name) for name in ("stage", "status")}
            record, kind = AuditRecord(record.kind, record.request_id, coarse), frozenset(coarse.items())
        if kind not in self._open:
            tally = _Tally(record)
            task = asyncio.create_task(self._write(kind, tally))
            self._writing.add(task)
            task.add_done_callback(self._written)
            self._open[kind] = tally, task
        return self._open[kind]

    async def _write(self, kind: _Kind, tally: _Tally) -> None:
        await asyncio.sleep(WINDOW_S)
        del self._open[kind]
        await self._log.append(tally.record())

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told; those who hung up need not be
