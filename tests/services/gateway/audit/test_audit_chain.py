"""The chain as it is written: durable before `append` returns, whatever fails, and of one piece."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable

import pytest

from services.gateway.adapters import audit_sealer
from services.gateway.adapters.audit_chain import AuditChain, audit_chain
from services.gateway.adapters.audit_writer import WRITE_DEADLINE_S
from services.gateway.adapters.database import Database
from services.gateway.exchange import AuditRecord, Unavailable
from services.gateway.settings import Settings
from tests.recovery import RECOVERY_S, Recovery
from tests.services.gateway.audit.conftest import Verifier
from tests.services.gateway.patience import own_deadlines
from tests.services.gateway.real_parts import Postgres

STALLED_S = 5.0  # the machine, at worst


def intent(number: int) -> AuditRecord:
    return AuditRecord("intent", f"request-{number}", {"n": number})


def outcome(number: int) -> AuditRecord:
    return AuditRecord("outcome", f"request-{number}", {"n": number})


async def until(condition: Callable[[], bool], within_s: float = RECOVERY_S) -> None:
    recovery = Recovery(within_s)
    while not condition():
        await recovery.pause()


def is_ready(chain: AuditChain) -> bool:
    try:
        chain.ready()
    except Unavailable:
        return False
    return True


async def test_an_appended_record_is_in_the_store(chain: AuditChain, database: Database) -> None:
    await chain.append(intent(1))

    rows = await database.fetch("SELECT seq, kind, request_id FROM audit.record ORDER BY seq")
    assert [tuple(row) for row in rows] == [(0, "genesis", ""), (1, "intent", "request-1")]


async def test_concurrent_records_make_one_chain_that_verifies(chain: AuditChain, verifier: Verifier) -> None:
    await asyncio.gather(*(chain.append(intent(number)) for number in range(200)))
    await asyncio.gather(*(chain.append(outcome(number)) for number in range(200)))
    await chain.close()

    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "1 chains, 402 records" in verdict.text
    assert "0 intents without an outcome" in verdict.text


async def test_two_writers_write_two_chains_that_verify(
    gateway_settings: Settings, database: Database, verifier: Verifier
) -> None:
    chains = [audit_chain(gateway_settings, database) for _ in range(2)]
    await asyncio.gather(*(chain.start() for chain in chains))
    await asyncio.gather(*(chains[number % 2].append(intent(number)) for number in range(100)))
    await asyncio.gather(*(chains[1 - number % 2].append(outcome(number)) for number in range(100)))
    await asyncio.gather(*(chain.close() for chain in chains))

    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "2 chains, 204 records" in verdict.text


async def test_a_running_chain_verifies_and_says_what_is_not_sealed(chain: AuditChain, verifier: Verifier) -> None:
    await chain.append(intent(1))

    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "1 intents without an outcome" in verdict.text


async def test_a_record_without_a_canonical_form_is_refused_and_harms_nobody(
    chain: AuditChain, verifier: Verifier
) -> None:
    bad = chain.append(AuditRecord("intent", "request-2", {"score": float("nan")}))
    results = await asyncio.gather(chain.append(intent(1)), bad, chain.append(intent(3)), return_exceptions=True)
    await chain.close()

    assert [type(result) for result in results] == [type(None), Unavailable, type(None)]
    assert "1 chains, 4 records" in (await verifier()).text


async def test_a_closed_chain_takes_no_record(chain: AuditChain) -> None:
    await chain.close()

    with pytest.raises(Unavailable, match="closing"):
        await chain.append(intent(1))


async def test_records_are_refused_while_the_store_is_down_and_taken_when_it_is_back(
    chain: AuditChain, postgres: Postgres, verifier: Verifier
) -> None:
    await chain.append(intent(1))
    postgres.stop()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await chain.append(intent(2))
        assert time.monotonic() - began < WRITE_DEADLINE_S + STALLED_S
        assert not is_ready(chain)
    finally:
        postgres.start()

    await until(lambda: is_ready(chain))
    await chain.append(outcome(1))
    await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "0 intents without an outcome" in verdict.text


async def test_a_store_lost_under_load_leaves_no_gap_and_no_double(
    chain: AuditChain, postgres: Postgres, verifier: Verifier
) -> None:
    durable = 0
    over = asyncio.Event()
    numbers = itertools.count()

    async def caller() -> None:
        nonlocal durable
        while not over.is_set():
            try:
                await chain.append(outcome(next(numbers)))
                durable += 1
            except Unavailable:
                await asyncio.sleep(0.05)

    load = [asyncio.create_task(caller()) for _ in range(30)]
    for _ in range(3):
        before = durable
        await until(lambda: durable > before + 1000, within_s=40)  # noqa: B023 - awaited here; the load, not the healing
        await asyncio.to_thread(postgres.stop, signal.SIGQUIT)  # immediate shutdown: as a crash
        await asyncio.to_thread(postgres.start)
    before = durable
    await until(lambda: durable > before)
    over.set()
    await asyncio.gather(*load)
    await chain.close()

    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def test_a_store_that_hangs_costs_a_second_and_not_more(
    chain: AuditChain, postgres: Postgres, verifier: Verifier
) -> None:
    postgres.freeze()
    try:
        with own_deadlines():
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await chain.append(intent(1))
            assert time.monotonic() - began < WRITE_DEADLINE_S + STALLED_S
    finally:
        postgres.thaw()

    await until(lambda: is_ready(chain))
    await chain.append(intent(2))
    await chain.append(outcome(2))
    await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    # The frozen server may have committed the first intent all the same: then it is written that nothing followed.
    assert "0 intents without an outcome" in verdict.text


async def test_a_chain_started_before_its_store_opens_when_the_store_is_there(
    gateway_settings: Settings, database: Database, postgres: Postgres
) -> None:
    postgres.stop()
    chain = audit_chain(gateway_settings, database)
    try:
        await chain.start()
        assert not is_ready(chain)
    finally:
        postgres.start()
    await until(lambda: is_ready(chain))
    await chain.append(intent(1))
    await chain.close()


class Outage:
    """An archive in front of the real one that can be cut off."""

    def __init__(self, archive: audit_sealer.Archive) -> None:
        self._archive = archive
        self.cut = False

    async def put(self, object_name: str, content: bytes) -> bool:
        if self.cut:
            raise Unavailable("audit", "no way to the log archive")
        return await self._archive.put(object_name, content)

    def __getattr__(self, name: str) -> object:
        return getattr(self._archive, name)


async def test_records_are_refused_when_heads_cannot_be_stored_and_taken_when_they_can(
    gateway_settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, verifier: Verifier
) -> None:
    from services.gateway.adapters.audit_archive import HeadArchive
    from services.gateway.adapters.audit_signer import KmsSigner

    archive = Outage(HeadArchive(gateway_settings.region, gateway_settings.audit_bucket))
    signer = KmsSigner(gateway_settings.region, gateway_settings.audit_signing_key_arn)
    chain = AuditChain(database, signer, archive, {"software": "sha256:0"})  # type: ignore[arg-type]  # passes the rest on
    await chain.start()
    archive.cut = True
    await chain.append(outcome(1))
    monkeypatch.setattr(audit_sealer, "OVERDUE_S", 1.5)
    await until(lambda: not is_ready(chain))
    with pytest.raises(Unavailable, match="sealed"):
        await chain.append(outcome(2))

    archive.cut = False
    await until(lambda: is_ready(chain))
    await chain.append(outcome(3))
    await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
