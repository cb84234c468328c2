"""Ids are drawn by the block, and still nobody meets one twice: not in another thread, not in a forked process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.gateway.random_ids import BLOCK_IDS, RandomIds


@pytest.mark.parametrize("size_bytes", [1, 12, 16])
def test_an_id_has_two_hexadecimal_digits_a_byte(size_bytes: int) -> None:
    drawn = RandomIds(size_bytes)
    pattern = re.compile(f"[0-9a-f]{{{2 * size_bytes}}}")
    assert all(pattern.fullmatch(drawn()) for _ in range(3 * BLOCK_IDS))


def test_no_id_is_given_twice_in_any_thread() -> None:
    drawn = RandomIds(12)
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: drawn(), range(20 * BLOCK_IDS)))
    assert len(set(ids)) == len(ids)


def test_every_byte_of_a_block_is_given_once_and_as_it_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[bytes] = []
    real = os.urandom

    def urandom(size_bytes: int) -> bytes:
        blocks.append(real(size_bytes))
        return blocks[-1]

    monkeypatch.setattr(os, "urandom", urandom)
    drawn = RandomIds(12)
    ids = [drawn() for _ in range(2 * BLOCK_IDS)]
    assert "".join(ids) == b"".join(blocks).hex()
    assert len(blocks) == 2


def test_a_forked_process_draws_ids_of_its_own() -> None:
    drawn = RandomIds(12)
    drawn()  # the rest of the block waits in both processes
    theirs = _in_a_fork(drawn)
    assert theirs
    assert theirs not in {drawn() for _ in range(BLOCK_IDS)}


def _in_a_fork(drawn: Callable[[], str]) -> str:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, drawn().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as told:
        return told.read()
