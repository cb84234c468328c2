"""`gateway serve` as a real process and what it needs around it: stores, AWS, an issuer, a model that pauses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.services.gateway.conftest import Aws
from tests.services.gateway.issuer import Issuer, running, running_issuer
from tests.services.gateway.model_server import ModelServer
from tests.services.gateway.real_parts import HOST, Postgres, Valkey
from tests.services.gateway.registering import new_registry
from tests.services.gateway.test_command import MODELS, environment

PROGRAM = "tests.services.gateway.patient_gateway"
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
    def url(self) -> str:
        return f"http://{self.environ['GATEWAY_LISTEN']}"

    @property
    def operations(self) -> str:
        return f"http://{self.environ['GATEWAY_OPERATIONS_LISTEN']}"

    def ask(self, text: str = "How many days?", *, stream: bool = True, headers: Any = None, **claims: Any) -> Any:
        body = {"model": "local", "messages": [{"role": "user", "content": text}], "stream": stream}
        token = self.issuer.token(**{"roles": ["load"], **claims})
        head = {"authorization": f"Bearer {token}", **(headers or {})}
        return self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=head)

    async def told(self, path: str) -> str:
        async with self.http.get(f"{self.operations}{path}") as response:
            assert response.status == 200
            return await response.text()

    async def readiness(self) -> tuple[int, str]:
        if self.process.returncode is not None:
            output, _ = await self.process.communicate()
            raise AssertionError(f"the gateway ended: {output.decode()[-2_000:]}")
        try:
            async with self.http.get(f"{self.operations}/readyz") as response:
                return response.status, (await response.json())["status"]
        except aiohttp.ClientConnectionError:
            return 0, "no answer"

    async def refuses_connections(self) -> bool:
        host, _, port = self.environ["GATEWAY_LISTEN"].rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        writer.close()
        return False

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """The exit code, and what was logged."""
        output, _ = await asyncio.wait_for(self.process.communicate(), 80)
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in output.splitlines()]

    async def verified(self) -> int:
        """The exit code of `gateway audit verify`: every record is under a signed head."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", PROGRAM, "audit", "verify"),
            env={**self.environ, "GATEWAY_DATABASE_USER": "gateway_auditor"},
            stdout=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()


async def becomes(asked: Callable[[], Awaitable[object]], wanted: object) -> None:
    async with asyncio.timeout(60):
        while await asked() != wanted:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running_gateway(
    postgres: Postgres, database_name: str, valkey: Valkey, aws: Aws, **changes: str
) -> AsyncIterator[Site]:
    """A gateway that is ready. `changes` are settings."""
    registry = new_registry(f"registrations-{aws.audit_bucket}")
    await asyncio.to_thread(registry.publish)
    model = Pausing()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.chat)
    async with running_issuer() as issuer, running(app) as url, aiohttp.ClientSession() as http:
        local = {**MODELS[0], "id": "local", "kind": "chat", "base_url": f"{url}/v1", "context_tokens_max": 8192}
        accepted = {"issuer": issuer.url, "audience": issuer.audience, "algorithms": ["RS256"]}
        settings = {
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            "GATEWAY_DATABASE": f"{HOST}:{postgres.port}",
            "GATEWAY_DATABASE_NAME": database_name,
            "GATEWAY_DATABASE_PASSWORD": "not asked for by this server",
            "GATEWAY_VALKEY": f"{HOST}:{valkey.port}",
            "GATEWAY_OIDC_ISSUERS": json.dumps([accepted]),
            "GATEWAY_REGISTRATION_BUCKET": registry.bucket,
            "GATEWAY_REGISTRATION_KEY_ARN": registry.key_arn,
            "GATEWAY_AUDIT_BUCKET": aws.audit_bucket,
            "GATEWAY_AUDIT_SIGNING_KEY_ARN": aws.signing_key_arn,
            "GATEWAY_AUDIT_MAC_KEY_ARN": aws.mac_key_arn,
            "GATEWAY_MODELS": json.dumps([*MODELS, local]),
        }
        environ = environment(**settings | changes)
        async with _started(environ) as process:
            site = Site(process, environ, issuer, model, http)
            await becomes(site.readiness, (200, "ready"))
            yield site


@asynccontextmanager
async def _started(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAM, "serve"),
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
