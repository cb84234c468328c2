"""A body in chunks: read when it is well-formed, refused and cut when a proxy might read it otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from services.gateway.edge import application
from services.gateway.metrics import Metrics
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving

BODY = b'{"model":"local","messages":[{"role":"user","content":"Leave?"}]}'
SIZE = b"%x" % len(BODY)
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer alice\r\n"
    b"content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer alice\r\n\r\n"
WAIT_S = 10


@dataclass
class Site:
    port: int
    world: World

    async def sent(self, body: bytes, *, and_no_more: bool = False) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        try:
            with suppress(ConnectionError):
                writer.write(HEAD + body)
                await writer.drain()
                if and_no_more:
                    writer.write_eof()
                async with asyncio.timeout(WAIT_S):
                    while part := await reader.read(65_536):
                        answer += part
        finally:
            writer.close()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    world = World()
    async with serving(application(world.ports(), Metrics())) as url:
        port = urlsplit(url).port
        assert port is not None
        yield Site(port, world)


TRICKS = {
    "a size that is no number": b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size below nothing": b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size with a prefix": b"0x" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"f" * 17 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk shorter than its size": b"%x" % (len(BODY) + 9) + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk longer than its size": b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk that ends in no line": SIZE + b"\r\n" + BODY + b"xx0\r\n\r\n",
    "no last chunk": SIZE + b"\r\n" + BODY + b"\r\n",
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_chunks_that_could_be_read_in_two_ways_reach_no_model(trick: str, site: Site) -> None:
    answer = await site.sent(TRICKS[trick], and_no_more=True)
    assert b"HTTP/1.1 200" not in answer
    assert site.world.model.prompts == []


async def test_what_follows_the_last_chunk_is_no_request(site: Site) -> None:
    answer = await site.sent(SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("extension", [b"", b";name=value"])
async def test_chunks_as_they_should_be_are_read(extension: bytes, site: Site) -> None:
    answer = await site.sent(
        b"5" + extension + b"\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert site.world.audit.kinds == ["intent", "outcome"]
