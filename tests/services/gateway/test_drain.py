"""SIGTERM to a real process: what is under way ends, nothing new begins, and all of it is on the record."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.services.gateway.conftest import Aws
from tests.services.gateway.issuer import Issuer, running, running_issuer
from tests.services.gateway.model_server import ModelServer
from tests.services.gateway.real_parts import HOST, Postgres, Valkey
from tests.services.gateway.registering import new_registry
from tests.services.gateway.test_command import MODELS, environment

pytestmark = pytest.mark.timeout(90)
STREAMS = 5
WORDS = "word " * 400  # more than is held back, so that something leaves before the model pauses


@dataclass
class Pausing(ModelServer):
    """Sends most of its answer, and the rest when it may."""

    text: str = f"{WORDS}pause {WORDS}end."
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def _send(self, response: web.StreamResponse, chunk: dict[str, Any]) -> None:
        if '"pause "' in json.dumps(chunk):
            await self.go_on.wait()
        await super()._send(response, chunk)


@dataclass
class Site:
    """A gateway's process. `environ` is what it was started with."""

    process: asyncio.subprocess.Process
    environ: dict[str, str]
    issuer: Issuer
    model: Pausing
    http: aiohttp.ClientSession

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.token(roles=['load'])}"}

    def ask(self, *, stream: bool = True) -> Any:
        body = {"model": "local", "messages": [{"role": "user", "content": "How many days?"}], "stream": stream}
        url = f"http://{self.environ['GATEWAY_LISTEN']}/v1/chat/completions"
        return self.http.post(url, json=body, headers=self.headers)

    async def readiness(self) -> tuple[int, str]:
        try:
            async with self.http.get(f"http://{self.environ['GATEWAY_OPERATIONS_LISTEN']}/readyz") as response:
                return response.status, (await response.json())["status"]
        except aiohttp.ClientConnectionError:
            return 0, "no answer"

    async def refuses_connections(self) -> bool:
        host, _, port = self.environ["GATEWAY_LISTEN"].rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """The exit code, and what was logged."""
        output, _ = await asyncio.wait_for(self.process.communicate(), 40)
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in output.splitlines()]


async def becomes(asked: Callable[[], Awaitable[object]], wanted: object) -> None:
    async with asyncio.timeout(30):
        while await asked() != wanted:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)


@pytest.fixture
async def site(postgres: Postgres, database_name: str, valkey: Valkey, aws: Aws) -> AsyncIterator[Site]:
    registry = new_registry(f"registrations-{aws.audit_bucket}")
    await asyncio.to_thread(registry.publish)
    model = Pausing()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.chat)
    async with running_issuer() as issuer, running(app) as url, aiohttp.ClientSession() as http:
        environ = environment(
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            GATEWAY_DATABASE=f"{HOST}:{postgres.port}",
            GATEWAY_DATABASE_NAME=database_name,
            GATEWAY_DATABASE_PASSWORD="not asked for by this server",
            GATEWAY_VALKEY=f"{HOST}:{valkey.port}",
            GATEWAY_OIDC_ISSUERS=json.dumps(
                [{"issuer": issuer.url, "audience": issuer.audience, "algorithms": ["RS256"]}]
            ),
            GATEWAY_REGISTRATION_BUCKET=registry.bucket,
            GATEWAY_REGISTRATION_KEY_ARN=registry.key_arn,
            GATEWAY_AUDIT_BUCKET=aws.audit_bucket,
            GATEWAY_AUDIT_SIGNING_KEY_ARN=aws.signing_key_arn,
            GATEWAY_AUDIT_MAC_KEY_ARN=aws.mac_key_arn,
            GATEWAY_MODELS=json.dumps(
                [
                    *MODELS,
                    {**MODELS[0], "id": "local", "kind": "chat", "base_url": f"{url}/v1", "context_tokens_max": 8192},
                ]
            ),
        )
        async with started(environ) as process:
            site = Site(process, environ, issuer, model, http)
            await becomes(site.readiness, (200, "ready"))
            yield site


@asynccontextmanager
async def started(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway", "serve"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


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
    assert await verified(site) == 0


async def verified(site: Site) -> int:
    """The exit code of `gateway audit verify`: every record is under a signed head."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway", "audit", "verify"),
        env={**site.environ, "GATEWAY_DATABASE_USER": "gateway_auditor"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def test_who_is_idle_ends_at_once_and_idle_connections_are_closed(
    site: Site, postgres: Postgres, database_name: str
) -> None:
    host, _, port = site.environ["GATEWAY_LISTEN"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    site.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        await reader.read()  # to the end
    writer.close()
    assert (await site.ended())[0] == 0
    assert [record["kind"] for record in await records(postgres, database_name)][-1] == "end"
    assert await verified(site) == 0


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
