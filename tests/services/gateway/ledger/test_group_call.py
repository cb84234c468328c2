"""Concurrent calls share a call, none waits for company, and a failure is everybody's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.adapters.group_call import GroupCall
from services.gateway.exchange import Unavailable


class Doubling:
    """Doubles numbers, in groups it remembers; fails for a group that holds `fails_on`."""

    def __init__(self, fails_on: int | None = None) -> None:
        self.groups: list[list[int]] = []
        self.fails_on = fails_on
        self.abandoned: list[int] = []
        self.call = GroupCall[int, int](
            "test", self._double, group_max=4, waiting_max=20, abandoned=self.abandoned.append
        )

    async def _double(self, numbers: list[int]) -> Sequence[int]:
        self.groups.append(numbers)
        await asyncio.sleep(0.01)
        if self.fails_on in numbers:
            raise Unavailable("test", "no doubling today")
        return [2 * number for number in numbers]


async def test_everybody_gets_their_own_result() -> None:
    doubling = Doubling()

    assert await asyncio.gather(*(doubling.call(number) for number in range(10))) == [2 * n for n in range(10)]
    assert doubling.groups == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_lone_call_starts_at_once() -> None:
    doubling = Doubling()

    await doubling.call(1)
    await doubling.call(2)
    assert doubling.groups == [[1], [2]]


async def test_a_failure_is_that_of_its_group_only() -> None:
    doubling = Doubling(fails_on=5)
    results = await asyncio.gather(*(doubling.call(number) for number in range(10)), return_exceptions=True)

    failures = [result for result in results if isinstance(result, Unavailable)]
    assert [result for result in results if isinstance(result, int)] == [0, 2, 4, 6, 16, 18]
    assert len({id(failure) for failure in failures}) == len(failures) == 4


async def test_too_many_waiting_calls_are_refused() -> None:
    doubling = Doubling()
    results = await asyncio.gather(*(doubling.call(number) for number in range(30)), return_exceptions=True)

    assert sum(isinstance(result, Unavailable) for result in results) == 10


async def test_a_caller_who_went_away_is_reported() -> None:
    doubling = Doubling()
    leaving = asyncio.create_task(doubling.call(1))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    await doubling.call.drain()

    assert doubling.abandoned == [1]


async def test_a_caller_who_went_away_just_after_the_call_is_reported_too() -> None:
    leaving: list[asyncio.Task[int]] = []
    abandoned: list[int] = []

    async def call(numbers: list[int]) -> Sequence[int]:
        asyncio.get_running_loop().call_soon(leaving[0].cancel)  # comes between the result and who awaits it
        return numbers

    group_call = GroupCall[int, int]("test", call, group_max=1, waiting_max=1, abandoned=abandoned.append)
    leaving.append(asyncio.create_task(group_call(1)))
    await asyncio.wait(leaving)
    assert leaving[0].cancelled()
    assert abandoned == [1]


async def test_a_defect_is_raised_where_the_call_was_made() -> None:
    async def broken(_numbers: list[int]) -> Sequence[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await GroupCall[int, int]("test", broken, group_max=1, waiting_max=1)(1)


async def test_what_is_deferred_goes_before_the_next_that_is_not_and_with_it() -> None:
    doubling = Doubling()
    deferred = [doubling.call.defer(number, 60) for number in range(2)]
    assert await doubling.call(2) == 4
    assert doubling.groups == [[0, 1, 2]]
    assert [one.result() for one in deferred] == [0, 2]


async def test_what_is_deferred_goes_by_itself_in_time() -> None:
    doubling = Doubling()
    deferred = [doubling.call.defer(number, 0.02) for number in range(2)]
    await asyncio.sleep(0)
    assert doubling.groups == []
    assert await asyncio.gather(*deferred) == [0, 2]
    assert doubling.groups == [[0, 1]]


async def test_what_is_deferred_during_a_call_waits_for_company_too() -> None:
    doubling = Doubling()
    under_way = doubling.call.begin(0)
    await asyncio.sleep(0)
    deferred = doubling.call.defer(1, 0.05)
    await under_way
    await asyncio.sleep(0)
    assert doubling.groups == [[0]]
    assert await doubling.call(2) == 4
    assert (doubling.groups, deferred.result()) == ([[0], [1, 2]], 2)
    late = doubling.call.defer(3, 0.01)
    assert await late == 6


async def test_draining_waits_for_nothing_that_was_deferred() -> None:
    doubling = Doubling()
    deferred = [doubling.call.defer(number, 60) for number in range(6)]
    async with asyncio.timeout(5):
        await doubling.call.drain()
    assert [one.result() for one in deferred] == [0, 2, 4, 6, 8, 10]
    assert doubling.call.idle
