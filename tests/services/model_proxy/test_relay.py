"""Answers pass at once and whole, or visibly cut; nothing of the caller but the body passes."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest

from services.model_proxy import proxy
from tests.services.model_proxy.certificates import trusting
from tests.services.model_proxy.conftest import HOST, Site
from tests.services.model_proxy.test_bodies import CHAT

STREAM = {**CHAT, "stream": True}


async def test_stream_passes_as_it_arrives(site: Site) -> None:
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60) == b"data: one\n\n"
        assert not site.vllm.go_on.is_set()  # the model server has not said more yet
        site.vllm.go_on.set()
        assert await answer.content.read() == b"data: two\n\ndata: [DONE]\n\n"


async def test_caller_who_leaves_ends_the_call_upstream(site: Site) -> None:
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
        await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60)
        assert not site.vllm.left.is_set()
        answer.close()
    await asyncio.wait_for(site.vllm.left.wait(), 60)


async def test_answer_that_breaks_off_upstream_breaks_off_for_the_caller(site: Site) -> None:
    site.vllm.breaks_off = True
    with pytest.raises(aiohttp.ClientError):
        async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
            await answer.read()
    assert 'model_proxy_answers_cut_total{by="model_server"} 1.0' in (await site.health("/metrics"))[1]


async def test_caller_who_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "READ_DEADLINE_S", 0.2)
    site.vllm.pieces = (b"data: one\n\n", *([b"x" * (1 << 20)] * 64))
    site.vllm.go_on.set()
    _, writer = await asyncio.open_connection(HOST, site.port, ssl=trusting(site.pair), limit=1_024)
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await asyncio.wait_for(site.vllm.left.wait(), 60)
    writer.transport.abort()
    assert 'model_proxy_answers_cut_total{by="caller"} 1.0' in (await site.health("/metrics"))[1]


async def test_headers_of_the_caller_stay_behind(site: Site) -> None:
    headers = {
        "Authorization": "Bearer of-the-caller",
        "Cookie": "a=b",
        "X-Api-Key": "k",
        "X-Data-Parallel-Rank": "7",
        "X-Request-Id": "request-1",
        "Connection": "close, X-Drop-Me",
        "X-Drop-Me": "yes",
        "Proxy-Authorization": "Basic x",
        "TE": "trailers",
        "Forwarded": "for=1.2.3.4",
    }
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=CHAT, headers=headers) as answer:
        assert answer.status == 200
    sent = {name.lower(): value for name, value in site.vllm.arrived[0].headers.items()}
    assert sent["authorization"] == f"Bearer {site.api_key}"
    assert sent["x-request-id"] == "request-1"
    known = {"host", "authorization", "accept", "accept-encoding", "user-agent", "content-type", "content-length"}
    assert set(sent) <= {*known, "x-request-id", "connection"}
    assert sent["connection"] == "close"


@pytest.mark.parametrize("request_id", ["a b", "a" * 129, "ä", "a:b"])
async def test_request_id_that_is_no_name_stays_behind(site: Site, request_id: str) -> None:
    async with site.caller.get(f"{site.url}/v1/models", headers={"X-Request-Id": request_id}) as answer:
        assert answer.status == 200
    assert "x-request-id" not in {name.lower() for name in site.vllm.arrived[0].headers}


async def test_headers_of_the_model_server_stay_behind(site: Site) -> None:
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        assert await answer.json() == {"object": "list", "data": []}
    assert not {"Set-Cookie", "X-Internal"} & set(answer.headers)
    assert answer.headers["Server"] == "model-proxy"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_renewed_key_of_the_model_server_is_used_at_once(site: Site) -> None:
    site.settings.api_key_file.write_text("renewed")
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        assert answer.status == 200
    assert site.vllm.arrived[0].headers["Authorization"] == "Bearer renewed"


async def test_key_that_cannot_be_read_is_a_bad_gateway(site: Site) -> None:
    site.settings.api_key_file.unlink()
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        assert answer.status == 502
    assert site.vllm.arrived == []


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_status_of_the_model_server_passes(site: Site, status: int) -> None:
    site.vllm.status = status
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        assert answer.status == status


async def test_redirect_is_not_followed(site: Site) -> None:
    site.vllm.redirects = True
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        assert answer.status == 502
        assert "location" not in answer.headers


async def test_figures_tell_the_queue(site: Site) -> None:
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
        await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60)
        figures = (await site.health("/metrics"))[1]
        assert 'model_proxy_requests_in_flight{endpoint="chat"} 1.0' in figures
        assert 'model_proxy_requests_waiting{endpoint="chat"} 0.0' in figures
        site.vllm.go_on.set()
        await answer.read()
    figures = (await site.health("/metrics"))[1]
    assert 'model_proxy_requests_in_flight{endpoint="chat"} 0.0' in figures
    assert 'model_proxy_responses_total{endpoint="chat",status="200"} 1.0' in figures
    assert 'model_proxy_first_byte_seconds_count{endpoint="chat"} 1.0' in figures


async def test_health_tells_whether_requests_are_welcome(site: Site) -> None:
    assert (await site.health("/readyz"))[0] == 200
    site.vllm.healthy = False
    assert await site.health("/readyz") == (503, "the model server is not healthy\n")
    assert (await site.health("/healthz"))[0] == 200
    assert (await site.health("/v1/models"))[0] == 404
    assert (await site.health("/model-metrics"))[0] == 200
    assert site.vllm.targets() == {("GET", "/metrics")}  # by the health listener, and by it alone
    assert "Authorization" not in site.vllm.arrived[0].headers


async def test_logs_hold_nothing_of_a_request(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "the patient's name"
    for changes in ({"user": secret}, {secret: 1}, {"n": secret}):
        async with site.caller.post(f"{site.url}/v1/chat/completions", json={**CHAT, **changes}) as answer:
            await answer.read()
    own = [record for record in caplog.records if record.name.startswith(("services", "aiohttp"))]
    assert not [record for record in own if secret in record.getMessage()]
