"""SIGTERM to a real process: what is under way ends, nothing new begins, and all of it is on the record."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.services.gateway.conftest import Aws
from tests.services.gateway.gateway_process import Site, becomes, running_gateway
from tests.services.gateway.real_parts import Postgres, Valkey

STREAMS = 5


@pytest.fixture
async def site(postgres: Postgres, database_name: str, valkey: Valkey, aws: Aws) -> AsyncIterator[Site]:
    async with running_gateway(postgres, database_name, valkey, aws) as running:
        yield running


async def records(postgres: Postgres, database_name: str) -> list[dict[str, Any]]:
    connection = await postgres.superuser(database_name)
    try:
        return [
            json.loads(row["record"]) for row in await connection.fetch("SELECT record FROM audit.record ORDER BY seq")
        ]
    finally:
        await connection.close()


async def test_streams_end_new_callers_are_refused_and_everything_is_on_the_record(
    site: Site, postgres: Postgres, database_name: str
) -> None:
    begun = asyncio.Semaphore(0)

    async def streamed() -> str:
        async with site.ask() as response:
            assert response.status == 200
            first: bytes = await response.content.readany()
            begun.release()
            rest: bytes = await response.read()
            return (first + rest).decode()

    streams = [asyncio.create_task(streamed()) for _ in range(STREAMS)]
    for _ in streams:
        await begun.acquire()
    site.process.send_signal(signal.SIGTERM)
    await becomes(site.refuses_connections, True)
    assert await site.readiness() == (503, "draining")
    assert not any(stream.done() for stream in streams)
    site.model.go_on.set()
    for text in await asyncio.gather(*streams):
        assert "end." in text
        assert text.endswith("data: [DONE]\n\n")
    code, logged = await site.ended()
    assert code == 0
    assert not [line for line in logged if line["level"] == "error"]
    written = await records(postgres, database_name)
    kinds = [record["kind"] for record in written if record["kind"] != "heartbeat"]
    assert kinds == ["genesis", *["intent"] * STREAMS, *["outcome"] * STREAMS, "end"]
    assert {record["body"]["finish"] for record in written if record["kind"] == "outcome"} == {"stop"}
    assert await site.verified() == 0


async def test_who_is_idle_ends_at_once_and_idle_connections_are_closed(
    site: Site, postgres: Postgres, database_name: str
) -> None:
    host, _, port = site.environ["GATEWAY_LISTEN"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    site.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        await reader.read()  # to the end
    writer.close()
    assert (await site.ended())[0] == 0
    assert [record["kind"] for record in await records(postgres, database_name)][-1] == "end"
    assert await site.verified() == 0


async def test_a_killed_process_leaves_what_a_drained_one_does_not(
    site: Site, postgres: Postgres, database_name: str
) -> None:
    async with site.ask() as response:
        await response.content.readany()
        site.process.kill()
        await site.process.wait()
    kinds = [record["kind"] for record in await records(postgres, database_name)]
    assert "end" not in kinds
    assert kinds.count("intent") == kinds.count("outcome") + 1  # the next gateway writes the outcome: unknown
