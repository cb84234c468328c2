"""A model server that takes the call and then says nothing, or half of what it promised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.gateway.adapters import upstream as upstream_module
from services.gateway.adapters.openai_model import OpenAIModel
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Denied, Event, Grounded
from tests.services.gateway.fakes import offer
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PART = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(PART), PART)


@asynccontextmanager
async def speaking(said: bytes, *, then_ends: bool) -> AsyncIterator[str]:
    """A server that says `said` to whoever connects, and then ends its half or stays silent."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if then_ends:
            writer.write_eof()
        await over.wait()
        writer.close()

    over = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def prompt(url: str) -> Grounded:
    return grounded_prompt(admitted_prompt(model=replace(offer(), base_url=url), stream=True))


async def asked(url: str) -> list[Event]:
    upstream = Upstream(frozenset(), "")
    await upstream.start()
    try:
        return [event async for event in OpenAIModel(upstream).generate(prompt(url))]
    finally:
        await upstream.close()


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + CHUNK], ids=["nothing", "a head", "a part"])
async def test_a_server_that_falls_silent_is_given_up(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "READ_TIMEOUT_S", 0.3)
    async with speaking(said, then_ends=False) as url:
        with pytest.raises(Denied) as denied:
            await asyncio.wait_for(asked(url), 10)
    assert denied.value.status in (502, 504)


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + CHUNK], ids=["nothing", "a head", "a part"])
async def test_a_server_that_closes_its_half_has_failed(said: bytes) -> None:
    async with speaking(said, then_ends=True) as url:
        with pytest.raises(Denied) as denied:
            await asyncio.wait_for(asked(url), 10)
    assert denied.value.status in (502, 503)
