"""Clients that do not speak HTTP as they should: bounded, told so, and nobody else is the worse for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from services.gateway import http_protocol
from services.gateway.edge import application
from services.gateway.metrics import Metrics
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving

BODY = b'{"model":"local","messages":[{"role":"user","content":"Leave?"}]}'
WAIT_S = 60


@dataclass
class Site:
    port: int
    world: World

    async def sent(self, *pieces: bytes) -> bytes:
        """What comes back on one connection until the server ends it, or nothing comes any more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        try:
            # Cut while we were still writing: what came until then is the answer.
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                async with asyncio.timeout(WAIT_S):
                    while chunk := await reader.read(65_536):
                        answer += chunk
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


def head(*lines: str, method: str = "POST", path: str = "/v1/chat/completions") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "host: gateway", "authorization: Bearer alice", "connection: close", *lines)
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def status_and_code(answer: bytes) -> tuple[int, str]:
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split(b" ")[1]), json.loads(body)["error"]["code"]


async def test_a_well_spoken_request_is_answered(site: Site) -> None:
    answer = await site.sent(head(f"content-length: {len(BODY)}"), BODY)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert site.world.audit.kinds == ["intent", "outcome"]


async def test_an_answer_after_which_the_line_is_cut_says_so(site: Site) -> None:
    answer = await site.sent(head(f"content-length: {len(BODY)}"), BODY)
    assert b"\r\nconnection: close\r\n" in answer


async def test_one_after_which_it_is_kept_does_not_and_answers_come_in_the_order_of_the_requests(site: Site) -> None:
    kept = head(f"content-length: {len(BODY)}").replace(b"connection: close\r\n", b"")
    first, second, third = split(
        await site.sent(kept + BODY + kept + BODY, head(f"content-length: {len(BODY)}") + BODY)
    )
    assert b"connection: close" not in first + second
    assert b"\r\nconnection: close\r\n" in third
    assert len({request_id(one) for one in (first, second, third)}) == 3
    assert site.world.audit.kinds == ["intent", "outcome"] * 3


async def test_who_asks_for_the_head_only_gets_no_body(site: Site) -> None:
    answer = await site.sent(head(method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def split(answers: bytes) -> list[bytes]:
    return [b"HTTP/1.1 200 " + one for one in answers.split(b"HTTP/1.1 200 ")[1:]]


def request_id(answer: bytes) -> str:
    return answer.partition(b"x-request-id: ")[2][:24].decode()


NOT_HTTP = {
    "two ways to say the length": head(f"content-length: {len(BODY)}", "transfer-encoding: chunked") + BODY,
    "two lengths": head("content-length: 3", f"content-length: {len(BODY)}") + BODY,
    "an unknown transfer encoding": head("transfer-encoding: xchunked") + BODY,
    "a negative length": head("content-length: -1"),
    "a space before the colon": head("transfer-encoding : chunked"),
    "a folded line": head("x-a: b", " c"),
    "a bare carriage return": head("x-request-id: a\rset-cookie: b"),
    "a zero byte": head("x-a: a\0b"),
    "a path beyond ASCII": head(path="/v1/models/\xe9", method="GET"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("case", NOT_HTTP)
async def test_what_could_be_read_in_two_ways_is_refused_and_the_line_cut(case: str, site: Site) -> None:
    assert status_and_code(await site.sent(NOT_HTTP[case])) == (400, "invalid_http")
    assert site.world.model.prompts == []


@pytest.mark.parametrize("length", ["0" * 5_000 + "70", "18446744073709551615", str((1 << 20) + 1)])
async def test_a_length_that_cannot_be_is_refused_and_written_down(length: str, site: Site) -> None:
    assert status_and_code(await site.sent(head(f"content-length: {length}"))) == (413, "request_too_large")
    assert site.world.audit.kinds == ["refusal"]


@pytest.mark.parametrize("megabytes", [2, 16])
async def test_who_is_refused_while_still_sending_reads_the_refusal(
    megabytes: int, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "LINGER_S", 60)  # a busy machine may take long to send so much
    body = bytes(megabytes << 20)
    answer = await site.sent(head(f"content-length: {len(body)}"), body)
    assert status_and_code(answer) == (413, "request_too_large")
    assert site.world.audit.kinds == ["refusal"]


async def test_who_does_not_stop_sending_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "LINGER_BYTES_MAX", 1 << 20)
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(f"content-length: {1 << 40}"))
    with pytest.raises(ConnectionError):  # noqa: PT012 - which of the writes fails is the network's affair
        for _ in range(2_000):
            writer.write(b"a" * 65_536)
            await writer.drain()
    writer.close()


async def test_who_stays_after_a_refusal_is_cut_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "LINGER_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(f"content-length: {1 << 40}"))
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    with pytest.raises(ConnectionError):  # noqa: PT012 - which of the writes fails is the network's affair
        for _ in range(100):
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)
    writer.close()


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nx-a: "], ids=["an address", "a header"])
async def test_a_head_without_end_is_cut_off(start: bytes, site: Site) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(start)
    with pytest.raises(ConnectionError):  # noqa: PT012 - which of the writes fails is the network's affair
        for _ in range(2_000):
            writer.write(b"a" * 65_536)
            await writer.drain()
    writer.close()


async def test_many_headers_are_cut_off_too(site: Site) -> None:
    lines = [f"x-{number}: {'a' * 1000}\r\n".encode() for number in range(100)]
    answer = await site.sent(b"GET /healthz HTTP/1.1\r\n", *[line for line in lines for _ in range(20)])
    assert not answer or status_and_code(answer) == (431, "request_head_too_large")


@pytest.mark.parametrize("start", [b"", b"\r\n", b"GET /healthz HTTP/1.1\r\nhost: a\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    start: bytes, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_DEADLINE_S", 0.1)
    assert status_and_code(await site.sent(start)) == (408, "request_timeout")


async def test_the_second_head_on_a_connection_has_a_deadline_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_DEADLINE_S", 0.2)
    answer = await site.sent(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost")
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 408 ") == 1


async def test_a_large_body_is_no_large_head(site: Site) -> None:
    body = BODY[:-1] + b" " * 500_000 + b"}"
    answer = await site.sent(head(f"content-length: {len(body)}"), body)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def _asks_and_never_reads(port: int, requests: int) -> None:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client, ("127.0.0.1", port))
        for _ in range(requests):
            await loop.sock_sendall(client, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    finally:
        client.close()


async def test_a_client_who_never_reads_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "READ_DEADLINE_S", 0.2)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(WAIT_S):
            await _asks_and_never_reads(site.port, 1_000_000)


async def test_a_client_who_reads_late_gets_everything(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "READ_DEADLINE_S", 5)
    asked = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 500 + head(method="GET", path="/healthz")
    assert (await site.sent(asked)).count(b"HTTP/1.1 200 ") == 501
