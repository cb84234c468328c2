"""Budgets in PostgreSQL: money is reserved before the model is called and settled to what was really used.

A request fits into every budget that its role names, a day and a month, of its user, its tenant and its workload,
or it is refused. The deciding is done by the database's functions (migrations/0003_ledger.sql, 0006_budgets.sql),
under row locks, so any number of gateways share one budget exactly. Concurrent requests share one round trip.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from services.gateway.adapters.database import Database
from services.gateway.adapters.group_call import GroupCall, failed
from services.gateway.exchange import Caller, Denied, Registration, Reservation, Role, RoleBudget, Unavailable
from services.gateway.per_caller import PerCaller
from services.gateway.random_ids import RandomIds

STAGE = "budget"
GROUP_MAX = 256
SETTLE_WITHIN_S = 0.02  # until then another gateway sees the worst case set aside: as if the request took that longer
WAITING_MAX = 4_096
DEADLINE_S = 1.5
RESERVATION_AGE_MAX = timedelta(minutes=15)  # longer than any request may take; then it counts as spent
SWEEP_INTERVAL_S = 60.0
UNSETTLED_MAX = 10_000
USD_STEP = Decimal("0.000000001")  # numeric(18, 9): costs are rounded up to it
USD_MAX = Decimal(100_000_000)

# One JSON text in place of seven arrays: the driver takes twice as long over those, item by item.
RESERVE = """
SELECT ledger.reserve_within(scopes, ids, request_ids, usd, scope_of, limits, who) FROM json_to_record($1) AS asked
    (scopes text[], ids uuid[], request_ids text[], usd numeric[], scope_of int[], limits numeric[], who text[])
"""
SETTLE = "SELECT ledger.settle($1, $2)"

Value = TypeVar("Value")

_reservation_id = RandomIds(16)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Budget:
    scope: str
    limit: Decimal
    said: str  # as the caller is told


class _Asked(msgspec.Struct, frozen=True):
    id: str  # a UUID's 32 hexadecimal digits, all of them random
    request_id: str
    usd: Decimal
    budgets: tuple[_Budget, ...]
    who: tuple[str, str, str, str]  # workload, tenant, person, model


class Group(msgspec.Struct):
    """What several requests ask for, as RESERVE takes it: a row each of everything but the scopes."""

    scopes: list[str]  # by code point, which is the order (collation C) in which the function locks
    ids: list[str]
    request_ids: list[str]
    usd: list[Decimal]
    scope_of: list[list[int]]  # numbers of scopes, from 1; 0 is none
    limits: list[list[Decimal | None]]
    who: list[tuple[str, str, str, str]]

    def packed(self) -> str:
        return msgspec.json.encode(self).decode()


class Ledger:
    """Reserves and settles. `start` adds the sweep of reservations that nobody settled; `close` ends it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._who = PerCaller(_who)
        self._reserve_session = database.session()
        self._settle_session = database.session()
        self._reserving = GroupCall[_Asked, int](
            STAGE, self._reserve, group_max=GROUP_MAX, waiting_max=WAITING_MAX, abandoned=self._give_back
        )
        self._settling = GroupCall[tuple[str, Decimal] | None, None](
            STAGE, self._settle, group_max=GROUP_MAX, waiting_max=WAITING_MAX
        )
        self._settled = 0  # groups so far
        self._unsettled: dict[str, Decimal] = {}  # failed or not yet tried; goes with the next group
        self._sweeping: asyncio.Task[None] | None = None

    def reserve(
        self, caller: Caller, registration: Registration, role: Role, request_id: str, usd: Decimal, model: str = ""
    ) -> LedgerReserving:
        """Sets `usd` aside in every budget of the role, or in none: Denied 429 insufficient_quota."""
        who, budgets = self._who(caller, registration, role)
        asked = _Asked(_reservation_id(), request_id, _rounded(usd), budgets, (*who, _stored(model)))
        return LedgerReserving(self, asked, self._reserving.begin(asked), self._settled)

    async def _reserved(self, asked: _Asked, begun: asyncio.Future[int], settled: int) -> Reservation:
        """`settled` counts the groups that were when it began."""
        try:
            verdict = await begun
        except asyncio.CancelledError:
            self._give_up(asked, begun)
            raise
        # What others have not used may still be set aside for them, or was when the ledger decided.
        if verdict and (self._unsettled or not self._settling.idle or self._settled != settled):
            await self._settle_all()
            verdict = await self._reserving(asked)
        if verdict == 0:
            return Reservation(asked.id, asked.usd)
        raise _denied(asked.usd, asked.budgets[verdict - 1])

    def _give_up(self, asked: _Asked, begun: asyncio.Future[int]) -> None:
        """Its group gives back what it will set aside; what it has set aside already is given back here."""
        if not begun.cancel() and not begun.cancelled() and begun.exception() is None:
            self._give_back(asked)

    def settle(self, reservation: Reservation, usd: Decimal) -> asyncio.Future[None]:
        """Books what was really used, within SETTLE_WITHIN_S, or before this gateway refuses anybody for lack of money.

        When the database fails, it is remembered and tried again later.
        """
        try:
            return self._settling.defer((reservation.id, _rounded(usd)), SETTLE_WITHIN_S)
        except Unavailable as failure:
            return failed(failure)

    def start(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep_forever())

    async def close(self) -> None:
        await self._reserving.drain()
        await self._settling.drain()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
            self._sweeping = None
        if self._unsettled:
            with suppress(Unavailable):  # what stays open expires as spent: the safe side
                await self._settling(None)
        self._reserve_session.close()
        self._settle_session.close()

    async def sweep(self) -> int:
        """Settles what failed to settle, then expires reservations nobody settled; returns how many expired."""
        if self._unsettled:
            await self._settling(None)
        rows = await self._database.fetch("SELECT ledger.sweep($1) AS expired", RESERVATION_AGE_MAX, deadline_s=30.0)
        expired = int(rows[0]["expired"])
        if expired:
            _logger.warning("%d reservations were never settled and count as spent in full", expired)
        return expired

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                await self.sweep()
            except Unavailable as failure:
                _logger.warning("sweep of reservations put off: %s", failure)

    async def _reserve(self, group: list[_Asked]) -> Sequence[int]:
        scopes = sorted({budget.scope for asked in group for budget in asked.budgets})
        number = {scope: index for index, scope in enumerate(scopes, start=1)}
        most = max(len(asked.budgets) for asked in group)
        asking = Group(
            scopes,
            [asked.id for asked in group],
            [asked.request_id for asked in group],
            [asked.usd for asked in group],
            [_row([number[budget.scope] for budget in asked.budgets], 0, most) for asked in group],
            [_row([budget.limit for budget in asked.budgets], None, most) for asked in group],
            [asked.who for asked in group],
        )
        try:
            verdicts = await self._reserve_session.fetchval(RESERVE, asking.packed(), deadline_s=DEADLINE_S)
        except Unavailable:
            # Whether it was committed is unknown. Nobody uses these reservations: give them back.
            self._remember({asked.id: Decimal(0) for asked in group})
            raise
        return cast(list[int], verdicts)  # smallint[] by the function's signature

    async def _settle_all(self) -> None:
        if self._unsettled:
            self._settling.begin(None).add_done_callback(_told)
        await self._settling.drain()

    async def _settle(self, group: list[tuple[str, Decimal] | None]) -> Sequence[None]:
        """Settles the group and what is left from before; None asks for the latter only."""
        # The first settlement of a reservation is the one that counts, here as in the database.
        due = {**dict(item for item in reversed(group) if item is not None), **self._unsettled}
        try:
            await self._settle_session.fetchval(SETTLE, list(due), list(due.values()), deadline_s=DEADLINE_S)
        except Unavailable:
            self._remember(due)
            raise
        self._settled += 1
        for id_ in due:
            self._unsettled.pop(id_, None)
        return [None] * len(group)

    def _remember(self, due: dict[str, Decimal]) -> None:
        for id_, usd in due.items():
            if len(self._unsettled) < UNSETTLED_MAX:  # the rest expires as spent
                self._unsettled.setdefault(id_, usd)

    def _give_back(self, asked: _Asked) -> None:
        """Nobody will settle this one: its caller went away or was refused while it was made."""
        self._remember({asked.id: Decimal(0)})
        self._settling.defer(None, SETTLE_WITHIN_S).add_done_callback(_told)


class LedgerReserving:
    """Money that is being set aside. Either awaited once or given up."""

    __slots__ = ("_asked", "_begun", "_ledger", "_settled")

    def __init__(self, ledger: Ledger, asked: _Asked, begun: asyncio.Future[int], settled: int) -> None:
        self._ledger = ledger
        self._asked = asked
        self._begun = begun
        self._settled = settled

    def __await__(self) -> Generator[Any, None, Reservation]:
        return self._ledger._reserved(self._asked, self._begun, self._settled).__await__()

    def give_up(self) -> None:
        self._ledger._give_up(self._asked, self._begun)


def _told(settled: asyncio.Future[None]) -> None:
    if not settled.cancelled() and settled.exception() is not None:
        _logger.warning("what nobody uses stays set aside until the next sweep")


@lru_cache(maxsize=4_096)
def _scopes(workload: str, tenant: str, issuer: str, subject: str) -> tuple[str, str, str]:
    """Those of a user, of its tenant and of its workload."""
    workload, tenant = _escaped(workload), _escaped(tenant)
    user = f"user:{workload}:{tenant}:{_escaped(issuer)}|{_escaped(subject)}"
    return user, f"tenant:{workload}:{tenant}", f"workload:{workload}"


def _who(caller: Caller, registration: Registration, role: Role) -> tuple[tuple[str, str, str], tuple[_Budget, ...]]:
    """Workload, tenant and person as they are stored, and the budgets that there are."""
    person = f"{caller.issuer}|{caller.subject}"
    stored = (_stored(registration.workload), _stored(caller.tenant), _stored(person))
    return stored, _budgets(caller, registration, role.budget)


def _budgets(caller: Caller, registration: Registration, budget: RoleBudget) -> tuple[_Budget, ...]:
    """Those that there are, the narrowest first."""
    user, tenant, workload = _scopes(registration.workload, caller.tenant, caller.issuer, caller.subject)
    every = (
        ("", user, budget.usd_per_day_user, "a day of this user"),
        ("month:", user, budget.usd_per_month_user, "a month of this user"),
        ("", tenant, budget.usd_per_day_tenant, "a day of this tenant"),
        ("month:", tenant, budget.usd_per_month_tenant, "a month of this tenant"),
        ("", workload, budget.usd_per_day_workload, "a day of this workload"),
        ("month:", workload, budget.usd_per_month_workload, "a month of this workload"),
    )
    return tuple(_Budget(period + scope, limit, said) for period, scope, limit, said in every if limit is not None)


def _row(values: Sequence[Value], nothing: Value, length: int) -> list[Value]:
    """All rows of an array of PostgreSQL have one length."""
    return [*values, *(nothing for _ in range(length - len(values)))]


def _stored(text: str) -> str:
    """PostgreSQL's text holds no NUL."""
    return text.replace("\x00", "\ufffd")


def _escaped(part: str) -> str:
    """No part can imitate the separators, so two callers never share a budget."""
    return part.replace("%", "%25").replace(":", "%3A").replace("|", "%7C").replace("\x00", "%00")


def _rounded(usd: Decimal) -> Decimal:
    if not usd.is_finite() or not 0 <= usd <= USD_MAX:
        raise Unavailable(STAGE, f"a cost must be from 0 to {USD_MAX} US dollars (got {usd})")
    return usd.quantize(USD_STEP, rounding=ROUND_UP)


def _denied(usd: Decimal, budget: _Budget) -> Denied:
    return Denied(
        STAGE,
        f"{usd} USD do not fit into the budget of {budget.limit} USD of {budget.scope}",
        status=429,
        code="insufficient_quota",
        type="insufficient_quota",
        public=f"The budget of {budget.limit} US dollars {budget.said} is used up.",
        retryable=False,
    )
