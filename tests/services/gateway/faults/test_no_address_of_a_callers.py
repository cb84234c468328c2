"""Upstreams come from the settings alone: whatever a caller points at is not dialled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from services.gateway.edge import application
from services.gateway.metrics import Metrics
from tests.recovery import Recovery
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving

ASKED: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]}
NAMES = ("api_base", "base_url", "api_key", "custom_llm_provider", "metadata", "extra_headers", "provider", "proxy")
HEADERS = ("x-portkey-custom-host", "x-forwarded-host", "forwarded", "x-base-url", "x-litellm-api-base", "origin")


@dataclass
class Canary:
    port: int = 0
    dialled: int = 0
    tasks: list[object] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@asynccontextmanager
async def watching() -> AsyncIterator[Canary]:
    canary = Canary()

    async def dialled(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canary.dialled += 1
        writer.close()

    server = await asyncio.start_server(dialled, "127.0.0.1", 0)
    canary.port = server.sockets[0].getsockname()[1]
    async with server:
        yield canary


async def asked(url: str, body: dict[str, Any], headers: dict[str, str], path: str = "/v1/chat/completions") -> int:
    sent = {"authorization": "Bearer alice", **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + path, data=json.dumps(body), headers=sent, skip_auto_headers=["content-type"]) as response,
    ):
        return response.status


def pointing(url: str) -> list[dict[str, Any]]:
    """Bodies that name an address: in a field, below a field, in the model's name, as an image."""
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    deep = [{"role": "user", "content": "x", name: url} for name in NAMES]
    return [
        *({**ASKED, name: url} for name in NAMES),
        *({**ASKED, name: {"api_base": url}} for name in NAMES),
        *({**ASKED, "messages": [message]} for message in deep),
        {**ASKED, "model": url},
        {**ASKED, "model": f"openai/{url}#"},
        {**ASKED, "messages": image},
    ]


@pytest.mark.parametrize("number", range(len(pointing(""))))
async def test_nobody_dials_where_a_caller_points(number: int) -> None:
    world = World()
    async with watching() as canary, serving(application(world.ports(), Metrics())) as url:
        assert 400 <= await asked(url, pointing(canary.url)[number], {}) < 500
        assert canary.dialled == 0
    assert world.model.prompts == []


@pytest.mark.parametrize("name", HEADERS)
async def test_a_header_points_nowhere(name: str) -> None:
    world = World()
    async with watching() as canary, serving(application(world.ports(), Metrics())) as url:
        assert await asked(url, ASKED, {name: canary.url}) == 200
        assert await asked(url, ASKED, {"host": f"127.0.0.1:{canary.port}"}) == 200
        assert await asked(url, ASKED, {}, "/v1/proxy/chat/completions") == 404
        assert canary.dialled == 0


async def test_the_canary_sings() -> None:
    async with watching() as canary:
        _, writer = await asyncio.open_connection("127.0.0.1", canary.port)
        recovery = Recovery(30)
        while not canary.dialled:
            await recovery.pause()
        writer.close()
        assert canary.dialled == 1
