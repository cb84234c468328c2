"""Two paths pass the proxy, everything that passes is written down first, and nothing else of the caller passes."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import openai
import pytest
from aiohttp import web

from stacks.local.parts.model_proxy import application
from tests.stacks.local.parts.running_parts import RunningParts


@dataclass
class FakeModelServer:
    """Streams until told to stop, remembers what it was asked and whether the caller left."""

    model: str = "team-model"
    asked: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_off: bool = False

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.model}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((dict(request.headers), body))
        if not body.get("stream"):
            return web.json_response({"choices": []}, status=int(body.get("wanted_status", 200)))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await response.write(b"data: first\n\n")
            if self.breaks_off:
                assert request.transport is not None
                request.transport.abort()
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return response


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # asyncio's server
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Proxied:
    upstream: FakeModelServer
    url: str
    log: Path
    session: aiohttp.ClientSession

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line)["request"] for line in self.log.read_text().splitlines()]


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    upstream = FakeModelServer()
    server = web.Application()
    server.router.add_get("/v1/models", upstream.models)
    server.router.add_post("/v1/chat/completions", upstream.complete)
    log = tmp_path / "requests.jsonl"
    async with (
        served(server) as upstream_url,
        application(f"{upstream_url}/v1", log) as proxy,
        served(proxy) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield Proxied(upstream, url, log, session)


async def test_request_is_written_down_and_sent_under_the_servers_own_model_name(proxied: Proxied) -> None:
    body = {"model": "local", "messages": [{"role": "user", "content": "Grüße"}]}
    async with proxied.session.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
    assert proxied.upstream.asked[0][1] == {**body, "model": "team-model"}
    assert proxied.logged() == [{**body, "model": "team-model"}]
    assert "Grüße" in proxied.log.read_text()
    assert stat.S_IMODE(proxied.log.stat().st_mode) == 0o600


async def test_credentials_of_the_caller_do_not_pass(proxied: Proxied) -> None:
    headers = {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Api-Key": "k"}
    async with proxied.session.post("/v1/chat/completions", json={"model": "local"}, headers=headers) as answer:
        assert answer.status == 200
    sent = {name.lower(): value for name, value in proxied.upstream.asked[0][0].items()}
    assert not {"authorization", "cookie", "x-api-key"} & set(sent)
    assert sent["connection"] == "close"


async def test_only_the_one_model_is_offered(proxied: Proxied) -> None:
    async with proxied.session.get("/v1/models") as answer:
        assert [one["id"] for one in (await answer.json())["data"]] == ["local"]
    async with proxied.session.post("/v1/chat/completions", json={"model": "team-model"}) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "model_not_found"
    assert proxied.upstream.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/metrics"), ("GET", "/slots"), ("POST", "/v1/completions"), ("POST", "/tokenize"), ("GET", "/props")],
)
async def test_every_other_path_is_not_found(proxied: Proxied, method: str, path: str) -> None:
    async with proxied.session.request(method, path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("body", [b"not json", b"[]", b"\xff"])
async def test_body_that_is_no_request_is_not_forwarded(proxied: Proxied, body: bytes) -> None:
    async with proxied.session.post("/v1/chat/completions", data=body) as answer:
        assert answer.status in (400, 404)
    assert proxied.upstream.asked == []
    assert proxied.logged() == []


async def test_status_of_the_server_passes(proxied: Proxied) -> None:
    body = {"model": "local", "wanted_status": 429}
    async with proxied.session.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 429


async def test_stream_passes_at_once_and_a_caller_who_leaves_is_noticed_upstream(proxied: Proxied) -> None:
    body = {"model": "local", "stream": True}
    async with proxied.session.post("/v1/chat/completions", json=body) as answer:
        assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 20) == b"data: first\n\n"
        assert not proxied.upstream.left.is_set()
    await asyncio.wait_for(proxied.upstream.left.wait(), 20)


async def test_stream_that_breaks_off_upstream_breaks_off_for_the_caller(proxied: Proxied) -> None:
    proxied.upstream.breaks_off = True
    body = {"model": "local", "stream": True}
    with pytest.raises(aiohttp.ClientError):
        async with proxied.session.post("/v1/chat/completions", json=body) as answer:
            await answer.read()


async def test_dead_server_is_a_bad_gateway(tmp_path: Path) -> None:
    async with (
        application("http://127.0.0.1:1/v1", tmp_path / "log") as proxy,
        served(proxy) as url,
        aiohttp.ClientSession(url) as session,
    ):
        for call in (session.get("/v1/models"), session.post("/v1/chat/completions", json={"model": "local"})):
            async with call as answer:
                assert answer.status == 502
                assert (await answer.json())["error"]["type"] == "api_error"


def test_packaged_model_answers_through_the_proxy(running: RunningParts) -> None:
    marker = "What is the colour of the sky?"
    with openai.OpenAI(base_url=running.addresses.model_url, api_key="secret-key-of-caller", max_retries=0) as client:
        question: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": marker}]
        whole = client.chat.completions.create(model="local", messages=question, max_tokens=8)
        stream = client.chat.completions.create(model="local", messages=question, max_tokens=8, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert whole.choices[0].message.content == "".join(pieces) != ""
    log = running.places.model_requests.read_text()
    assert log.count(marker) == 2
    assert "secret-key-of-caller" not in log
