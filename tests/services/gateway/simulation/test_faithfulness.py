"""The simulated stores answer as the real ones do: the same calls, one after the other, to both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from services.gateway.adapters import audit_owed, audit_writer, ledger
from services.gateway.adapters.audit_recovery import OPEN_INTENTS
from services.gateway.adapters.limits import SCRIPT
from services.gateway.audit.record import CLOSING_KINDS, NO_HASH, entry, row, timestamp
from tests.services.gateway.real_parts import HOST, Postgres, Valkey
from tests.services.gateway.simulation.postgres import Session, Store
from tests.services.gateway.simulation.valkey import Limiter

CHAIN = UUID("11111111-2222-4333-8444-555555555555")
OTHER = UUID("21111111-2222-4333-8444-555555555555")
IDS = [UUID(int=number) for number in range(1, 30)]
Step = tuple[int, str, tuple[Any, ...]]  # session, statement, values


def simulated() -> Store:
    return Store(lambda: datetime.now(UTC), lambda _, act: None)


@pytest.fixture
async def real(postgres: Postgres, database_name: str) -> AsyncIterator[list[asyncpg.Connection]]:
    sessions = [
        await asyncpg.connect(host=HOST, port=postgres.port, user="gateway", database=database_name, password="-")
        for _ in range(2)
    ]
    yield sessions
    for session in sessions:
        await session.close()


async def told(real: list[asyncpg.Connection], step: Step) -> list[tuple[Any, ...]] | str:
    session, statement, values = step
    try:
        return [tuple(found.values()) for found in await real[session].fetch(statement, *values)]
    except asyncpg.PostgresError as error:
        return type(error).__name__


def told_by(store: Store, sessions: Sequence[Session], step: Step) -> list[tuple[Any, ...]] | str:
    session, statement, values = step
    try:
        return [tuple(found.values()) for found in store.run(sessions[session], statement, values)]
    except asyncpg.PostgresError as error:
        return type(error).__name__


async def assert_same_answers(real: list[asyncpg.Connection], steps: Sequence[Step]) -> list[Any]:
    store, sessions = simulated(), [Session(), Session()]
    answers = []
    for step in steps:
        expected = await told(real, step)
        answer = told_by(store, sessions, step)
        answer, expected = _of_note(answer), _of_note(expected)
        assert answer == expected, step
        answers.append(answer)
    return answers


def _of_note(answer: list[tuple[Any, ...]] | str) -> list[tuple[Any, ...]] | str:
    """No row, null and void are one and the same to who asks for a value."""
    return answer if isinstance(answer, str) else [found for found in answer if found not in ((None,), ("",))]


def _insert(first_seq: int, *kinds: tuple[str, str]) -> Step:
    rows = [
        row(str(CHAIN), first_seq + n, NO_HASH, entry(k, r, {}), timestamp(datetime.now(UTC)))
        for n, (k, r) in enumerate(kinds)
    ]
    columns = [[getattr(one, name) for one in rows] for name in ("seq", "kind", "request_id", "record", "hash")]
    if len(rows) == 1:
        return 0, audit_writer.INSERT_ONE, (CHAIN, *(values[0] for values in columns))
    return 0, audit_writer.INSERT, (CHAIN, *columns)


LOCK = "SELECT pg_try_advisory_lock(audit.lock_key($1))"
UNLOCK = "SELECT pg_advisory_unlock(audit.lock_key($1))"


async def test_the_audit_chains_statements(real: list[asyncpg.Connection]) -> None:
    owed = ["a", "b", "c", "d"]
    await assert_same_answers(
        real,
        [
            (0, LOCK, (CHAIN,)),
            (0, LOCK, (CHAIN,)),
            (1, LOCK, (CHAIN,)),
            (1, LOCK, (OTHER,)),
            (1, UNLOCK, (OTHER,)),
            (0, "INSERT INTO audit.chain (chain) VALUES ($1)", (CHAIN,)),
            (1, audit_writer.IS_TAKEN, (CHAIN,)),
            (1, audit_writer.IS_TAKEN, (OTHER,)),
            _insert(0, ("genesis", ""), ("intent", "a"), ("intent", "b"), ("outcome", "a")),
            _insert(3, ("intent", "c")),
            _insert(4, ("intent", "c"), ("refusal", "b"), ("refusal", "d")),
            (1, "SELECT coalesce(max(seq), 0) FROM audit.record WHERE chain = $1", (CHAIN,)),
            (1, "SELECT coalesce(max(seq), 0) FROM audit.record WHERE chain = $1", (OTHER,)),
            (1, "SELECT seq, hash FROM audit.record WHERE chain = $1 AND seq >= $2 ORDER BY seq", (CHAIN, 2)),
            (1, OPEN_INTENTS, (CHAIN, "intent", list(CLOSING_KINDS), 0, 1_000)),
            (1, audit_owed.STILL_OPEN, (owed, "intent", list(CLOSING_KINDS))),
            _insert(7, ("outcome", "c"), ("outcome", "a")),
            _insert(7, ("outcome", "c"), ("refusal", "c")),
            _insert(7, ("outcome", "a")),
            _insert(6, ("intent", "e")),
            _insert(7, ("end", ""), ("heartbeat", ""), ("intent", "a")),
            (1, audit_writer.ENDED, (owed[:1], list(CLOSING_KINDS))),
            (1, audit_writer.ENDED, (["c", ""], list(CLOSING_KINDS))),
            (1, "SELECT audit.take_chain($1)", (CHAIN,)),
            (0, "SELECT audit.take_chain($1)", (CHAIN,)),
            (1, audit_writer.IS_TAKEN, (CHAIN,)),
            (1, "SELECT audit.close_chain($1, $2)", (CHAIN, OTHER)),
            (0, "SELECT audit.close_chain($1, $1)", (CHAIN,)),
            (0, "SELECT audit.take_chain($1)", (CHAIN,)),
            (1, audit_writer.IS_TAKEN, (CHAIN,)),
        ],
    )


def _reserve(*asked: tuple[UUID, str]) -> Step:
    """Of a user's day (3 USD), a tenant's month (5 USD); no third budget."""
    group = ledger.Group(
        ["month:tenant:w:acme", "user:w:acme:i|alice"],
        [id_.hex for id_, _ in asked],
        ["r"] * len(asked),
        [Decimal(usd) for _, usd in asked],
        [[2, 1, 0]] * len(asked),
        [[Decimal(3), Decimal(5), None]] * len(asked),
        [("w", "acme", "i|alice", "local")] * len(asked),
    )
    return 0, ledger.RESERVE, (group.packed(),)


async def test_the_ledgers_statements(real: list[asyncpg.Connection]) -> None:
    answers = await assert_same_answers(
        real,
        [
            _reserve((IDS[0], "1.5"), (IDS[1], "1.6"), (IDS[2], "1.5")),
            (1, ledger.SETTLE, ([IDS[0].hex, IDS[1].hex], [Decimal("0.5"), Decimal(1)])),
            (1, ledger.SETTLE, ([IDS[0].hex], [Decimal(0)])),
            _reserve((IDS[3], "1"), (IDS[4], "0.1")),
            (1, ledger.SETTLE, ([IDS[2].hex, IDS[3].hex], [Decimal(0), Decimal(0)])),
            _reserve((IDS[5], "2.5"), (IDS[6], "2.4")),
            _reserve((IDS[5], "0")),
            (0, "SELECT ledger.sweep($1) AS expired", (timedelta(minutes=15),)),
        ],
    )
    verdicts = [answer[0][0] for answer in answers if isinstance(answer, list)]
    assert verdicts[:4] == [[0, 1, 0], 1, 0, [0, 1]]


TELLING_THE_TIME = f"""
local server, time = redis, redis.call('TIME')
local redis = {{call = function(name, ...) return name == 'TIME' and time or server.call(name, ...) end}}
local function script() {SCRIPT} end
return {{time, script()}}
"""


@pytest.mark.parametrize("seed", range(5))
async def test_the_limiters_script(valkey: Valkey, seed: int) -> None:
    """Any calls in any order, by the time of the server: the script says when it looked at its clock."""
    random = Random(seed)  # noqa: S311 - not a secret
    now_ms = 0.0
    limiter = Limiter(lambda: now_ms)
    keys = [f"{kind}:{{simulated-{seed}-{time.time()}}}:{scope}" for scope in "ab" for kind in ("limits", "leases")]
    async with Redis(host=HOST, port=valkey.port, username="gateway", password="-") as client:
        for _ in range(120):
            arguments = _call(random)
            (seconds, microseconds), expected = await client.eval(TELLING_THE_TIME, len(keys), *keys, *arguments)
            now_ms = int(seconds) * 1000 + int(microseconds) / 1000
            answer = limiter.evaluate(keys, arguments)
            assert_alike(answer, expected, arguments)
            await asyncio.sleep(0.002)


def _call(random: Random) -> list[str]:
    lease = f"lease-{random.randrange(8)}"
    what = random.choice(("acquire", "acquire", "renew", "release"))
    if what == "acquire":
        limits = (4, 30, 6_000, 5_000, 5, 40, 9_000, 9_000)
        return [
            what,
            lease,
            "60000",
            str(random.randrange(700)),
            str(random.choice((100, 600, 9_999))),
            *map(str, limits),
        ]
    numbers = (60_000,) if what == "renew" else (random.randrange(-300, 300), random.randrange(-300, 300))
    return [what, lease, *map(str, numbers)]


def assert_alike(answer: Sequence[int], expected: Sequence[int], arguments: Sequence[str]) -> None:
    assert len(answer) == len(expected)
    if answer:
        assert list(answer[:2]) == list(expected[:2]), arguments
        assert all(abs(a - e) <= 1 for a, e in zip(answer, expected, strict=True)), (answer, expected)  # rounded
