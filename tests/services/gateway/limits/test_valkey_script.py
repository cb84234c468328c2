"""Answers belong to their own calls, whatever happened to the calls before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from services.gateway.adapters.valkey_connection import ValkeyConnection, ValkeyError, ValkeyRefused
from services.gateway.adapters.valkey_script import ValkeyScript
from tests.services.gateway.real_parts import HOST, Valkey

SCRIPT = """
if ARGV[1] == 'fail' then return redis.error_reply('ERR told to') end
return {tonumber(ARGV[2])}
"""
SHA1 = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
async def script(valkey: Valkey) -> AsyncIterator[ValkeyScript]:
    script = ValkeyScript(ValkeyConnection(HOST, valkey.port, credentials, None), SCRIPT, SHA1)
    yield script
    script.close()


async def credentials() -> tuple[str, str]:
    return "gateway", "unused"


def echo(number: int, act: str = "echo") -> tuple[str | int, ...]:
    return (0, act, number)


async def test_every_call_of_a_group_gets_its_own_answer(script: ValkeyScript) -> None:
    assert await script([echo(number) for number in range(200)], 30) == [[number] for number in range(200)]


async def test_a_call_that_is_refused_fails_its_group_and_shifts_no_later_answer(script: ValkeyScript) -> None:
    with pytest.raises(ValkeyRefused, match="told to"):
        await script([echo(1), echo(2, "fail"), echo(3)], 30)

    assert await script([echo(4)], 30) == [[4]]


async def test_the_answer_of_a_call_that_was_given_up_reaches_nobody(script: ValkeyScript, valkey: Valkey) -> None:
    await script([echo(0)], 30)
    valkey.freeze()  # it has the call, and answers when it wakes up
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await script([echo(1)], 30)
    finally:
        valkey.thaw()

    assert await script([echo(2)], 30) == [[2]]


async def test_a_valkey_that_was_restarted_while_nobody_called_is_reached_again_and_told_the_script(
    script: ValkeyScript, valkey: Valkey
) -> None:
    await script([echo(1)], 30)
    valkey.stop()
    valkey.start()

    assert await script([echo(2), echo(3)], 30) == [[2], [3]]


async def test_where_nobody_listens_a_call_fails() -> None:
    nobody = ValkeyScript(ValkeyConnection(HOST, 1, credentials, None), SCRIPT, SHA1)

    with pytest.raises((ValkeyError, OSError)):
        await nobody([echo(1)], 30)
