"""What is left of the limits is told with every answer and every 429, from the limiter's own figures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.gateway.edge import application
from services.gateway.exchange import Allowance, Rate
from services.gateway.metrics import Metrics
from services.gateway.rate_headers import rate_headers
from tests.services.gateway.fakes import LIMITS, World
from tests.services.gateway.serving import serving

CHAT: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]}
EMBED: dict[str, Any] = {"model": "minilm", "input": "Leave?"}
NAMES = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def http(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"authorization": "Bearer alice"}
    async with (
        serving(application(world.ports(), Metrics())) as url,
        aiohttp.ClientSession(url, headers=headers) as session,
    ):
        yield session


ASKED = {
    "a whole answer": ("/v1/chat/completions", CHAT),
    "a stream": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "vectors": ("/v1/embeddings", EMBED),
}


@pytest.mark.parametrize("case", ASKED)
async def test_an_answer_tells_what_is_left(http: aiohttp.ClientSession, world: World, case: str) -> None:
    world.limits.requests_left = 3
    path, body = ASKED[case]
    async with http.post(path, json=body) as response:
        assert response.status == 200
        told = {name.lower(): value for name, value in response.headers.items() if name.lower() in NAMES}
    assert told.keys() == NAMES
    assert told["x-ratelimit-limit-requests"] == str(LIMITS.requests_per_minute)
    assert told["x-ratelimit-remaining-requests"] == "2"
    assert told["x-ratelimit-reset-requests"] == "1.500s"
    assert int(told["x-ratelimit-remaining-tokens"]) < int(told["x-ratelimit-limit-tokens"])


async def test_who_is_over_a_limit_is_told_when_to_come_back(http: aiohttp.ClientSession, world: World) -> None:
    world.limits.requests_left = 0
    async with http.post("/v1/chat/completions", json=CHAT) as response:
        assert response.status == 429
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("7", "6500")
        assert "x-should-retry" not in response.headers


async def test_who_has_no_money_left_is_told_not_to_come_back(http: aiohttp.ClientSession, world: World) -> None:
    world.budget.left = world.budget.left * 0
    async with http.post("/v1/chat/completions", json=CHAT) as response:
        assert response.status == 429
        assert (await response.json())["error"]["code"] == "insufficient_quota"
        assert response.headers["x-should-retry"] == "false"
        assert "retry-after" not in response.headers


async def test_where_nothing_was_counted_nothing_is_told(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/chat/completions", json={**CHAT, "model": "gpt-9"}) as response:
        assert response.status == 404
        assert not any(name.lower() in NAMES for name in response.headers)
    assert rate_headers(None) == []


def test_the_tokens_that_are_nearer_to_their_end_are_told() -> None:
    plenty, scarce = Rate(1_000, 900, 5), Rate(100, 1, 12_345)
    for allowance in (Allowance(plenty, plenty, scarce), Allowance(plenty, scarce, plenty)):
        told = dict(rate_headers(allowance))
        assert told[b"x-ratelimit-limit-tokens"] == b"100"
        assert told[b"x-ratelimit-remaining-tokens"] == b"1"
        assert told[b"x-ratelimit-reset-tokens"] == b"12.345s"
