"""The published document says what the gateway does: same routes, same bodies, same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from services.gateway import openapi
from services.gateway.edge import application
from services.gateway.metrics import Metrics
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving

PUBLISHED = Path(__file__).parents[3] / "docs" / "openapi.json"
CHAT: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"authorization": "Bearer alice"}
    async with (
        serving(application(World().ports(), Metrics())) as url,
        aiohttp.ClientSession(url, headers=headers) as session,
    ):
        yield session


def test_the_published_document_is_the_one_that_the_code_makes() -> None:
    assert PUBLISHED.read_text() == openapi.text(), "python -m services.gateway.openapi > docs/openapi.json"


def test_no_object_that_a_caller_sends_may_hold_a_field_that_is_not_named() -> None:
    schemas: Mapping[str, Any] = openapi.document()["components"]["schemas"]
    objects = {name: schema for name, schema in schemas.items() if "properties" in schema}
    assert objects
    assert [name for name, schema in objects.items() if schema.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("path", openapi.document()["paths"])
async def test_every_path_of_the_document_is_there(http: aiohttp.ClientSession, path: str) -> None:
    (method,) = openapi.document()["paths"][path].keys() & {"get", "post"}
    async with http.request(method, path.replace("{model}", "local"), json={}) as response:
        assert response.status in (200, 400)
    async with http.request("delete", path.replace("{model}", "local")) as response:
        assert response.status == 405


ANSWERS: dict[str, tuple[str, str, dict[str, Any] | None, type]] = {
    "a chat answer": ("post", "/v1/chat/completions", CHAT, openapi.ChatCompletion),
    "several chat answers": ("post", "/v1/chat/completions", {**CHAT, "n": 3}, openapi.ChatCompletion),
    "a response": ("post", "/v1/responses", {"model": "local", "input": "Leave?"}, openapi.Response),
    "vectors": ("post", "/v1/embeddings", {"model": "minilm", "input": "x"}, openapi.EmbeddingList),
    "vectors as base64": (
        "post",
        "/v1/embeddings",
        {"model": "minilm", "input": "x", "encoding_format": "base64"},
        openapi.EmbeddingList,
    ),
    "models": ("get", "/v1/models", None, openapi.ModelList),
    "one model": ("get", "/v1/models/local", None, openapi.ModelEntry),
    "a refusal": ("post", "/v1/chat/completions", {**CHAT, "n": 99}, openapi.Error),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers_have_the_shape_that_the_document_says(http: aiohttp.ClientSession, case: str) -> None:
    method, path, body, shape = ANSWERS[case]
    async with http.request(method, path, json=body) as response:
        assert msgspec.json.decode(await response.read(), type=shape) is not None
