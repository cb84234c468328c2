"""What must hold when a run is over: for money, places, records and answers."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

from services.gateway.audit.record import CLOSING_KINDS, INTENT, parse
from services.gateway.audit.verification import Verification
from tests.services.gateway.simulation.services import SECRET, request_of, signed
from tests.services.gateway.simulation.world import World

ZERO = Decimal(0)


def judge(world: World, now: datetime) -> None:
    """Notes every broken promise in the world."""
    _money(world)
    _places(world)
    _records(world)
    _chains(world, now)
    _answers(world)


def _money(world: World) -> None:
    world.require(
        all(held.state != "reserved" for held in world.store.held.values()), "a reservation was never settled"
    )
    spent: dict[str, Decimal] = {}
    for held in world.store.held.values():
        for scope in held.scopes:
            spent[scope] = spent.get(scope, ZERO) + (held.settled_usd or ZERO)
    for (scope, _), budget in world.store.budgets.items():
        world.require(budget.reserved == 0, f"{scope}: {budget.reserved} stay reserved for nobody")
        world.require(budget.spent == spent.get(scope, ZERO), f"{scope}: the sum is not that of its reservations")
    _bills_are_paid(world)


def _bills_are_paid(world: World) -> None:
    settled = {held.request_id: held.settled_usd or ZERO for held in world.store.held.values()}
    bills: dict[str, Decimal] = {}
    for call_id, billed in world.backend.billed.items():
        bills[request_of(call_id)] = bills.get(request_of(call_id), ZERO) + billed
    for request_id, billed in bills.items():
        world.require(settled.get(request_id, ZERO) >= billed, f"{request_id}: billed {billed}, booked less")


def _places(world: World) -> None:
    world.require(world.valkey.limiter.live() == 0, "a place stays taken")


def _records(world: World) -> None:
    intents: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for row in world.store.records.values():
        if row.kind == INTENT:
            intents[row.request_id] += 1
        if row.kind in CLOSING_KINDS and row.request_id:
            ends[row.request_id] += 1
    for request_id, count in intents.items():
        world.require(count == 1, f"{request_id}: {count} intents")
        world.require(ends[request_id] == 1, f"{request_id}: {ends[request_id]} outcomes")
    _answers_are_named(world)
    for call_id in world.backend.calls:
        world.require(intents[request_of(call_id)] == 1, f"{call_id}: called, and no intent is left")


def _answers_are_named(world: World) -> None:
    """The outcome of a gateway's own names the model that answered."""
    answered_by = {request_of(call_id): model for call_id, model in world.backend.answered_by.items()}
    for row in world.store.records.values():
        if row.kind == "outcome" and row.request_id in answered_by:
            named = parse(row.record).body.get("model", answered_by[row.request_id])
            world.require(named == answered_by[row.request_id], f"{row.request_id}: answered by another than {named}")


def _chains(world: World, now: datetime) -> None:
    verification = Verification(world.archive.heads(), signed, now)
    for (chain, _), row in sorted(world.store.records.items()):
        verification.add(str(chain), row)
    for fault in verification.finish(open_intents=0).faults:
        world.require(False, f"the chain does not verify: {str(fault).partition(' ')[2][37:]}")


def _answers(world: World) -> None:
    for asked in world.requests:
        for call_id, text in zip(asked.calls, asked.texts, strict=True):
            whole = "".join(world.backend.plans[call_id].parts).replace(SECRET, "[redacted credential]")
            world.require(whole.startswith(text), f"{call_id}: was told something else")
            if asked.ended == "stop":
                world.require(text == whole, f"{call_id}: was not told everything")
