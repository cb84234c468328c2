"""The real proxy with both listeners, before a stand-in for vLLM."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from services.model_proxy.server import serve
from services.model_proxy.settings import Address, Settings
from tests.free_ports import free_port
from tests.services.model_proxy.certificates import Pair, pair, trusting
from tests.services.model_proxy.vllm import Vllm, running

HOST = "127.0.0.1"


@dataclass
class Site:
    """The proxy as its callers, its node and its pod's controller see it."""

    settings: Settings
    vllm: Vllm
    pair: Pair
    api_key: str
    caller: aiohttp.ClientSession
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self.settings.listen.port

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def health_url(self) -> str:
        return f"https://{HOST}:{self.settings.health_listen.port}"

    async def start(self) -> None:
        self.serving = asyncio.create_task(serve(self.settings, self.ended))
        for _ in range(3_000):
            if self.serving.done():
                self.serving.result()
            with closing(socket.socket()) as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            await asyncio.sleep(0.01)
        raise TimeoutError("the proxy does not listen")

    async def stop(self) -> None:
        self.ended.set()
        if self.serving is not None:
            await self.serving

    async def raw(self, request: bytes) -> bytes:
        """Bytes as an attacker would write them; what comes back until the proxy closes."""
        reader, writer = await asyncio.open_connection(HOST, self.port, ssl=trusting(self.pair))
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(60):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def health(self, path: str) -> tuple[int, str]:
        async with self.caller.get(self.health_url + path) as answer:
            return answer.status, await answer.text()


def settings(folder: Path, upstream: str, **changes: object) -> Settings:
    values: dict[str, object] = {
        "upstream": upstream,
        "listen": Address(HOST, free_port()),
        "health_listen": Address(HOST, free_port()),
        "certificate": folder / "tls.crt",
        "private_key": folder / "tls.key",
        "api_key_file": folder / "api-key",
        "n_max": 4,
        "body_bytes_max": 64 << 10,
        "drain_s": 60,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]  # a table of all fields by name


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = pair()
    made.write(tmp_path)
    (tmp_path / "api-key").write_text("key-of-the-model-server\n")
    connector = aiohttp.TCPConnector(ssl=trusting(made))
    async with running(Vllm()) as vllm, aiohttp.ClientSession(connector=connector) as caller:
        one = Site(settings(tmp_path, vllm.url), vllm, made, "key-of-the-model-server", caller)
        await one.start()
        try:
            yield one
        finally:
            await one.stop()
