"""Limits and money are asked for at once, and what one of them gave is given back when the other refuses."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from services.gateway.exchange import Denied, Lease, Unavailable
from services.gateway.stages.admission import admit
from tests.services.gateway.fakes import FakeLimits, World, submission

USD = Decimal(1_000)  # of the fake budget


async def refused(world: World) -> str:
    """The code with which the next request is refused."""
    with pytest.raises((Denied, Unavailable)) as refusal:
        await admit(submission(), world.ports())
    return refusal.value.code


async def test_who_is_admitted_holds_a_place_and_money() -> None:
    world = World()
    admitted = await admit(submission(), world.ports())
    assert list(world.limits.open) == [admitted.lease.id]
    assert list(world.budget.open.values()) == [admitted.reservation.usd]


async def test_who_is_over_the_limits_holds_no_money() -> None:
    world = World()
    world.limits.requests_left = 0
    assert await refused(world) == "rate_limit_exceeded"
    assert world.budget.reserved == 1
    assert world.nothing_is_left_open()
    assert world.budget.left == USD


async def test_who_was_over_the_limits_a_moment_ago_costs_the_ledger_nothing() -> None:
    world = World()
    world.limits.requests_left = 0
    for _ in range(5):
        assert await refused(world) == "rate_limit_exceeded"
    assert world.budget.reserved == 1

    world.limits.requests_left = None
    await admit(submission(), world.ports())
    assert world.budget.reserved == 2


@pytest.mark.parametrize("before", ["within the limits", "over them"])
async def test_whoever_lacks_money_holds_no_place(before: str) -> None:
    world = World()
    world.limits.refused = before == "over them"
    world.budget.left = Decimal(0)
    assert await refused(world) == "insufficient_quota"
    assert world.limits.acquired == 1
    assert world.nothing_is_left_open()


async def test_who_is_over_both_is_told_of_the_limits() -> None:
    world = World()
    world.limits.requests_left, world.budget.left = 0, Decimal(0)
    assert await refused(world) == "rate_limit_exceeded"
    assert world.nothing_is_left_open()


@pytest.mark.parametrize("down", ["limits", "budget"])
async def test_a_store_that_is_away_leaves_nothing_taken_in_the_other(down: str) -> None:
    world = World()
    getattr(world, down).down = True
    assert await refused(world) == "service_unavailable"
    assert world.nothing_is_left_open()
    assert world.budget.left == USD


class Undecided(FakeLimits):
    async def acquire(self, *who: Any, **what: Any) -> Lease:
        await asyncio.Event().wait()
        return await super().acquire(*who, **what)


async def test_who_hangs_up_while_the_limits_decide_gets_the_money_back() -> None:
    world = World(limits=Undecided())
    waiting = asyncio.create_task(admit(submission(), world.ports()))
    await asyncio.sleep(0)
    assert world.budget.open
    waiting.cancel()
    await asyncio.wait([waiting])
    assert world.nothing_is_left_open()
    assert world.budget.left == USD
