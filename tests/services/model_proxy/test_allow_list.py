"""Four requests reach the model server; no spelling of any other does."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model_proxy import proxy, server
from services.model_proxy.routes import ROUTES, route
from tests.services.model_proxy.conftest import Site
from tests.services.model_proxy.vllm import OTHER_PATHS

ALLOWED = {
    ("POST", "/v1/chat/completions"): {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    ("POST", "/v1/completions"): {"model": "m", "prompt": "Hi"},
    ("POST", "/v1/embeddings"): {"model": "m", "input": ["Hi"]},
    ("GET", "/v1/models"): None,
}
CHAT = ALLOWED["POST", "/v1/chat/completions"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "Post")

TRICKS = (
    "/v1//models",
    "//v1/models",
    "/v1/models/",
    "/v1/models?",
    "/v1/models?x=/metrics",
    "/v1/models;/metrics",
    "/v1/models;jsessionid=1",
    "/V1/models",
    "/v1/Models",
    "/v1/%6dodels",
    "/v1%2fmodels",
    "/v1%2Fmodels",
    "/v1/%2e/models",
    "/v1/./models",
    "/v1/models/../../metrics",
    "/v1/models/%2e%2e/%2e%2e/metrics",
    "/v1/models/..%2f..%2fmetrics",
    "/v1/models%00",
    "/v1/models%0d%0aX-A:%20b",
    "/v1/models%3f",
    "/v1\\models",
    "/v1/models#",
    "/metrics#/v1/models",
    "http://127.0.0.1/v1/models",
    "https://127.0.0.1/metrics",
    "http://metrics/v1/models",
    "v1/models",
    "*",
)


def request(method: str, target: str, body: object = None, *headers: str) -> bytes:
    encoded = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: model", "Connection: close", *headers]
    if encoded:
        lines += ["Content-Type: application/json", f"Content-Length: {len(encoded)}"]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + encoded


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_b_12_only_four_requests_arrive(site: Site) -> None:
    calls = [(method, path) for method in METHODS[:5] for path in (*OTHER_PATHS, *(path for _, path in ALLOWED))]
    refused = 0
    for method, path in calls:
        body = None if method == "GET" else ALLOWED.get((method, path), CHAT)
        answer = status(await site.raw(request(method, path, body)))
        assert answer == (200 if (method, path) in ALLOWED else 404), (method, path)
        refused += answer == 404
    assert site.vllm.targets() == set(ALLOWED)
    assert refused == len(calls) - len(ALLOWED)


async def test_b_12_stand_in_for_vllm_does_answer_on_the_paths_that_are_refused(site: Site) -> None:
    for path in ("/invocations", "/pause", "/update_weights", "/metrics"):
        async with site.caller.post(site.vllm.url + path, json={}) as direct:
            assert direct.status == 200
        async with site.caller.post(site.url + path, json={}) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "not_found"


@pytest.mark.parametrize("target", TRICKS)
async def test_b_12_no_other_spelling_of_a_path_arrives(site: Site, target: str) -> None:
    for method, body in (("GET", None), ("POST", CHAT)):
        assert status(await site.raw(request(method, target, body))) in (400, 404)
    assert site.vllm.arrived == []


@given(st.sampled_from(METHODS), st.text(min_size=1), st.sampled_from([path for _, path in ROUTES]), st.data())
def test_b_12_only_the_exact_bytes_are_a_route(method: str, junk: str, path: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(path)))
    cut = data.draw(st.integers(at, len(path)))
    target = path[:at] + junk + path[cut:]
    found = route(method, target)
    assert (found is not None) == ((method, target) in ALLOWED)
    assert found is None or found.path == target


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: POST",
        "X-Original-URL: /metrics",
        "X-Rewrite-URL: /metrics",
        "X-Forwarded-Prefix: /metrics",
        "X-Forwarded-Host: 169.254.169.254",
    ],
)
async def test_b_12_no_header_changes_method_or_path(site: Site, header: str) -> None:
    assert status(await site.raw(request("GET", "/v1/models", None, header))) == 200
    assert site.vllm.targets() == {("GET", "/v1/models")}
    assert header.split(":")[0].lower() not in {name.lower() for name in site.vllm.arrived[0].headers}


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/models\tHTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_request_that_two_servers_could_read_differently_does_not_arrive(site: Site, smuggled: bytes) -> None:
    follower = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await site.raw(smuggled + follower)
    assert b" 200 " not in answer
    assert site.vllm.arrived == []


async def test_upgrade_of_the_protocol_is_not_followed(site: Site) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade, close", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    answer = await site.raw(request("GET", "/v1/realtime", None, *upgrade))
    assert status(answer) == 404
    assert site.vllm.arrived == []


async def test_requests_on_one_connection_are_judged_one_by_one(site: Site) -> None:
    first = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await site.raw(first + request("GET", "/metrics"))
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 404") == 1
    assert site.vllm.targets() == {("GET", "/v1/models")}


@pytest.mark.parametrize("sent", [b"", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_head_that_does_not_come_ends_the_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server, "HEAD_DEADLINE_S", 0.2)
        assert await asyncio.wait_for(site.raw(sent), 60) == b""
    assert status(await site.raw(request("GET", "/v1/models"))) == 200


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"5\r\n{}", b"2\r\n{}XX0\r\n\r\n"])
async def test_body_in_broken_pieces_does_not_arrive(
    site: Site, monkeypatch: pytest.MonkeyPatch, chunks: bytes
) -> None:
    monkeypatch.setattr(proxy, "BODY_DEADLINE_S", 0.3)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answer = await site.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert status(answer) in (400, 408), answer
    assert site.vllm.arrived == []
