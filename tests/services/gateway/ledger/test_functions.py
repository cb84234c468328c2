"""The ledger's functions as the gateway calls them: all at once where all fits, otherwise one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.gateway.adapters.ledger import RESERVE, SETTLE, Group
from tests.services.gateway.real_parts import HOST, Postgres

LIMIT = Decimal(100)
WHO = ("w", "acme", "i|alice", "local")
Sums = dict[str, tuple[Decimal | int, Decimal | int]]  # spent and reserved, by scope


async def connected(postgres: Postgres, database_name: str) -> asyncpg.Connection:
    return await asyncpg.connect(host=HOST, port=postgres.port, user="gateway", database=database_name, password="-")


@pytest.fixture
async def gateway(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connected(postgres, database_name)
    yield connection
    await connection.close()


@pytest.fixture
async def owner(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await postgres.superuser(database_name)
    yield connection
    await connection.close()


async def reserve(
    gateway: asyncpg.Connection,
    scopes: Sequence[str],
    *asked: tuple[str, Sequence[int]],
    limits: Sequence[Sequence[Decimal | None]] | None = None,
    function: str = "reserve_within",
) -> tuple[list[int], list[UUID]]:
    """The verdicts and the ids. Each asks so much of the scopes with those numbers, from 1; 0 is none."""
    ids = [uuid4() for _ in asked]
    verdicts = await gateway.fetchval(
        RESERVE.replace("reserve_within", function),
        Group(
            list(scopes),
            [id_.hex for id_ in ids],
            ["r"] * len(ids),
            [Decimal(usd) for usd, _ in asked],
            [list(numbers) for _, numbers in asked],
            [list(one) for one in limits or [[LIMIT] * len(numbers) for _, numbers in asked]],
            [WHO] * len(ids),
        ).packed(),
    )
    return verdicts, ids


async def sums(owner: asyncpg.Connection) -> Sums:
    rows = await owner.fetch("SELECT scope, spent, reserved FROM ledger.budget")
    return {row["scope"]: (row["spent"], row["reserved"]) for row in rows}


async def test_a_group_that_fits_is_reserved_in_each_scope_with_its_own_sum(
    gateway: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    scopes = ["month:user:b", "user:a", "user:b"]
    for _ in range(2):  # the first makes the rows, the second finds them
        assert (await reserve(gateway, scopes, ("1", [2, 0]), ("2", [3, 1]), ("4", [3, 1])))[0] == [0, 0, 0]
    assert await sums(owner) == {"month:user:b": (0, 12), "user:a": (0, 2), "user:b": (0, 12)}


async def test_a_group_that_does_not_fit_is_decided_one_by_one(
    gateway: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    await reserve(gateway, ["a", "b"], ("1", [1, 2]))
    limits = [[Decimal(10), Decimal(4)]] * 3
    verdicts, _ = await reserve(gateway, ["a", "b"], ("2", [1, 2]), ("2", [1, 2]), ("1", [1, 2]), limits=limits)
    assert verdicts == [0, 2, 0]
    assert await sums(owner) == {"a": (0, 4), "b": (0, 4)}


async def test_of_two_limits_of_one_scope_each_binds_its_own_request(gateway: asyncpg.Connection) -> None:
    await reserve(gateway, ["a"], ("1", [1]))
    limits = [[Decimal(2)], [Decimal(9)]]
    assert (await reserve(gateway, ["a"], ("1", [1]), ("3", [1]), limits=limits))[0] == [0, 0]
    assert (await reserve(gateway, ["a"], ("1", [1]), ("3", [1]), limits=limits))[0] == [1, 0]


async def test_a_limit_that_is_missing_admits_nothing(gateway: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    await reserve(gateway, ["a"], ("0", [1]))
    assert (await reserve(gateway, ["a"], ("1", [1]), limits=[[None]]))[0] == [1]
    assert await sums(owner) == {"a": (0, 0)}


async def test_a_scope_that_nobody_asks_of_is_not_settled_either(
    gateway: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    for _ in range(2):
        _, ids = await reserve(gateway, ["a", "b"], ("1", [1]))
        await gateway.fetchval(SETTLE, ids, [Decimal(1)])
    assert await sums(owner) == {"a": (2, 0), "b": (0, 0)}


@pytest.mark.parametrize("others", [0, 1])
async def test_a_sum_below_nothing_is_refused_whole(
    others: int, gateway: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    _, ids = await reserve(gateway, ["a"], ("1", [1]), ("1", [1]))
    with pytest.raises(asyncpg.RaiseError, match="must not be negative"):
        await reserve(gateway, ["a"], *[("1", [1])] * others, ("-1", [1]))
    with pytest.raises(asyncpg.RaiseError, match="must not be negative"):
        await gateway.fetchval(SETTLE, ids[: others + 1], [Decimal(-1)] + [Decimal(1)] * others)
    assert await sums(owner) == {"a": (0, 2)}


@pytest.mark.parametrize("together", [1, 2])
async def test_what_is_settled_again_changes_nothing(
    together: int, gateway: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    _, ids = await reserve(gateway, ["a", "month:a"], *[("3", [1, 2])] * together)
    assert await gateway.fetchval(SETTLE, ids, [Decimal(1)] * together) == together
    assert await gateway.fetchval(SETTLE, ids, [Decimal(2)] * together) == 0
    assert await sums(owner) == dict.fromkeys(("a", "month:a"), (together, 0))


async def test_the_gateway_calls_no_function_that_is_not_its_own(gateway: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reserve(gateway, ["a"], ("1", [1]), function="reserve_one_by_one")


async def test_gateways_that_share_budgets_never_stand_in_each_others_way_for_good(
    postgres: Postgres, database_name: str, owner: asyncpg.Connection
) -> None:
    """Any scopes in any groups, some that do not fit, at once: a deadlock would be an error of one of them."""

    async def one_of_them(seed: int) -> None:
        random, connection = Random(seed), await connected(postgres, database_name)  # noqa: S311 - not a secret
        for _ in range(60):
            scopes = sorted(random.sample([f"{period}user:{name}" for name in "abc" for period in ("", "month:")], 3))
            asked = [("1", random.sample((1, 2, 3), 2)) for _ in range(random.choice((1, 3)))]
            limits = [[random.choice((LIMIT, Decimal(2)))] * 2 for _ in asked]
            verdicts, ids = await reserve(connection, scopes, *asked, limits=limits)
            held = [id_ for verdict, id_ in zip(verdicts, ids, strict=True) if verdict == 0]
            await connection.fetchval(SETTLE, held, [Decimal("0.01")] * len(held))
        await connection.close()

    await asyncio.gather(*(one_of_them(seed) for seed in range(4)))
    assert {reserved for _, reserved in (await sums(owner)).values()} == {0}
