"""What comes back belongs to who asked, or the connection is cut: a server that says anything, at any split."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.valkey_connection import (
    Credentials,
    ValkeyConnection,
    ValkeyError,
    ValkeyLost,
    ValkeyRefused,
    packed,
)
from tests.recovery import Recovery
from tests.services.gateway.real_parts import HOST, Valkey

GREETING = b"%1\r\n$5\r\nproto\r\n:3\r\n"
ASK = packed(("ASK", 1))

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Say = Callable[[int], list[bytes]]  # what is written, piece by piece, after that many reads


async def credentials() -> tuple[str, str]:
    return "gateway", "unused"


@asynccontextmanager
async def server(
    say: Say, greeting: bytes = GREETING, login: Credentials = credentials
) -> AsyncIterator[tuple[ValkeyConnection, list[int]]]:
    """Says what it is told to, after its greeting; the second value counts its connections."""
    connections = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[0] += 1
        reads = -1
        while await reader.read(4096):
            for piece in [greeting] if reads < 0 else say(reads):
                writer.write(piece)
                await asyncio.sleep(0)
            reads += 1

    async with listening(serve) as port:
        connection = ValkeyConnection(HOST, port, login, None)
        yield connection, connections
        connection.close()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    serving: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(OSError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(one, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    if serving:
        await asyncio.wait(serving, timeout=5)


async def accepted(times: list[int], connections: int) -> None:
    """The server has taken so many, and no more: whoever connects may be ahead of it."""
    recovery = Recovery(30)
    while times[0] < connections:
        await recovery.pause()
    assert times == [connections]


async def test_answers_come_in_the_order_of_their_commands(valkey: Valkey) -> None:
    connection = ValkeyConnection(HOST, valkey.port, credentials, None)
    commands = b"".join(packed(("ECHO", str(number))) for number in range(300))
    assert await connection.ask(commands, 300, 30) == [str(number).encode() for number in range(300)]
    connection.close()


@given(cuts=st.lists(st.integers(1, 30), max_size=6))
def test_an_answer_cut_anywhere_is_the_same_answer(cuts: list[int]) -> None:
    answer = b"*3\r\n:1\r\n:-2\r\n$5\r\nthree\r\n"
    edges = [0, *sorted({cut for cut in cuts if cut < len(answer)}), len(answer)]
    pieces = [answer[begin:end] for begin, end in itertools.pairwise(edges)]

    async def asked() -> object:
        async with server(lambda _: pieces) as (connection, _):
            return await connection.ask(ASK, 1, 30)

    assert asyncio.run(asked()) == [[1, -2, b"three"]]


async def test_an_error_among_the_answers_is_raised_and_shifts_none_of_the_next() -> None:
    async with server(lambda reads: [b":1\r\n-ERR no\r\n:3\r\n"] if reads == 0 else [b":4\r\n"]) as (connection, times):
        with pytest.raises(ValkeyRefused, match="ERR no"):
            await connection.ask(ASK * 3, 3, 30)
        assert await connection.ask(ASK, 1, 30) == [4]
        assert times == [1]


async def test_what_nobody_asked_for_costs_the_connection() -> None:
    async with server(lambda _: [b":1\r\n:2\r\n"]) as (connection, times):
        with pytest.raises(ValkeyLost):
            await connection.ask(ASK, 1, 30)
        with pytest.raises(ValkeyLost):
            await connection.ask(ASK, 1, 30)
        assert times == [2]


async def test_what_comes_while_nobody_waits_is_no_answer_to_the_next_call() -> None:
    async with server(lambda reads: [b":1\r\n"] if reads == 0 else [b":2\r\n"]) as (connection, times):
        assert await connection.ask(ASK, 1, 30) == [1]
        line = connection._line  # as if the server had spoken meanwhile
        assert line is not None
        line.data_received(b":99\r\n")
        assert await connection.ask(ASK, 1, 30) == [1]
        assert times == [2]


@pytest.mark.parametrize("said", [b"?what\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*-7\r\n"])
async def test_what_is_not_the_protocol_costs_the_connection(said: bytes) -> None:
    async with server(lambda _: [said]) as (connection, _):
        with pytest.raises(ValkeyError):
            async with asyncio.timeout(30):
                await connection.ask(ASK, 1, 30)


async def test_who_gives_up_leaves_no_connection_behind() -> None:
    async with server(lambda reads: [] if reads == 0 else [b":1\r\n"]) as (connection, times):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.ask(ASK, 1, 30)
        waiting = asyncio.ensure_future(connection.ask(ASK, 1, 30))
        await accepted(times, 2)
        waiting.cancel()


async def test_credentials_that_are_refused_are_an_error_and_asked_for_anew() -> None:
    asked = 0

    async def counted() -> tuple[str, str]:
        nonlocal asked
        asked += 1
        return "gateway", "wrong"

    refusal = b"-WRONGPASS invalid username-password pair\r\n"
    async with server(lambda _: [], greeting=refusal, login=counted) as (connection, _):
        for _ in range(2):
            with pytest.raises(ValkeyRefused, match="WRONGPASS"):
                await connection.ask(ASK, 1, 30)
    assert asked == 2


async def test_an_answer_that_does_not_come_in_time_costs_the_connection_and_reaches_nobody() -> None:
    async with server(lambda reads: [] if reads == 0 else [b":1\r\n"]) as (connection, times):
        with pytest.raises(TimeoutError):
            await connection.ask(ASK, 1, 0.05)
        with pytest.raises(TimeoutError):
            await connection.ask(ASK, 1, 0.05)
        await accepted(times, 2)
