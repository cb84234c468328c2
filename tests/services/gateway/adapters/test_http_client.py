"""The client of upstreams: one answer to one request, with one end, within bounds and deadlines."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from services.gateway.adapters.http_client import ORIGINS_MAX, HttpClient
from services.gateway.adapters.http_connection import (
    HELD_BYTES_MAX,
    PIECEWISE_BYTES_MIN,
    Answer,
    Broken,
    Deadlines,
    NothingCame,
)
from services.gateway.adapters.http_pool import ConnectTimedOut, Origin, Pool
from services.gateway.adapters.tls import _certificate, client_context_for

HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PATIENT = Deadlines(60, 60, 60, 60)

Serve = Callable[["Line"], Awaitable[None]]


@dataclass
class Line:
    """A connection as the server has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> bytes:
        """Head and body of the next; EOFError at the connection's end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return head + await self.reader.readexactly(size)

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02)

    async def ended(self) -> None:
        """Returns when the client has hung up."""
        with suppress(ConnectionError):
            while await self.reader.read(65_536):
                continue


@dataclass
class Site:
    url: str = ""
    lines: int = 0
    open_now: int = 0
    open_max: int = 0
    requests: list[bytes] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Site]:
    site = Site()
    tasks: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        site.lines += 1
        site.open_now += 1
        site.open_max = max(site.open_max, site.open_now)
        try:
            with suppress(EOFError, ConnectionError):
                await serve(Line(reader, writer, site.lines))
        finally:
            site.open_now -= 1
            site.hung_up.set()
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x"
    try:
        yield site
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()


def answering(*answers: bytes, then_ends: bool = False) -> Serve:
    """Every request gets all of `answers`, one write each."""

    async def serve(line: Line) -> None:
        while True:
            await line.request()
            await line.say(*answers)
            if then_ends:
                return

    return serve


@asynccontextmanager
async def opened(deadlines: Deadlines = PATIENT, connections_max: int = 100) -> AsyncIterator[HttpClient]:
    client = HttpClient(lambda _: ssl.create_default_context(), deadlines, connections_max)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with opened() as client:
        yield client


async def asked(client: HttpClient, site: Site, body: bytes = b"{}") -> tuple[int, bytes]:
    async with asyncio.timeout(60):
        answer = await client.post(site.url, body, {"x-request-id": "r"})
        return answer.status, await answer.whole(1 << 20)


async def streamed(answer: Answer) -> bytes:
    parts = b""
    while piece := await answer.read():
        parts += piece
    return parts


async def settled() -> None:
    """Both ends, which share this loop, have heard of what the other did: also where each turn of it takes long."""
    for _ in range(20):
        await asyncio.sleep(0.005)


# --- what is sent ---------------------------------------------------------------------------------------------


async def test_a_request_says_what_it_must_and_nothing_of_its_own(client: HttpClient) -> None:
    seen: list[bytes] = []

    async def serve(line: Line) -> None:
        seen.append(await line.request())
        await line.say(HELLO)

    async with serving(serve) as site:
        await asked(client, site, b'{"a":1}')
    port = site.url.split(":")[2].split("/")[0]
    assert seen[0].decode().split("\r\n") == [
        "POST /v1/x HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "accept: */*",
        "accept-encoding: identity",
        "user-agent: gateway",
        "content-length: 7",
        "x-request-id: r",
        "",
        '{"a":1}',
    ]


@pytest.mark.parametrize(
    "headers",
    [{"a": "x\r\nb: y"}, {"a": "x\ny"}, {"a": "\0"}, {"a": "ü"}, {"a b": "x"}, {"a:": "x"}, {"": "x"}, {"a\r\n": "x"},
     {"Content-Length": "0"}, {"transfer-encoding": "chunked"}, {"host": "other"}, {"connection": "upgrade"}],
)  # fmt: skip
async def test_a_header_that_would_be_two_or_another_is_not_sent(client: HttpClient, headers: dict[str, str]) -> None:
    async with serving(answering(HELLO)) as site:
        with pytest.raises(Broken):
            await client.post(site.url, b"", headers)
        assert site.lines == 0
        assert await asked(client, site) == (200, b"hello")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "http:///x",
        "http://a@h/x",
        "http://h/x#y",
        "http://h/x y",
        "http://h/\xfc",
        "http://h b/x",
        "http://h:99999/x",
        "http://h:x/",
        "http://[::1/x",
        "h",
        "",
    ],
)
async def test_an_address_that_is_none_is_not_asked(client: HttpClient, url: str) -> None:
    with pytest.raises(Broken):
        await client.get(url)


async def test_a_path_is_sent_as_it_is_written(client: HttpClient) -> None:
    seen: list[bytes] = []

    async def serve(line: Line) -> None:
        seen.append(await line.request())
        await line.say(HELLO)

    async with serving(serve) as site:
        await client.get(site.url + "/a%3Ab%2F/../c?q=%20")
    assert seen[0].startswith(b"GET /v1/x/a%3Ab%2F/../c?q=%20 HTTP/1.1\r\n")


@pytest.mark.parametrize("size", [PIECEWISE_BYTES_MIN - 1, PIECEWISE_BYTES_MIN + 1, 3_000_001])
async def test_a_large_body_arrives_whole_and_again_on_the_same_connection(client: HttpClient, size: int) -> None:
    seen: list[bytes] = []

    async def serve(line: Line) -> None:
        while True:
            seen.append((await line.request()).partition(b"\r\n\r\n")[2])
            await line.say(HELLO)

    body = bytes(range(251)) * (size // 251 + 1)
    async with serving(serve) as site:
        for _ in range(2):
            assert await asked(client, site, body[:size]) == (200, b"hello")
    assert seen == [body[:size]] * 2
    assert site.lines == 1


@pytest.mark.parametrize("size", [400_000, 40_000_000])
async def test_an_error_before_the_whole_request_is_heard_and_ends_the_connection(size: int) -> None:
    async def serve(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno")
        await line.ended()

    async with serving(serve) as site, opened() as client:
        assert await asked(client, site, b"x" * size) == (413, b"no")
        if size > 400_000:  # the smaller one may be in the socket's buffers, all of it
            await asyncio.wait_for(site.hung_up.wait(), 30)


async def test_a_success_before_the_whole_request_is_refused(client: HttpClient) -> None:
    async def serve(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(HELLO)
        await line.ended()

    async with serving(serve) as site:
        with pytest.raises(Broken, match="before the question"):
            await asked(client, site, b"x" * 40_000_000)


# --- what is read ---------------------------------------------------------------------------------------------

GOOD = {
    "a length": (HELLO, b"hello"),
    "chunks": (CHUNKED, b"hello"),
    "names in capitals": (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 5\r\n\r\nhello", b"hello"),
    "space around a length": (b"HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nhello", b"hello"),
    "chunks with names": (HEAD + b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (HEAD + b"5\r\nhello\r\n0\r\nx-a: b\r\nx-b: c\r\n\r\n", b"hello"),
    "an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
    "two interim answers": (b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Go\r\n\r\n" + CHUNKED, b"hello"),
    "no encoding": (b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "no body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "a body of lines": (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    "many headers": (HELLO.replace(b"\r\n\r\n", b"\r\n" + b"x-a: b\r\n" * 90 + b"\r\n"), b"hello"),
    "no reason": (HELLO.replace(b" OK", b""), b"hello"),
    "an older version": (HELLO.replace(b"1.1", b"1.0"), b"hello"),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_an_answer_may_be_cut_anywhere(client: HttpClient, case: str, size: int) -> None:
    raw, body = GOOD[case]

    async def serve(line: Line) -> None:
        await line.request()
        for at in range(0, len(raw), size):
            line.writer.write(raw[at : at + size])
            await asyncio.sleep(0)
        await line.ended()

    async with serving(serve) as site:
        assert await asked(client, site) == (200, body)


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


BAD = {
    "a length and chunks": head(b"content-length: 5", b"transfer-encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunks and a length": head(b"transfer-encoding: chunked", b"content-length: 5") + b"5\r\nhello\r\n0\r\n\r\n",
    "two lengths": head(b"content-length: 5", b"content-length: 6") + b"hello!",
    "the same length twice": head(b"content-length: 5", b"content-length: 5") + b"hello",
    "a list of lengths": head(b"content-length: 5, 5") + b"hello",
    "a signed length": head(b"content-length: +5") + b"hello",
    "a negative length": head(b"content-length: -1") + b"hello",
    "a length in hexadecimal": head(b"content-length: 0x5") + b"hello",
    "a length without a number": head(b"content-length:") + b"hello",
    "a length beyond 64 bits": head(b"content-length: 18446744073709551621") + b"hello",
    "a folded length": head(b"content-length: 5\r\n 0") + b"hello",
    "a name before a space": head(b"content-length : 5") + b"hello",
    "no length": head(b"content-type: text/plain") + b"hello",
    "chunks in an older version": HEAD.replace(b"1.1", b"1.0") + b"5\r\nhello\r\n0\r\n\r\n",
    "another transfer encoding": head(b"transfer-encoding: gzip") + b"hello",
    "two transfer encodings": head(b"transfer-encoding: gzip, chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunks twice": head(b"transfer-encoding: chunked", b"transfer-encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "gzip": head(b"content-encoding: gzip", b"content-length: 5") + b"hello",
    "brotli after an empty header": head(b"x:", b"content-encoding: br", b"content-length: 5") + b"hello",
    "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello",
    "another version": HELLO.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "an old version": HELLO.replace(b"HTTP/1.1", b"HTTP/0.9"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a status of two digits": HELLO.replace(b"200", b"20"),
    "a status of nothing": HELLO.replace(b"200", b"000"),
    "bare line feeds": HELLO.replace(b"\r\n", b"\n"),
    "a zero in a header": head(b"x-a: \0", b"content-length: 5") + b"hello",
    "a header without end": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 200_000,
    "a reason without end": b"HTTP/1.1 200 " + b"a" * 200_000,
    "a head too large": head(b"x-a: " + b"a" * 70_000, b"content-length: 5") + b"hello",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 5_000,
    "too many headers": head(*[b"x-a: b"] * 101, b"content-length: 5") + b"hello",
    "interim answers without end": b"HTTP/1.1 100 Go\r\n\r\n" * 1_000,
    "an interim answer with a body": b"HTTP/1.1 100 Go\r\ncontent-length: 5\r\n\r\nhello" + HELLO,
    "a length in a trailer": HEAD + b"5\r\nhello\r\n0\r\ncontent-length: 5\r\n\r\n",
    "trailers without end": HEAD + b"5\r\nhello\r\n0\r\n" + b"x-a: b\r\n" * 20_000,
    "a trailer without end": HEAD + b"5\r\nhello\r\n0\r\nx-a: " + b"b" * 200_000,
    "a chunk's name without end": HEAD + b"5;" + b"a" * 200_000,
    "a chunk that is no number": HEAD + b"zz\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": HEAD + b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": HEAD + b"fffffffffffffffff\r\nhello",
    "a chunk after a sign": HEAD + b"+5\r\nhello\r\n0\r\n\r\n",
    "empty lines without end": b"\r\n" * 100_000,
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("size", [64, 1 << 20])
async def test_an_answer_that_could_be_read_in_two_ways_or_has_no_bounds_is_refused(case: str, size: int) -> None:
    raw = BAD[case]

    async def serve(line: Line) -> None:
        await line.request()
        for at in range(0, len(raw), size):
            line.writer.write(raw[at : at + size])
            if at % (size * 64) == 0:
                await line.writer.drain()
        await line.ended()

    async with serving(serve) as site, opened() as client:
        with pytest.raises(Broken):
            await asked(client, site)
        await asyncio.wait_for(site.hung_up.wait(), 30)


@pytest.mark.parametrize("cut", [HELLO[:-1], HELLO[:20], CHUNKED[:-1], CHUNKED[:-5], HEAD, b"HTTP/1.1 100 Go\r\n\r\n"])
async def test_an_answer_cut_short_is_a_failure_and_not_an_end(client: HttpClient, cut: bytes) -> None:
    async with serving(answering(cut, then_ends=True)) as site:
        with pytest.raises(Broken) as broken:
            await asked(client, site)
    assert not isinstance(broken.value, NothingCame)


async def test_an_answer_that_never_begins_is_told_from_one_that_breaks_off(client: HttpClient) -> None:
    async with serving(answering(then_ends=True)) as site:
        with pytest.raises(NothingCame):
            await asked(client, site)


# --- connections are kept, or not -----------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [HELLO, CHUNKED])
async def test_a_connection_is_kept_for_the_next_request(client: HttpClient, raw: bytes) -> None:
    async with serving(answering(raw)) as site:
        for _ in range(3):
            assert await asked(client, site) == (200, b"hello")
        assert site.lines == 1


@pytest.mark.parametrize(
    "raw", [HELLO.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), HELLO.replace(b"1.1", b"1.0")]
)
async def test_a_connection_that_says_it_ends_is_not_used_again(client: HttpClient, raw: bytes) -> None:
    async with serving(answering(raw)) as site:
        for _ in range(2):
            assert await asked(client, site) == (200, b"hello")
        assert site.lines == 2


JUNK = [b"x", b"\r\n", b"\n", b"\r", b"\0", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("raw", [HELLO, CHUNKED])
@pytest.mark.parametrize("apart", [False, True])
async def test_bytes_after_an_answers_end_are_nobodys_answer(
    client: HttpClient, raw: bytes, junk: bytes, apart: bool
) -> None:
    async with serving(answering(*([raw, junk] if apart else [raw + junk]))) as site:
        for _ in range(2):
            assert await asked(client, site) == (200, b"hello")
            await settled()
        assert site.lines == 2


async def test_bytes_before_the_first_request_are_nobodys_answer(client: HttpClient) -> None:
    async def serve(line: Line) -> None:
        if line.number == 1:
            await line.request()
            await line.say(HELLO)
            await line.say(HELLO.replace(b"hello", b"evil!"))
            await line.ended()
        await answering(HELLO)(line)

    async with serving(serve) as site:
        assert await asked(client, site) == (200, b"hello")
        await settled()
        assert await asked(client, site) == (200, b"hello")
        assert site.lines == 2


async def test_a_connection_the_server_has_closed_is_not_asked(client: HttpClient) -> None:
    async with serving(answering(HELLO, then_ends=True)) as site:
        for _ in range(2):
            assert await asked(client, site) == (200, b"hello")
            await settled()
        assert site.lines == 2


async def test_a_connection_that_lies_idle_is_closed() -> None:
    async with serving(answering(HELLO)) as site, opened(Deadlines(60, 60, 60, 0.1)) as client:
        assert await asked(client, site) == (200, b"hello")
        await asyncio.wait_for(site.hung_up.wait(), 30)
        assert await asked(client, site) == (200, b"hello")


async def test_an_answer_nobody_reads_to_its_end_ends_its_connection(client: HttpClient) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.say(HEAD + b"5\r\nhello\r\n")
        await line.ended()

    async with serving(serve) as site:
        answer = await client.post(site.url, b"", {})
        assert await answer.read() == b"hello"
        answer.close()
        await asyncio.wait_for(site.hung_up.wait(), 30)
        with pytest.raises(Broken):
            await answer.read()


@pytest.mark.parametrize("said", [(), (HEAD,), (HEAD + b"5\r\nhello\r\n",)])
async def test_who_is_cancelled_cuts_the_line(client: HttpClient, said: tuple[bytes, ...]) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.say(*said)
        began.set()
        await line.ended()

    began = asyncio.Event()
    async with serving(serve) as site:
        task = asyncio.create_task(asked(client, site))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(site.hung_up.wait(), 30)


# --- deadlines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [(), (b"HTTP/1.1 2",), (HEAD,), (HEAD + b"5\r\nhello\r\n",)])
async def test_a_silent_server_is_given_up(said: tuple[bytes, ...]) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.say(*said)
        await line.ended()

    async with serving(serve) as site, opened(Deadlines(60, 0.2, 60, 5)) as client:
        with pytest.raises(TimeoutError):
            await asked(client, site)
        await asyncio.wait_for(site.hung_up.wait(), 30)


async def dripping(line: Line) -> None:
    await line.request()
    await line.say(HEAD)
    for _ in range(12):
        await line.say(b"1\r\nx\r\n")
        await asyncio.sleep(0.28)
    await line.say(b"0\r\n\r\n")


async def test_a_slow_server_is_heard_out_while_it_goes_on() -> None:
    async with serving(dripping) as site, opened(Deadlines(60, 3, 60, 5)) as client:
        assert await asked(client, site) == (200, b"x" * 12)


async def test_a_server_that_drips_for_ever_is_given_up() -> None:
    async with serving(dripping) as site, opened(Deadlines(60, 60, 0.4, 5)) as client:
        with pytest.raises(TimeoutError):
            await asked(client, site)


async def test_a_server_that_does_not_read_a_large_request_is_given_up() -> None:
    async def serve(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        await asyncio.sleep(20)

    async with serving(serve) as site, opened(Deadlines(60, 0.3, 60, 5)) as client:
        with pytest.raises(TimeoutError):
            await asked(client, site, b"x" * 40_000_000)


async def test_a_handshake_that_does_not_end_is_given_up() -> None:
    async def serve(line: Line) -> None:
        await line.ended()

    async with serving(serve) as site, opened(Deadlines(0.2, 60, 60, 5)) as client:
        with pytest.raises(ConnectTimedOut):
            await client.get(site.url.replace("http:", "https:"))


# --- bounds ---------------------------------------------------------------------------------------------------


async def test_what_nobody_takes_is_not_read(client: HttpClient) -> None:
    size, part = 200, b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0

    async def serve(line: Line) -> None:
        nonlocal sent
        await line.request()
        line.writer.write(HEAD)
        for _ in range(size):
            line.writer.write(part)
            await line.writer.drain()
            sent += 1
        line.writer.write(b"0\r\n\r\n")
        await line.ended()

    async with serving(serve) as site:
        answer = await client.post(site.url, b"", {})
        await asyncio.sleep(0.3)
        assert answer.held <= 2 * HELD_BYTES_MAX
        assert sent < size
        assert await streamed(answer) == b"x" * 65_536 * size


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000,
     HEAD + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 40 + b"0\r\n\r\n"],
)  # fmt: skip
async def test_a_whole_body_has_a_bound_and_up_to_it_all_is_read(client: HttpClient, raw: bytes) -> None:
    async with serving(answering(raw)) as site:
        with pytest.raises(Broken, match="too large"):
            await asked(client, site)
        answer = await client.post(site.url, b"", {})
        assert len(await answer.whole(4 << 20)) > 1 << 20


async def test_connections_to_an_origin_are_bounded_and_who_waits_longest_is_served_first() -> None:
    order: list[bytes] = []

    async def serve(line: Line) -> None:
        while True:
            order.append((await line.request())[-2:])
            await line.say(HELLO)

    async with serving(serve) as site, opened(connections_max=2) as client:
        tasks = []
        for number in range(12):
            tasks.append(asyncio.create_task(asked(client, site, b"%02d" % number)))
            await asyncio.sleep(0)
        assert await asyncio.gather(*tasks) == [(200, b"hello")] * 12
    assert site.open_max == 2
    assert order[2:] == [b"%02d" % number for number in range(2, 12)]


async def test_who_leaves_the_queue_loses_nobodys_turn() -> None:
    async with serving(answering(HELLO)) as site, opened(connections_max=1) as client:
        tasks = [asyncio.create_task(asked(client, site)) for _ in range(20)]
        for wait_s, task in zip([0, 0.01, 0.02, 0.03, 0.05], tasks[::3], strict=False):
            await asyncio.sleep(wait_s)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        said = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert said == [(200, b"hello")] * len(said)
        assert len(said) >= 15
        assert await asked(client, site) == (200, b"hello")


@pytest.mark.parametrize("broken", [False, True], ids=["a connection", "a place for one"])
async def test_what_is_given_to_who_has_just_left_goes_to_the_next(broken: bool) -> None:
    async with serving(answering(HELLO)) as site:
        pool = Pool(Origin("127.0.0.1", int(site.url.split(":")[2].split("/")[0])), PATIENT, 1)
        due_at = asyncio.get_running_loop().time() + 60
        held = await pool.one(due_at)
        leaves, stays = asyncio.create_task(pool.one(due_at)), asyncio.create_task(pool.one(due_at))
        await asyncio.sleep(0)
        if broken:
            held.abort()
            pool.lost(held)
        else:
            pool.freed(held)
        leaves.cancel()
        got = await asyncio.wait_for(stays, 30)
        assert leaves.cancelled()
        assert (got is held) is not broken
        await pool.close()


async def test_connections_that_break_free_their_places() -> None:
    async with serving(answering(HELLO[:-1], then_ends=True)) as site, opened(connections_max=2) as client:
        results = await asyncio.gather(*(asked(client, site) for _ in range(10)), return_exceptions=True)
        assert [type(result) for result in results] == [Broken] * 10
    assert site.open_max <= 2


async def test_who_waits_for_a_place_too_long_is_told() -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.say(HEAD)
        for _ in range(600):
            await line.say(b"1\r\nx\r\n")

    async with serving(serve) as site, opened(Deadlines(60, 2, 60, 5), connections_max=1) as client:
        answer = await client.post(site.url, b"", {})
        with pytest.raises(TimeoutError):
            await asked(client, site)
        answer.close()


async def test_closing_breaks_off_what_is_under_way_and_says_goodbye_to_the_rest() -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.say(HEAD if line.number == 1 else HELLO)
        await line.ended()

    async with serving(serve) as site, opened() as client:
        answer = await client.post(site.url, b"", {})
        assert await asked(client, site) == (200, b"hello")
        waiting = asyncio.create_task(answer.whole(10))
        await asyncio.sleep(0)
        assert (site.lines, site.open_now) == (2, 2)
        await client.close()
        with pytest.raises(Broken):
            await waiting
        with pytest.raises(Broken):
            await asked(client, site)
        await settled()
        assert site.open_now == 0


async def test_who_connects_while_all_is_closed_gets_no_connection() -> None:
    async with serving(answering(HELLO)) as site, opened() as client:
        task = asyncio.create_task(asked(client, site))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(Broken):
            await task
        await settled()
        assert site.open_now == 0


async def test_many_origins_are_remembered_no_longer_than_they_are_used(client: HttpClient) -> None:
    async with serving(answering(HELLO)) as site:
        used = await client.post(site.url, b"", {})
        for number in range(3 * ORIGINS_MAX):
            with pytest.raises(NothingCame):
                await client.get(f"http://127.0.0.{number + 2}:9/")
        assert await used.whole(10) == b"hello"
        assert await asked(client, site) == (200, b"hello")
        assert site.lines == 1
        await client.close()
        await settled()
        assert site.open_now == 0


# --- TLS ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def encrypted(folder: Path, raw: bytes) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """A server whose certificate names 127.0.0.1 alone, and the context that trusts it. LINE in `raw` is a number."""
    pem = folder / "server.pem"
    pem.write_bytes(_certificate("127.0.0.1"))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pem)
    lines = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines
        lines += 1
        with suppress(EOFError, ConnectionError):
            await answering(raw.replace(b"LINE", b"%04d" % lines))(Line(reader, writer, lines))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=theirs)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", client_context_for(pem.read_text())
    finally:
        server.close()


async def test_a_connection_in_tls_is_kept_and_takes_and_gives_large_bodies(tmp_path: Path) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: 2000004\r\n\r\nLINE" + b"x" * 2_000_000
    async with encrypted(tmp_path, raw) as (url, context):
        client = HttpClient(lambda _: context, PATIENT)
        for size in (10, 3_000_000, 10):
            answer = await client.post(url, b"y" * size, {})
            assert await answer.whole(3 << 20) == b"0001" + b"x" * 2_000_000
            answer = await client.post(url, b"y" * size, {})
            assert await streamed(answer) == b"0001" + b"x" * 2_000_000
        await client.close()


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    async with encrypted(tmp_path, HELLO) as (url, context):
        client = HttpClient(lambda _: context, PATIENT)
        with pytest.raises(Broken, match="no TLS"):
            await client.get(url.replace("127.0.0.1", "localhost"))
        assert await (await client.get(url)).whole(10) == b"hello"
        await client.close()


async def test_nobody_listening_is_told_at_once(client: HttpClient) -> None:
    with pytest.raises(NothingCame):
        await client.get("http://127.0.0.1:9/")


# --- on the loop of production --------------------------------------------------------------------------------

SCENARIOS: list[tuple[Callable[..., Awaitable[None]], tuple[object, ...]]] = [
    *[(test_an_answer_may_be_cut_anywhere, (case, size)) for case in GOOD for size in (7, 1 << 20)],
    *[(test_bytes_after_an_answers_end_are_nobodys_answer, (HELLO, junk, True)) for junk in JUNK],
    *[(test_an_answer_cut_short_is_a_failure_and_not_an_end, (cut,)) for cut in (HELLO[:-1], HEAD)],
    *[(test_who_is_cancelled_cuts_the_line, (said,)) for said in ((), (HEAD,))],
    (test_an_answer_that_never_begins_is_told_from_one_that_breaks_off, ()),
    (test_a_connection_is_kept_for_the_next_request, (CHUNKED,)),
    (test_a_connection_the_server_has_closed_is_not_asked, ()),
    (test_a_large_body_arrives_whole_and_again_on_the_same_connection, (3_000_001,)),
    (test_a_success_before_the_whole_request_is_refused, ()),
    (test_what_nobody_takes_is_not_read, ()),
    (test_nobody_listening_is_told_at_once, ()),
]
ALONE: list[Callable[[], Coroutine[None, None, None]]] = [
    test_a_connection_that_lies_idle_is_closed,
    test_a_slow_server_is_heard_out_while_it_goes_on,
    test_a_server_that_drips_for_ever_is_given_up,
    test_a_server_that_does_not_read_a_large_request_is_given_up,
    test_a_handshake_that_does_not_end_is_given_up,
    test_connections_to_an_origin_are_bounded_and_who_waits_longest_is_served_first,
    test_who_leaves_the_queue_loses_nobodys_turn,
    test_connections_that_break_free_their_places,
    test_closing_breaks_off_what_is_under_way_and_says_goodbye_to_the_rest,
    test_who_connects_while_all_is_closed_gets_no_connection,
]


@pytest.mark.parametrize(("scenario", "arguments"), SCENARIOS)
def test_it_is_the_same_on_uvloop(scenario: Callable[..., Awaitable[None]], arguments: tuple[object, ...]) -> None:
    """The scenarios are tests of their own, above, and assert what they assert there."""

    async def run() -> None:
        async with opened() as client:
            await scenario(client, *arguments)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.mark.parametrize(
    "scenario",
    [test_a_connection_in_tls_is_kept_and_takes_and_gives_large_bodies, test_a_certificate_of_another_name_is_refused],
)
def test_tls_is_the_same_on_uvloop(scenario: Callable[[Path], Coroutine[None, None, None]], tmp_path: Path) -> None:
    """As above: the scenario asserts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(tmp_path))


@pytest.mark.parametrize("scenario", ALONE)
def test_it_is_the_same_on_uvloop_within_other_bounds(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """As above: the scenario asserts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
