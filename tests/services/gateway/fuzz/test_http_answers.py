"""Whatever bytes an upstream sends, however cut: its answer or a failure, within bounds, and never another's answer.

A connection is driven by hand: a transport that only remembers, and an owner that does. What hangs here is an answer
that is neither complete nor failed when its connection is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.adapters.http_connection import (
    HELD_BYTES_MAX,
    Answer,
    Broken,
    Connection,
    Deadlines,
    _length,
    _Refused,
    _require_framing,
)

many = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
OUR_WORDS = {
    "bytes after the end", "an answer before the question", "an interim answer that is none", "another version of HTTP",
    "an unknown transfer encoding", "the response is encoded", "the head is too large", "the response has no content",
    "the response's length is not clear", "the response's length is not what it says", "the response broke off",
    "the response is not HTTP/1.1", "the connection was lost", "the connection was closed",
}  # fmt: skip


class Transport(asyncio.Transport):
    """Takes everything and remembers whether it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        del data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


class Driven:
    """A connection and its owner."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.frees = self.spoils = self.losses = 0
        self.transport = Transport()
        self.connection = Connection(self, Deadlines(), loop)
        self.connection.connection_made(self.transport)

    def freed(self, connection: Connection) -> None:
        assert connection.usable
        self.frees += 1

    def spoilt(self, connection: Connection) -> None:
        assert not connection.usable
        self.spoils += 1

    def lost(self, connection: Connection) -> None:
        assert not connection.usable
        self.losses += 1

    def ask(self) -> Answer:
        return self.connection.ask(b"POST / HTTP/1.1\r\n\r\n", b"", 1e9)

    def feed(self, raw: bytes, cuts: list[int]) -> None:
        """As a transport does: nothing more once the connection is cut."""
        at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
        for start, end in pairwise(at):
            if start < end and not self.transport.aborted:
                self.connection.data_received(raw[start:end])

    def lose(self) -> None:
        self.connection.eof_received()
        self.connection.connection_lost(None)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def run_to_end(answer: Answer) -> bytes | Broken:
    """What reading gives, of an answer that nothing more will come to: a wait would be a hang."""
    reading = answer.whole(1 << 30)
    try:
        reading.send(None)
    except StopIteration as done:
        body: bytes = done.value
        return body
    except Broken as broken:
        return broken
    reading.close()
    raise AssertionError("an answer that neither ends nor fails")


BODIES = st.one_of(
    st.binary(max_size=80), st.sampled_from([b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
)
NAMES = st.sampled_from([b"x-a", b"Date", b"content-type", b"SERVER", b"x-amzn-errortype"])
VALUES = st.text(alphabet=[chr(code) for code in range(33, 127)], max_size=12).map(str.encode)
CUTS = st.lists(st.integers(0, 400), max_size=12)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A proper answer: its bytes, its body, its status."""
    status = draw(st.sampled_from([200, 200, 200, 400, 429, 503]))
    lines = [b"%s: %s" % (name, value) for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))]
    if draw(st.booleans()):
        pieces = [piece for piece in draw(st.lists(BODIES, max_size=4)) if piece]
        body = b"".join(pieces)
        lines.insert(draw(st.integers(0, len(lines))), b"transfer-encoding: chunked")
        extension = draw(st.sampled_from([b"", b";a=b"]))
        trailer = draw(st.sampled_from([b"", b"x-t: 1\r\n"]))
        written = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
        written += b"0\r\n%s\r\n" % trailer
    else:
        body = written = draw(BODIES)
        lines.insert(draw(st.integers(0, len(lines))), b"content-length: %d" % len(body))
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"]))
    head = b"\r\n".join([b"HTTP/1.1 %d Reason" % status, *lines])
    return interim + head + b"\r\n\r\n" + written, body, status


@many
@given(answer=answers(), cuts=CUTS)
def test_any_cut_of_an_answer_is_the_same_answer(
    loop: asyncio.AbstractEventLoop, answer: tuple[bytes, bytes, int], cuts: list[int]
) -> None:
    raw, body, status = answer
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(raw, cuts)
    assert (asked.status, run_to_end(asked)) == (status, body)
    if body.strip(b"\r\n"):
        assert (driven.frees, driven.transport.aborted) == (1, False)
    driven.lose()
    assert (driven.losses, driven.spoils) == (1, 1)


@many
@given(answer=answers(), cuts=CUTS, end=st.integers(0, 10_000))
def test_no_beginning_of_an_answer_is_an_answer(
    loop: asyncio.AbstractEventLoop, answer: tuple[bytes, bytes, int], cuts: list[int], end: int
) -> None:
    raw, _, _ = answer
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(raw[: end % len(raw)], cuts)
    driven.lose()
    assert isinstance(run_to_end(asked), Broken)
    assert driven.frees == 0


@many
@given(answer=answers(), junk=st.binary(min_size=1, max_size=30) | answers().map(lambda one: one[0]), cuts=CUTS)
def test_what_follows_an_answer_is_no_part_of_it_and_ends_the_connection(
    loop: asyncio.AbstractEventLoop, answer: tuple[bytes, bytes, int], junk: bytes, cuts: list[int]
) -> None:
    raw, body, status = answer
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(raw + junk, cuts)
    assert (asked.status, run_to_end(asked)) == (status, body)
    assert driven.transport.aborted
    assert not driven.connection.usable


@many
@given(first=answers(), second=answers(), cuts=CUTS, more=CUTS)
def test_two_answers_on_one_connection_are_never_mixed(
    loop: asyncio.AbstractEventLoop,
    first: tuple[bytes, bytes, int],
    second: tuple[bytes, bytes, int],
    cuts: list[int],
    more: list[int],
) -> None:
    driven = Driven(loop)
    one = driven.ask()
    driven.feed(first[0], cuts)
    if not driven.frees:
        return
    other = driven.ask()
    driven.feed(second[0], more)
    assert (other.status, run_to_end(other)) == (second[2], second[1])
    assert (one.status, run_to_end(one)) == (first[2], first[1])


PARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Go\r\n", b"HTTP/1.1 204 None\r\n", b"\r\n", b"\n",
     b"content-length: 5\r\n", b"content-length: 0\r\n", b"content-length: 4294967296\r\n", b"content-length:\r\n",
     b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip\r\n", b"transfer-encoding:\r\n", b"hello", b" ", b":",
     b"connection: close\r\n", b"connection: keep-alive\r\n", b"5\r\nhello\r\n",
     b"connection: upgrade\r\nupgrade: x\r\n", b"0\r\n", b"0\r\n\r\n",
     b"5;x", b"fffffffffffffffff\r\n", b"content-encoding: gzip\r\n",
     b"HTTP/1.1 101 X\r\n", b"x:\r\n", b"x: " + b"y" * 9_000, b"z" * 9_000, b"\r\n\r\n"]
)  # fmt: skip


@many
@given(parts=st.lists(PARTS | st.binary(max_size=6), max_size=14), cuts=CUTS)
def test_no_bytes_hang_or_exceed_bounds(loop: asyncio.AbstractEventLoop, parts: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(parts)
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(raw, cuts)
    driven.lose()
    said = run_to_end(asked)
    assert asked.held <= HELD_BYTES_MAX
    if isinstance(said, Broken):
        assert str(said) in OUR_WORDS
    else:
        assert asked.status >= 200
        assert len(said) in (0, 5) or b"chunked" in raw


@many
@given(answer=answers(), at=st.integers(0, 10_000), noise=st.binary(max_size=3), cuts=CUTS)
def test_a_bent_answer_is_an_answer_or_a_failure(
    loop: asyncio.AbstractEventLoop, answer: tuple[bytes, bytes, int], at: int, noise: bytes, cuts: list[int]
) -> None:
    raw = answer[0]
    where = at % len(raw)
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(raw[:where] + noise + raw[where + 1 :], cuts)
    driven.lose()
    said = run_to_end(asked)
    if isinstance(said, Broken):
        assert str(said) in OUR_WORDS
    assert driven.losses == 1


# --- between answers ------------------------------------------------------------------------------------------


def test_a_connection_whose_other_half_is_closed_is_not_offered_a_moment_longer(
    loop: asyncio.AbstractEventLoop,
) -> None:
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", [])
    assert (run_to_end(asked), driven.frees, driven.connection.usable) == (b"hello", 1, True)
    driven.connection.eof_received()
    assert (driven.spoils, driven.connection.usable, driven.transport.aborted) == (1, False, True)


def test_what_an_interim_answer_says_is_not_said_of_the_answer(loop: asyncio.AbstractEventLoop) -> None:
    driven = Driven(loop)
    asked = driven.ask()
    driven.feed(b"HTTP/1.1 103 Hints\r\ncontent-type: text/html\r\nx-amzn-errortype: Throttling\r\n\r\n", [])
    driven.feed(b"HTTP/1.1 200 OK\r\nX-Amzn-ErrorType: None\r\ncontent-length: 5\r\n\r\nhello", [])
    assert (asked.headers, run_to_end(asked)) == ({"x-amzn-errortype": "None"}, b"hello")


# --- what llhttp refuses already is refused here too: another version of it may be more lenient ----------------


@pytest.mark.parametrize(
    ("length", "chunked", "version", "status"),
    [(5, True, "1.1", 200), (0, True, "1.1", 200), (-1, False, "1.1", 200), (-1, True, "1.0", 200),
     (5, False, "1.1", 204), (-1, True, "1.1", 304)],
)  # fmt: skip
def test_an_end_that_is_not_clear_is_refused_whatever_the_parser_says(
    length: int, chunked: bool, version: str, status: int
) -> None:
    assert is_refused(length, chunked=chunked, version=version, status=status)


@pytest.mark.parametrize(
    ("length", "chunked", "version", "status"),
    [(5, False, "1.1", 200), (0, False, "1.0", 200), (-1, True, "1.1", 503), (-1, False, "1.1", 204),
     (0, False, "1.1", 304)],
)  # fmt: skip
def test_a_clear_end_is_taken(length: int, chunked: bool, version: str, status: int) -> None:
    assert not is_refused(length, chunked=chunked, version=version, status=status)


def is_refused(length: int, *, chunked: bool, version: str, status: int) -> bool:
    try:
        _require_framing(status, length, chunked, version)
    except _Refused:
        return True
    return False


def test_a_length_is_said_once_and_in_digits() -> None:
    assert _length(b" 5\t", -1) == 5
    for value, before in ((b"5", 5), (b"+5", -1), (b"5, 5", -1), (b"", -1), (b"0x5", -1), (b"9" * 19, -1)):
        with pytest.raises(_Refused):
            _length(value, before)


@pytest.mark.parametrize(("status", "taken"), [(100, True), (103, True), (101, False), (0, False)])
def test_only_some_answers_are_interim(loop: asyncio.AbstractEventLoop, status: int, taken: bool) -> None:
    driven = Driven(loop)
    driven.ask()
    with nullcontext() if taken else pytest.raises(_Refused):
        driven.connection._require_interim(status)
