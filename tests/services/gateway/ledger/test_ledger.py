"""Budgets hold exactly, for any number of requests and gateways at once, and nothing is spent twice or for free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.ledger import Ledger
from services.gateway.exchange import Denied, Reservation, Unavailable
from tests.services.gateway.callers import caller, registration, role
from tests.services.gateway.real_parts import Postgres, settings

USER = "user:assistant:acme:https%3A//identity.example|alice"
WORKLOAD = "workload:assistant"


@pytest.fixture
async def database(postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    database = connect(settings(postgres.port, database_name))
    yield database
    await database.close()


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    ledger = Ledger(database)
    yield ledger
    await ledger.close()


@pytest.fixture
async def owner(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await postgres.superuser(database_name)
    yield connection
    await connection.close()


async def budgets(owner: asyncpg.Connection) -> dict[str, tuple[Decimal | int, Decimal | int]]:
    """What is spent and reserved, by scope."""
    rows = await owner.fetch("SELECT scope, spent, reserved FROM ledger.budget")
    return {row["scope"]: (row["spent"], row["reserved"]) for row in rows}


async def reserve(
    ledger: Ledger, usd: str, *, user: str = "alice", limit: str = "3", workload: str = "100", **more: Any
) -> Reservation:
    """`more`: the tenant, and further budgets."""
    tenant = more.pop("tenant", "acme")
    budget = role(usd_per_day_user=limit, usd_per_day_workload=workload, **more)
    return await ledger.reserve(
        caller(user, tenant), registration(), budget, f"request-{uuid4()}", Decimal(usd), "local"
    )


async def test_a_reservation_is_held_in_both_scopes_and_settled_to_what_was_used(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    reservation = await reserve(ledger, "2")
    assert await budgets(owner) == {USER: (0, 2), WORKLOAD: (0, 2)}

    await ledger.settle(reservation, Decimal("0.5"))
    assert await budgets(owner) == {USER: (Decimal("0.5"), 0), WORKLOAD: (Decimal("0.5"), 0)}


async def test_nobody_is_refused_for_money_that_a_request_before_has_not_used(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    before = await reserve(ledger, "3")
    settled = ledger.settle(before, Decimal("0.5"))  # nobody waits for it
    await reserve(ledger, "2.5")
    assert settled.done()
    assert await budgets(owner) == {USER: (Decimal("0.5"), Decimal("2.5")), WORKLOAD: (Decimal("0.5"), Decimal("2.5"))}


async def test_nobody_is_refused_for_money_that_came_back_while_the_answer_was_on_its_way(
    ledger: Ledger, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await reserve(ledger, "3")
    asked = ledger._reserve_session.fetchval

    async def late(*question: Any, **more: Any) -> object:
        answer = await asked(*question, **more)
        await ledger.settle(before, Decimal("0.5"))
        return answer

    monkeypatch.setattr(ledger._reserve_session, "fetchval", late)
    await reserve(ledger, "2.5")
    assert (await budgets(owner))[USER] == (Decimal("0.5"), Decimal("2.5"))


async def test_what_a_request_before_has_used_is_refused_all_the_same(ledger: Ledger) -> None:
    before = await reserve(ledger, "3")
    ledger.settle(before, Decimal("0.6"))
    with pytest.raises(Denied, match="do not fit"):
        await reserve(ledger, "2.5")


async def test_what_is_settled_at_the_end_is_settled(
    ledger: Ledger, database: Database, owner: asyncpg.Connection
) -> None:
    ending = Ledger(database)
    ending.settle(await reserve(ending, "3"), Decimal("0.5"))
    await ending.close()
    assert await budgets(owner) == {USER: (Decimal("0.5"), 0), WORKLOAD: (Decimal("0.5"), 0)}


async def test_settling_twice_books_once(ledger: Ledger, owner: asyncpg.Connection) -> None:
    reservation = await reserve(ledger, "2")

    await asyncio.gather(*(ledger.settle(reservation, Decimal(1)) for _ in range(5)))
    await ledger.settle(reservation, Decimal(2))
    assert await budgets(owner) == {USER: (1, 0), WORKLOAD: (1, 0)}


async def test_settling_to_nothing_gives_the_money_back(ledger: Ledger, owner: asyncpg.Connection) -> None:
    await ledger.settle(await reserve(ledger, "3"), Decimal(0))

    assert await budgets(owner) == {USER: (0, 0), WORKLOAD: (0, 0)}
    await reserve(ledger, "3")


async def test_of_200_requests_at_once_a_budget_for_3_admits_3(ledger: Ledger, owner: asyncpg.Connection) -> None:
    results = await asyncio.gather(*(reserve(ledger, "1") for _ in range(200)), return_exceptions=True)

    assert sum(isinstance(result, Reservation) for result in results) == 3
    refusals = [result for result in results if isinstance(result, Denied)]
    assert len(refusals) == 197
    assert {(one.status, one.code, one.retryable) for one in refusals} == {(429, "insufficient_quota", False)}
    assert await budgets(owner) == {USER: (0, 3), WORKLOAD: (0, 3)}


async def test_the_budget_of_the_workload_holds_over_its_users(ledger: Ledger, owner: asyncpg.Connection) -> None:
    requests = (reserve(ledger, "1", user=f"user-{number}", workload="3") for number in range(20))
    results = await asyncio.gather(*requests, return_exceptions=True)

    assert sum(isinstance(result, Reservation) for result in results) == 3
    assert all("workload" in result.public for result in results if isinstance(result, Denied))
    held = await budgets(owner)
    assert held[WORKLOAD] == (0, 3)
    # All or nothing: whom the workload's budget refused has nothing reserved in his own.
    assert sum(reserved for scope, (_, reserved) in held.items() if scope != WORKLOAD) == 3


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("usd_per_month_user", "a month of this user"),
        ("usd_per_day_tenant", "a day of this tenant"),
        ("usd_per_month_tenant", "a month of this tenant"),
        ("usd_per_month_workload", "a month of this workload"),
    ],
)
async def test_of_200_requests_at_once_each_further_budget_for_3_admits_3(
    budget: str, said: str, ledger: Ledger, owner: asyncpg.Connection
) -> None:
    results = await asyncio.gather(
        *(reserve(ledger, "1", limit="1000", workload="1000", **{budget: "3"}) for _ in range(200)),
        return_exceptions=True,
    )
    reservations = [result for result in results if isinstance(result, Reservation)]
    refusals = [result for result in results if isinstance(result, Denied)]
    assert (len(reservations), len(refusals)) == (3, 197)
    assert {refusal.code for refusal in refusals} == {"insufficient_quota"}
    assert f"3 US dollars {said}" in refusals[0].public

    await asyncio.gather(*(ledger.settle(one, Decimal("0.5")) for one in reservations))
    assert set((await budgets(owner)).values()) == {(Decimal("1.5"), Decimal(0))}


async def test_a_month_holds_over_its_days(ledger: Ledger, owner: asyncpg.Connection) -> None:
    await ledger.settle(await reserve(ledger, "2", usd_per_month_user="3"), Decimal(2))
    # A day later in the same month: the day's row is not today's any more.
    await owner.execute("DELETE FROM ledger.budget WHERE scope NOT LIKE 'month:%'")
    with pytest.raises(Denied, match="month"):
        await reserve(ledger, "2", usd_per_month_user="3")
    await reserve(ledger, "1", usd_per_month_user="3")


async def test_a_new_month_has_its_whole_budget(ledger: Ledger, owner: asyncpg.Connection) -> None:
    await ledger.settle(await reserve(ledger, "3", usd_per_month_user="3"), Decimal(3))
    await owner.execute("UPDATE ledger.budget SET period_start = period_start - interval '1 month'")
    assert (await reserve(ledger, "3", usd_per_month_user="3")).usd == Decimal(3)


async def test_what_is_settled_after_midnight_is_booked_on_the_day_and_month_of_its_reservation(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    late = await reserve(ledger, "3", usd_per_month_user="3")
    for table in ("budget", "reservation"):
        await owner.execute(f"UPDATE ledger.{table} SET period_start = (period_start - interval '2 month')::date")
    await owner.execute(
        "UPDATE ledger.budget SET period_start = date_trunc('month', period_start) WHERE scope LIKE 'month:%'"
    )
    await ledger.settle(late, Decimal(1))
    assert await budgets(owner) == dict.fromkeys((USER, f"month:{USER}", WORKLOAD), (Decimal(1), Decimal(0)))


async def test_another_tenant_has_a_budget_of_its_own(ledger: Ledger) -> None:
    await reserve(ledger, "3", usd_per_day_tenant="3")
    with pytest.raises(Denied, match="tenant"):
        await reserve(ledger, "1", user="bob", usd_per_day_tenant="3")
    await reserve(ledger, "3", user="bob", tenant="globex", usd_per_day_tenant="3")


async def test_a_refusal_of_any_budget_reserves_in_none(ledger: Ledger, owner: asyncpg.Connection) -> None:
    with pytest.raises(Denied):
        await reserve(ledger, "2", usd_per_month_workload="1")
    assert set((await budgets(owner)).values()) == {(Decimal(0), Decimal(0))}


async def test_money_that_was_spent_stays_spent(ledger: Ledger) -> None:
    for _ in range(3):
        await ledger.settle(await reserve(ledger, "1"), Decimal(1))

    with pytest.raises(Denied, match="do not fit"):
        await reserve(ledger, "0.000000001")


async def test_costs_are_rounded_up(ledger: Ledger, owner: asyncpg.Connection) -> None:
    reservation = await reserve(ledger, "0.0000000001")
    assert reservation.usd == Decimal("0.000000001")

    await ledger.settle(reservation, Decimal("0.0000000011"))
    assert (await budgets(owner))[USER] == (Decimal("0.000000002"), 0)


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity", "1000000000000"])
async def test_a_cost_that_is_none_is_refused(ledger: Ledger, usd: str) -> None:
    with pytest.raises(Unavailable, match="from 0 to"):
        await reserve(ledger, usd)


async def test_callers_whose_names_look_alike_have_budgets_of_their_own(ledger: Ledger) -> None:
    await reserve(ledger, "3", user="a|b")
    await reserve(ledger, "3", user="a%7Cb")

    with pytest.raises(Denied):
        await reserve(ledger, "3", user="a|b")


async def test_a_reservation_nobody_settled_counts_as_spent(ledger: Ledger, owner: asyncpg.Connection) -> None:
    lost = await reserve(ledger, "2")
    await owner.execute("UPDATE ledger.reservation SET created_at = created_at - interval '16 minutes'")
    fresh = await reserve(ledger, "1")

    assert await ledger.sweep() == 1
    assert (await budgets(owner))[USER] == (2, 1)
    await ledger.settle(lost, Decimal(0))  # too late: the worst case has been booked
    await ledger.settle(fresh, Decimal(0))
    assert (await budgets(owner))[USER] == (2, 0)


async def test_a_young_reservation_is_not_swept(ledger: Ledger, owner: asyncpg.Connection) -> None:
    await reserve(ledger, "2")

    assert await ledger.sweep() == 0
    assert (await budgets(owner))[USER] == (0, 2)


async def test_a_caller_who_goes_away_while_reserving_leaves_nothing_behind(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    await reserve(ledger, "1")  # connected
    leaving = asyncio.create_task(reserve(ledger, "2"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])

    await ledger.settle(await reserve(ledger, "0"), Decimal(0))
    assert (await budgets(owner))[USER] == (0, 1)


@pytest.mark.parametrize("moment", ["at once", "under way", "decided"])
async def test_what_is_given_up_is_given_back_whenever_that_is(
    ledger: Ledger, owner: asyncpg.Connection, moment: str
) -> None:
    await reserve(ledger, "1")  # connected
    reserving = ledger.reserve(
        caller("alice"), registration(), role(usd_per_day_user="3"), "request", Decimal(2), "local"
    )
    if moment != "at once":
        await asyncio.sleep(0)
    if moment == "decided":
        await ledger._reserving.drain()
        assert (await budgets(owner))[USER] == (0, 3)
    reserving.give_up()
    await ledger._reserving.drain()
    await ledger._settling.drain()
    assert (await budgets(owner))[USER] == (0, 1)


async def test_what_did_not_fit_or_failed_can_be_given_up_too(ledger: Ledger, owner: asyncpg.Connection) -> None:
    too_much = ledger.reserve(
        caller("alice"), registration(), role(usd_per_day_user="3"), "request", Decimal(4), "local"
    )
    await ledger._reserving.drain()
    too_much.give_up()
    await owner.execute("ALTER TABLE ledger.reservation RENAME TO away")
    failing = ledger.reserve(
        caller("alice"), registration(), role(usd_per_day_user="3"), "request", Decimal(1), "local"
    )
    await ledger._reserving.drain()
    failing.give_up()
    await owner.execute("ALTER TABLE ledger.away RENAME TO reservation")
    await ledger._settling.drain()
    assert (await budgets(owner)).get(USER, (0, 0)) == (0, 0)


async def test_without_the_database_there_is_no_money_and_nothing_is_lost(
    ledger: Ledger, owner: asyncpg.Connection, postgres: Postgres, database_name: str
) -> None:
    reservation = await reserve(ledger, "1")
    await owner.execute("CHECKPOINT")
    postgres.stop()
    try:
        with pytest.raises(Unavailable):
            await reserve(ledger, "1")
        with pytest.raises(Unavailable):
            await ledger.settle(reservation, Decimal("0.25"))
    finally:
        postgres.start()

    # The failed settlement is made up for with the next group; the failed reservation left nothing.
    await ledger.settle(await reserve(ledger, "1"), Decimal(1))
    again = await postgres.superuser(database_name)
    try:
        assert (await budgets(again))[USER] == (Decimal("1.25"), 0)
    finally:
        await again.close()


async def test_nobody_is_refused_for_money_that_could_not_be_given_back_at_first(
    ledger: Ledger, postgres: Postgres
) -> None:
    reservation = await reserve(ledger, "3")
    postgres.stop()
    try:
        with pytest.raises(Unavailable):
            await ledger.settle(reservation, Decimal("0.5"))
    finally:
        postgres.start()
    await reserve(ledger, "2.5")
    with pytest.raises(Denied, match="do not fit"):
        await reserve(ledger, "0.1")


async def test_the_gateway_cannot_reach_the_tables_of_the_ledger(database: Database) -> None:
    for statement in (
        "UPDATE ledger.budget SET spent = 0",
        "DELETE FROM ledger.reservation",
        "SELECT * FROM ledger.budget",
        "SELECT ledger.finish('{}', '{}', 'settled')",
    ):
        with pytest.raises(Unavailable, match="InsufficientPrivilege"):
            await database.fetch(statement)
