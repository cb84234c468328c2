"""Limits hold exactly under concurrency, and a Valkey that fails is never a free pass."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.adapters.limits import DEADLINE_S, ValkeyLimits, keys
from services.gateway.exchange import Denied, Lease, Rate, Role, SharedLimits, Unavailable, Usage
from tests.recovery import Recovery
from tests.services.gateway.callers import caller, registration, role
from tests.services.gateway.patience import own_deadlines
from tests.services.gateway.real_parts import Valkey, settings

_numbers = itertools.count()


@pytest.fixture
def someone() -> str:
    """A caller nobody else in these tests is: limits of one test do not meet those of another."""
    return f"user-{next(_numbers)}"


async def acquire(limits: ValkeyLimits, who: str, role_: Role, *, tokens: tuple[int, int] = (1, 1)) -> Lease:
    return await limits.acquire(caller(who), registration(), role_, input_tokens=tokens[0], output_tokens=tokens[1])


async def admitted(limits: ValkeyLimits, who: str, role_: Role, requests: int, tokens: tuple[int, int] = (1, 1)) -> int:
    results = await asyncio.gather(
        *(acquire(limits, who, role_, tokens=tokens) for _ in range(requests)), return_exceptions=True
    )
    assert {type(result) for result in results} <= {Lease, Denied}
    return sum(isinstance(result, Lease) for result in results)


@pytest.mark.parametrize(
    ("role_", "tokens"),
    [
        (role(requests_per_minute=7), (1, 1)),
        (role(input_tokens_per_minute=77), (11, 1)),
        (role(output_tokens_per_minute=79), (1, 11)),
        (role(concurrent_requests_max=7), (1, 1)),
    ],
    ids=["requests", "input tokens", "output tokens", "concurrency"],
)
async def test_of_100_requests_at_once_exactly_those_within_the_limit_are_admitted(
    limits: ValkeyLimits, someone: str, role_: Role, tokens: tuple[int, int]
) -> None:
    assert await admitted(limits, someone, role_, 100, tokens) == 7


async def test_two_gateways_share_one_limit(limits: ValkeyLimits, valkey: Valkey, someone: str) -> None:
    second = ValkeyLimits(settings(1, "unused", valkey_port=valkey.port))
    counts = await asyncio.gather(
        *(admitted(one, someone, role(requests_per_minute=9), 50) for one in (limits, second))
    )
    await second.close()

    assert sum(counts) == 9


async def test_a_refusal_says_what_was_over_and_when_to_come_back(limits: ValkeyLimits, someone: str) -> None:
    began = time.monotonic()
    await acquire(limits, someone, role(requests_per_minute=1))

    with pytest.raises(Denied) as refused:
        await acquire(limits, someone, role(requests_per_minute=1))
    passed_s = time.monotonic() - began
    error = refused.value
    assert (error.status, error.code, error.retryable) == (429, "rate_limit_exceeded", None)
    assert error.retry_after_s is not None
    assert 59 - passed_s <= error.retry_after_s <= 60
    assert "1 requests a minute" in error.public


async def test_what_was_refused_was_not_charged(limits: ValkeyLimits, someone: str) -> None:
    tight = role(requests_per_minute=6, output_tokens_per_minute=10)
    assert await admitted(limits, someone, tight, 30, (1, 10)) == 1

    # 29 refusals later all other requests of the minute are still there; none has come back with time yet.
    assert await admitted(limits, someone, role(requests_per_minute=6), 150) == 5


async def test_a_request_above_the_whole_limit_is_told_not_to_come_back(limits: ValkeyLimits, someone: str) -> None:
    with pytest.raises(Denied) as refused:
        await acquire(limits, someone, role(input_tokens_per_minute=10), tokens=(11, 1))

    assert (refused.value.retry_after_s, refused.value.retryable) == (None, False)


async def test_a_limit_comes_back_with_time(limits: ValkeyLimits, someone: str) -> None:
    fast = role(requests_per_minute=600)  # ten a second
    began = time.monotonic()
    at_once = await admitted(limits, someone, fast, 700)
    assert at_once >= 600

    await asyncio.sleep(0.35)
    later = await admitted(limits, someone, fast, 50)
    assert later >= 3
    assert at_once + later <= 600 + 10 * (time.monotonic() - began) + 1


async def test_releasing_frees_the_place(limits: ValkeyLimits, someone: str) -> None:
    one = role(concurrent_requests_max=1)
    lease = await acquire(limits, someone, one)
    with pytest.raises(Denied, match="concurrent"):
        await acquire(limits, someone, one)

    await limits.release(lease, None)
    assert isinstance(await acquire(limits, someone, one), Lease)


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_caller_who_goes_away_while_being_admitted_holds_no_place(
    after: int, limits: ValkeyLimits, someone: str
) -> None:
    narrow = role(concurrent_requests_max=1, input_tokens_per_minute=10)
    going = asyncio.create_task(acquire(limits, someone, narrow, tokens=(10, 1)))
    for _ in range(after):
        await asyncio.sleep(0)
    going.cancel()
    (gone,) = await asyncio.gather(going, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    await acquire(limits, someone, narrow, tokens=(10, 1))


async def test_releasing_gives_back_tokens_that_were_not_used_once(limits: ValkeyLimits, someone: str) -> None:
    tight = role(output_tokens_per_minute=100)
    lease = await acquire(limits, someone, tight, tokens=(1, 100))
    await limits.release(lease, Usage(1, 40))
    await limits.release(lease, Usage(1, 0))

    assert await admitted(limits, someone, tight, 20, (1, 10)) == 6


async def test_releasing_charges_tokens_used_beyond_the_advance(limits: ValkeyLimits, someone: str) -> None:
    tight = role(output_tokens_per_minute=100)
    await limits.release(await acquire(limits, someone, tight, tokens=(1, 10)), Usage(1, 70))

    assert await admitted(limits, someone, tight, 20, (1, 10)) == 3


async def test_releasing_without_usage_keeps_the_advance(limits: ValkeyLimits, someone: str) -> None:
    tight = role(output_tokens_per_minute=100)
    await limits.release(await acquire(limits, someone, tight, tokens=(1, 60)), None)

    assert await admitted(limits, someone, tight, 20, (1, 10)) == 4


async def test_nobody_shares_limits_with_another_tenant_role_workload_or_user(
    limits: ValkeyLimits, someone: str
) -> None:
    one, other = role(requests_per_minute=1), role(name="support", requests_per_minute=1)
    callers = [
        (caller(someone), registration(), one),
        (caller(someone, "globex"), registration(), one),
        (caller(someone), registration("another"), one),
        (caller(someone), registration(), other),
        (caller(f"{someone}-2"), registration(), one),
    ]
    for who, what, as_role in callers:
        lease = await limits.acquire(who, what, as_role, input_tokens=1, output_tokens=1)
        assert isinstance(lease, Lease)

    assert len({keys(*one_) for one_ in callers}) == len(callers)
    assert all(someone not in key for one_ in callers for key in keys(*one_))


async def test_an_admission_says_what_is_left(limits: ValkeyLimits, someone: str) -> None:
    bounded = role(requests_per_minute=60, input_tokens_per_minute=1000, output_tokens_per_minute=600)
    first = (await acquire(limits, someone, bounded, tokens=(100, 60))).allowance
    assert first is not None
    assert (first.requests.limit, first.requests.remaining) == (60, 59)
    assert (first.input_tokens.limit, first.input_tokens.remaining) == (1000, 900)
    assert (first.output_tokens.limit, first.output_tokens.remaining) == (600, 540)
    assert (first.requests.reset_ms, first.input_tokens.reset_ms, first.output_tokens.reset_ms) == (1000, 6000, 6000)


async def test_a_refusal_says_what_is_left_too(limits: ValkeyLimits, someone: str) -> None:
    single = role(requests_per_minute=1)
    began = time.monotonic()
    await acquire(limits, someone, single)
    with pytest.raises(Denied) as refused:
        await acquire(limits, someone, single)

    passed_ms = 1000 * (time.monotonic() - began)
    assert refused.value.allowance is not None
    assert refused.value.allowance.requests.remaining == 0
    assert 59_999 - passed_ms <= refused.value.allowance.requests.reset_ms <= 60_000
    assert refused.value.allowance.input_tokens.remaining > 0, "and what was not the reason is told as it is"


NARROW = SharedLimits(
    requests_per_minute=5, input_tokens_per_minute=10**6, output_tokens_per_minute=10**6, concurrent_requests_max=10**6
)


@pytest.mark.parametrize(
    ("scope", "limit", "requests_of"),
    [
        ("tenant_limits", {"requests_per_minute": 5}, {"acme": 5, "globex": 5}),
        ("workload_limits", {"requests_per_minute": 5}, {"acme": 5, "globex": 0}),
        ("workload_limits", {"concurrent_requests_max": 7}, {"acme": 7, "globex": 0}),
        ("tenant_limits", {"input_tokens_per_minute": 9}, {"acme": 9, "globex": 9}),
    ],
    ids=["tenant", "workload", "workload's concurrency", "tenant's tokens"],
)
async def test_a_shared_limit_holds_over_all_its_users_and_no_others(
    limits: ValkeyLimits, someone: str, scope: str, limit: dict[str, int], requests_of: dict[str, int]
) -> None:
    bounds: dict[str, Any] = {scope: SharedLimits(**dict.fromkeys(NARROW.__slots__, 10**6) | limit)}
    shared = replace(registration(someone), **bounds)
    for tenant, expected in requests_of.items():
        results = await asyncio.gather(
            *(
                limits.acquire(caller(f"user-{n}", tenant), shared, role(), input_tokens=1, output_tokens=1)
                for n in range(40)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(result, Lease) for result in results) == expected
        assert {type(result) for result in results} <= {Lease, Denied}


async def test_a_shared_limit_that_refuses_charges_nobody(limits: ValkeyLimits, someone: str) -> None:
    shared = replace(registration(someone), workload_limits=NARROW)
    for _ in range(5):
        await limits.acquire(caller("first"), shared, role(), input_tokens=1, output_tokens=1)
    with pytest.raises(Denied, match="5 requests a minute of the workload") as refused:
        await limits.acquire(caller("second"), shared, role(requests_per_minute=9), input_tokens=1, output_tokens=1)

    assert refused.value.allowance is not None
    assert refused.value.allowance.requests == Rate(5, 0, refused.value.allowance.requests.reset_ms)
    free = replace(shared, workload_limits=None)
    lease = await limits.acquire(caller("second"), free, role(requests_per_minute=9), input_tokens=1, output_tokens=1)
    assert lease.allowance is not None
    assert lease.allowance.requests.remaining == 8


async def test_who_was_refused_had_no_room_until_admitted_again(limits: ValkeyLimits, someone: str) -> None:
    one = role(concurrent_requests_max=1)
    who, other = caller(someone), caller(f"not-{someone}")
    assert limits.had_room(who, registration(), one)
    lease = await acquire(limits, someone, one)
    assert limits.had_room(who, registration(), one)
    with pytest.raises(Denied):
        await acquire(limits, someone, one)
    assert not limits.had_room(who, registration(), one)
    assert limits.had_room(other, registration(), one)

    await limits.release(lease, None)
    await acquire(limits, someone, one)
    assert limits.had_room(who, registration(), one)


async def test_where_a_shared_limit_refused_one_had_none_of_its_users_room(limits: ValkeyLimits, someone: str) -> None:
    shared = replace(registration(someone), workload_limits=NARROW)
    for n in range(5):
        await limits.acquire(caller(f"user-{n}"), shared, role(), input_tokens=1, output_tokens=1)
    with pytest.raises(Denied):
        await limits.acquire(caller("first"), shared, role(), input_tokens=1, output_tokens=1)
    assert not limits.had_room(caller("second"), shared, role())
    assert limits.had_room(caller("second"), registration(f"another-{someone}"), role())


async def test_a_place_is_kept_by_renewing_and_lost_without(
    limits: ValkeyLimits, someone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.adapters.limits.LEASE_S", 4)
    one = role(concurrent_requests_max=1)
    await acquire(limits, someone, one)
    for _ in range(5):
        await asyncio.sleep(1)
        await limits.renew()
    with pytest.raises(Denied, match="concurrent"):
        await acquire(limits, someone, one)

    await asyncio.sleep(4.1)  # the gateway that held it is gone
    assert isinstance(await acquire(limits, someone, one), Lease)


async def test_a_place_taken_by_a_call_that_was_never_answered_is_given_back(
    limits: ValkeyLimits, valkey: Valkey, someone: str
) -> None:
    one = role(concurrent_requests_max=1)
    await acquire(limits, f"{someone}-warm", one)
    valkey.freeze()
    try:
        with own_deadlines(), pytest.raises(Unavailable):
            await acquire(limits, someone, one)  # it reached Valkey, which decides when it wakes up
    finally:
        valkey.thaw()
    await limits.renew()

    assert isinstance(await acquire(limits, someone, one), Lease)


async def test_a_release_that_failed_is_made_up_for(limits: ValkeyLimits, valkey: Valkey, someone: str) -> None:
    one = role(concurrent_requests_max=1, output_tokens_per_minute=100)
    lease = await acquire(limits, someone, one, tokens=(1, 100))
    valkey.freeze()
    try:
        with own_deadlines(), pytest.raises(Unavailable):
            await limits.release(lease, Usage(1, 0))
    finally:
        valkey.thaw()
    await limits.renew()

    assert isinstance(await acquire(limits, someone, one, tokens=(1, 100)), Lease)


async def test_a_restarted_valkey_is_used_again_without_help(
    limits: ValkeyLimits, valkey: Valkey, someone: str
) -> None:
    await acquire(limits, someone, role())
    valkey.stop(signal.SIGKILL)
    try:
        with pytest.raises(Unavailable):
            await acquire(limits, someone, role())
    finally:
        valkey.start()

    recovery = Recovery()
    while True:
        try:
            await acquire(limits, someone, role())
            break
        except Unavailable:
            await recovery.pause()


async def test_a_valkey_that_hangs_costs_next_to_no_time(limits: ValkeyLimits, valkey: Valkey, someone: str) -> None:
    valkey.freeze()
    try:
        waited: list[float] = []
        for _ in range(10):
            began = time.monotonic()
            with own_deadlines(), pytest.raises(Unavailable):
                await acquire(limits, someone, role())
            waited.append(time.monotonic() - began)
    finally:
        valkey.thaw()

    assert max(waited) < DEADLINE_S + 5  # the machine may stall
    assert sorted(waited)[5] < DEADLINE_S / 2, "the breaker answers at once"


async def test_while_valkey_is_down_it_is_not_ready(limits: ValkeyLimits, valkey: Valkey) -> None:
    await limits.ready()
    valkey.stop(signal.SIGKILL)
    try:
        with pytest.raises(Unavailable):
            await limits.ready()
    finally:
        valkey.start()
