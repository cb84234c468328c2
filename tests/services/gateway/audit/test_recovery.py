"""What a killed writer leaves behind is ended in order by the next one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.adapters import audit_recovery
from services.gateway.adapters.audit_chain import audit_chain
from services.gateway.adapters.audit_recovery import Recovery
from services.gateway.adapters.database import Database
from services.gateway.audit.record import parse
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.services.gateway.audit.conftest import Verifier
from tests.services.gateway.real_parts import Postgres


@pytest.fixture
async def killed_writer(gateway_settings: Settings) -> None:
    """A writer that was killed in the middle of its work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.gateway.audit.writer_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given = {
        "port": gateway_settings.database.port,
        "database": gateway_settings.database_name,
        "audit_bucket": gateway_settings.audit_bucket,
        "audit_signing_key_arn": gateway_settings.audit_signing_key_arn,
    }
    process.stdin.write(json.dumps(given).encode() + b"\n")
    await process.stdin.drain()
    assert await process.stdout.readline() == b"under load\n"
    await asyncio.sleep(1.3)  # some of it under a head, some not
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def recovered(database: Database, chains: int) -> None:
    async with asyncio.timeout(60):
        while True:
            rows = await database.fetch("SELECT count(*) AS n FROM audit.chain WHERE closed_by IS NOT NULL")
            if rows[0]["n"] == chains:
                return
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("killed_writer")
@pytest.mark.parametrize("records_at_a_time", [7, audit_recovery.LOOK_THROUGH_RECORDS])
async def test_the_next_writer_says_which_outcomes_are_unknown_and_all_verifies(
    gateway_settings: Settings,
    database: Database,
    verifier: Verifier,
    records_at_a_time: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_recovery, "LOOK_THROUGH_RECORDS", records_at_a_time)
    chain = audit_chain(gateway_settings, database)
    await chain.start()
    await recovered(database, chains=1)
    await chain.close()

    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "0 intents without an outcome" in verdict.text
    unknown = await database.fetch(
        "SELECT request_id FROM audit.record WHERE record::json -> 'body' ->> 'finish' = 'unknown'"
    )
    requests = [row["request_id"] for row in unknown]
    assert "left-open" in requests
    assert len(requests) == len(set(requests)) <= 21


@pytest.mark.usefixtures("killed_writer")
async def test_of_two_next_writers_one_recovers(
    gateway_settings: Settings, database: Database, verifier: Verifier
) -> None:
    chains = [audit_chain(gateway_settings, database) for _ in range(2)]
    await asyncio.gather(*(chain.start() for chain in chains))
    await recovered(database, chains=1)
    await asyncio.gather(*(chain.close() for chain in chains))

    rows = await database.fetch("SELECT count(*) AS n FROM audit.record WHERE kind = 'recovery'")
    assert rows[0]["n"] == 1
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


@pytest.mark.usefixtures("killed_writer")
async def test_nobody_recovers_the_chain_of_a_living_writer(gateway_settings: Settings, database: Database) -> None:
    first = audit_chain(gateway_settings, database)
    await first.start()
    await first.append(AuditRecord("intent", "in-flight", {}))
    second = audit_chain(gateway_settings, database)
    await second.start()
    await recovered(database, chains=1)

    await first.append(AuditRecord("outcome", "in-flight", {"finish": "stop"}))
    rows = await database.fetch("SELECT record FROM audit.record WHERE request_id = 'in-flight' ORDER BY seq")
    assert [parse(row["record"]).body.get("finish") for row in rows] == [None, "stop"]
    await first.close()
    await second.close()


@pytest.mark.usefixtures("killed_writer")
async def test_a_chain_that_was_changed_before_it_was_recovered_is_not_sealed(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    rows = await database.fetch("SELECT max(seq) AS seq FROM audit.record")
    superuser = await postgres.superuser(gateway_settings.database_name)
    await superuser.execute("UPDATE audit.record SET kind = 'x', record = ' ' || record WHERE seq = $1", rows[0]["seq"])
    await superuser.close()
    chain = audit_chain(gateway_settings, database)
    await chain.start()
    await recovered(database, chains=1)
    await chain.close()

    verdict = await verifier()
    assert verdict.code == 1
    assert f"seq {rows[0]['seq']}: was changed" in verdict.text


class Line:
    """A connection to a server that answers so many statements and then falls silent without a word."""

    def __init__(self, answers: int) -> None:
        self._left = answers
        self.asked: list[str] = []

    async def fetchval(self, statement: str, *values: object) -> bool:
        del values
        self.asked.append(statement.split("(")[0])
        if not self._left:
            await asyncio.Event().wait()
        self._left -= 1
        return "take_chain" not in statement  # it was closed by another meanwhile

    execute = fetchval

    async def fetch(self, statement: str, *values: object) -> list[dict[str, object]]:
        await self.fetchval(statement.strip(), *values)
        return [{"seq": values[-2]}]


@pytest.mark.parametrize("answers", [0, 1, 2, 3])
async def test_a_server_that_falls_silent_is_given_up_and_asked_nothing_more(
    answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_recovery, "SILENCE_S", 0.05)
    line: Any = Line(answers)
    nobody: Any = None
    recovering = Recovery(nobody, nobody, nobody, nobody, nobody)._recover_if_abandoned(line, uuid4())
    if answers < 3:
        with pytest.raises(TimeoutError):
            await recovering
    else:
        await recovering
    statements = ["SELECT pg_try_advisory_lock", "SELECT audit.take_chain", "SELECT pg_advisory_unlock"]
    assert line.asked == statements[: answers + 1]


async def test_a_long_chain_is_looked_through_piece_by_piece_and_each_is_answered_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_recovery, "SILENCE_S", 0.05)
    line: Any = Line(answers=4)
    look = audit_recovery.LOOK_THROUGH_RECORDS
    found = [one["seq"] async for one in audit_recovery._open_intents(line, uuid4(), 3 * look + 1)]
    assert found == [0, look, 2 * look, 3 * look]
    with pytest.raises(TimeoutError):
        _ = [one async for one in audit_recovery._open_intents(line, uuid4(), 1)]
