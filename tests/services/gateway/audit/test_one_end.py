"""A request ends once, whoever is faster: its own gateway, or another that takes it for dead and recovers its chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway.adapters.audit_chain import AuditChain, audit_chain
from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.migrations import DIRECTORY, apply, load
from services.gateway.exchange import AuditRecord, Unavailable
from services.gateway.settings import Settings
from tests.services.gateway.audit.conftest import Verifier
from tests.services.gateway.real_parts import HOST, OWNER, Postgres, settings

LOCK = "SELECT pg_advisory_lock(audit.lock_key($1))"
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


def ending(request_id: str, by: str) -> AuditRecord:
    return AuditRecord("outcome", request_id, {"finish": by})


@pytest.fixture
async def pair(gateway_settings: Settings, database: Database) -> AsyncIterator[tuple[AuditChain, AuditChain]]:
    """Two gateways, each with its chain."""
    chains = audit_chain(gateway_settings, database), audit_chain(gateway_settings, database)
    for chain in chains:
        await chain.start()
    yield chains
    for chain in chains:
        await chain.close()


async def ends(database: Database) -> list[str]:
    """The requests that ended, each as often as it did."""
    rows = await database.fetch("SELECT request_id FROM audit.record WHERE kind IN ('outcome', 'refusal')")
    return sorted(row["request_id"] for row in rows)


async def test_of_two_gateways_that_end_a_request_at_once_one_does(
    pair: tuple[AuditChain, AuditChain], database: Database, verifier: Verifier
) -> None:
    requests = [f"request-{number}" for number in range(20)]
    await asyncio.gather(*(pair[0].append(AuditRecord("intent", one, {})) for one in requests))
    tried = [
        chain.append(ending(one, by)) for one in requests for chain, by in zip(pair, ("stop", "unknown"), strict=True)
    ]
    ended = await asyncio.gather(*tried, return_exceptions=True)

    assert await ends(database) == sorted(requests)
    failed = [one for one in ended if one is not None]
    assert len(failed) == len(requests)
    assert all(isinstance(one, Unavailable) and "had ended already" in one.reason for one in failed)
    for chain in pair:
        await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def test_a_second_end_costs_the_others_of_its_batch_nothing(
    pair: tuple[AuditChain, AuditChain], database: Database, verifier: Verifier
) -> None:
    await asyncio.gather(*(pair[1].append(ending(f"request-{n}", "unknown")) for n in (3, 7)))
    batch = [ending(f"request-{n}", "stop") for n in range(12)] + [ending("request-9", "stop")]
    ended = await asyncio.gather(*(pair[0].append(one) for one in batch), return_exceptions=True)

    assert [place for place, one in enumerate(ended) if one is not None] == [3, 7, 12]
    assert await ends(database) == sorted(f"request-{n}" for n in range(12))
    await pair[0].append(ending("request-12", "stop"))
    await pair[0].close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def test_ends_of_requests_of_their_own_are_all_written(
    pair: tuple[AuditChain, AuditChain], database: Database
) -> None:
    await asyncio.gather(
        *(chain.append(ending(f"{n}-{chain is pair[0]}", "stop")) for n in range(20) for chain in pair)
    )
    assert len(await ends(database)) == 40


@pytest.mark.parametrize("taken", [True, False])
async def test_a_writer_comes_back_to_its_chain_unless_somebody_took_it(
    chain: AuditChain, postgres: Postgres, gateway_settings: Settings, taken: bool
) -> None:
    await chain.append(AuditRecord("intent", "request-1", {}))
    own = chain._writer.chain.id
    other = await asyncpg.connect(
        host=HOST, port=postgres.port, user="gateway", database=gateway_settings.database_name, password="-"
    )
    with pytest.raises(asyncpg.RaiseError, match="not locked by this session"):
        await other.fetchval("SELECT audit.take_chain($1)", own)
    locked = asyncio.create_task(other.fetch(LOCK, own))  # next in line, before the writer is back
    await _lose_connection(chain, postgres, gateway_settings)
    await locked
    if taken:
        assert await other.fetchval("SELECT audit.take_chain($1)", own)
    await other.close()  # and so the lock is free again, as if whoever recovers had lost it
    async with asyncio.timeout(60):
        while not chain._writer.connected:  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)

    assert (chain._writer.chain.id == own) is not taken
    if taken:
        with pytest.raises(Unavailable, match="its recovery closes the request"):
            await chain.append(ending("request-1", "stop"))
    else:
        await chain.append(ending("request-1", "stop"))


async def _lose_connection(chain: AuditChain, postgres: Postgres, gateway_settings: Settings) -> None:
    """As a cut line does, once somebody waits for the chain; the writer tries again a moment later."""
    superuser = await postgres.superuser(gateway_settings.database_name)
    lost = chain._writer._connection
    assert lost is not None
    while not await superuser.fetchval(WAITS):  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)
    await superuser.fetchval("SELECT pg_terminate_backend($1)", lost.get_server_pid())
    await superuser.close()
    while chain._writer._connection is lost:  # noqa: ASYNC110 - the server lets go of the lock before the line
        await asyncio.sleep(0.01)


async def test_requests_that_had_two_ends_before_keep_them_and_no_other_gets_a_second(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    await postgres.create_database("two_ends_before")
    await postgres.install_vector("two_ends_before")
    owner = connect(settings(postgres.port, "two_ends_before", user=OWNER))
    migrations = load(DIRECTORY)
    before = next(place for place, one in enumerate(migrations) if one.name.endswith("_one_end.sql"))
    add = "INSERT INTO audit.record VALUES (gen_random_uuid(), 0, $2, $1, '{}', sha256('\\x00'))"
    try:
        await apply(owner, migrations[:before])
        for request_id in ("it's-two", "it's-two", "one"):
            await owner.fetch(add, request_id, "outcome")
        await apply(owner, migrations)
        assert await ends(owner) == ["it's-two", "it's-two", "one"]
        await owner.fetch(add, "new", "refusal")
        for kind in ("intent", "retrieval"):
            await owner.fetch(add, "new", kind)
        for request_id in ("one", "new"):
            with pytest.raises(Unavailable, match="UniqueViolation"):
                await owner.fetch(add, request_id, "outcome")
    finally:
        await owner.close()
