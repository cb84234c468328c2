"""The contract as bytes: what every client of OpenAI's API relies on, whoever wrote it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.services.gateway.clients.openai_sdk import ASKED
from tests.services.gateway.clients.site import CHAT_MODELS, Site
from tests.services.gateway.clients.upstreams import openai_whole, sse, sse_frames

CHAT, EMBED, MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"
CHUNK_KEYS = {"id", "object", "created", "model", "choices"}
CHOICE_KEYS = {"index", "delta", "message", "finish_reason", "logprobs"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error, in OpenAI's shape and nothing beside it."""
        (error,) = json.loads(self.body).values()
        assert set(error) == {"message", "type", "param", "code"}
        assert set(json.loads(self.body)) == {"error"}
        assert isinstance(error["message"], str)
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        return dict(error)


def send(site: Site, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    return watched(site, method, path, body, headers, lambda: None)


def watched(
    site: Site, method: str, path: str, body: bytes | None, headers: dict[str, str], on_head: Callable[[], object]
) -> Answer:
    """`on_head` is called when the status has come, and before the body is waited for."""
    address = urlsplit(site.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"authorization": "Bearer alice"} | named)
        response = connection.getresponse()
        on_head()
        got = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, got, response.read())
    finally:
        connection.close()


def chat(site: Site, headers: dict[str, str] | None = None, **changes: Any) -> Answer:
    return send(site, "POST", CHAT, json.dumps(ASKED | changes).encode(), **(headers or {}))


def frames(answer: Answer) -> list[bytes]:
    """The events of a stream, each written as `data: …` and one empty line."""
    *whole, rest = answer.body.split(b"\n\n")
    assert rest == b""
    assert all(frame.startswith((b"data: ", b": ")) and b"\n" not in frame for frame in whole)
    return [frame.removeprefix(b"data: ") for frame in whole if frame.startswith(b"data: ")]


# --- errors ---------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, str, bytes | None, dict[str, str], int]] = {
    "a path that is not there": ("GET", "/v1/nowhere", None, {}, 404),
    "a method that is not there": ("DELETE", MODELS, None, {}, 405),
    "a body that is no JSON": ("POST", CHAT, b"{", {}, 400),
    "no body": ("POST", CHAT, b"", {}, 400),
    "a body of another shape": ("POST", EMBED, b'{"input":7}', {}, 400),
    "a body that says it is too large": ("POST", CHAT, b"{", {"content_length": "1100000"}, 413),
    "a compressed body": ("POST", CHAT, b"\x1f\x8b", {"content_encoding": "gzip"}, 415),
    "nobody's token": ("POST", CHAT, b"{}", {"authorization": "Bearer mallory"}, 401),
    "no token but a password": ("GET", MODELS, None, {"authorization": "Basic YTpi"}, 401),
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_error_has_openais_shape_and_a_request_id(what: str, site: Site) -> None:
    method, path, body, headers, status = REFUSED[what]
    answer = send(site, method, path, body, **headers)
    assert answer.status == status
    assert answer.error["code"]
    assert site.script.bodies == []


def test_a_failure_nobody_foresaw_has_the_shape_too_and_says_nothing(site: Site) -> None:
    site.world.budget.left = None  # type: ignore[assignment]
    answer = chat(site)
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"NoneType" not in answer.body
    assert site.script.bodies == []


def test_a_rate_limit_says_when_to_come_back(site: Site) -> None:
    site.world.limits.requests_left = 0
    answer = chat(site)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(answer.headers["retry-after"]) <= 120
    assert answer.headers.get("x-should-retry") != "false"


def test_an_exhausted_budget_says_not_to_come_back(site: Site) -> None:
    site.world.budget.left *= 0
    answer = chat(site)
    assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


def test_a_part_that_is_down_is_503_with_a_time(site: Site) -> None:
    site.world.audit.broken_for = {"intent"}
    answer = chat(site)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert site.script.bodies == []


# --- no other way in ------------------------------------------------------------------------------------------

PLACES = ("127.0.0.1/healthz", "x/healthz?", "x#", "localhost", "x:1", "[::1]", "x@healthz", "healthz")
ELSEWHERE: dict[str, dict[str, str]] = {
    **{f"host {place}": {"host": place} for place in PLACES},
    "x-forwarded-host": {"x_forwarded_host": "127.0.0.1/healthz", "x_forwarded_proto": "https"},
    "x-forwarded-for": {"x_forwarded_for": "127.0.0.1", "forwarded": "for=127.0.0.1;host=healthz"},
    "x-original-url": {"x_original_url": "/healthz", "x_rewrite_url": "/healthz", "x_forwarded_prefix": "/healthz"},
    "x-http-method-override": {"x_http_method_override": "GET", "x_forwarded_user": "alice", "x_user": "alice"},
    "an api-key": {"api_key": "alice", "x_api_key": "alice", "cookie": "token=alice", "x_goog_api_key": "alice"},
}
PATHS = (CHAT, EMBED, MODELS, "/v1/responses")


@pytest.mark.parametrize("what", ELSEWHERE)
def test_no_header_stands_for_a_token(what: str, site: Site) -> None:
    headers = {"authorization": "", **ELSEWHERE[what]}
    for path in PATHS:
        method, body = ("GET", None) if path == MODELS else ("POST", json.dumps(ASKED).encode())
        answer = send(site, method, path, body, **headers)
        assert answer.status in (400, 401), path
        assert answer.error["code"] != "internal_error"
    assert site.script.bodies == []
    assert chat(site, ELSEWHERE[what]).status in (200, 400), "with a token they change nothing"


@pytest.mark.parametrize(
    "path",
    [f"/healthz/..{CHAT}", f"/{CHAT}", f"{CHAT}/", f"{CHAT}%2f", f"{CHAT};/healthz", "/v1/./models", "/V1/MODELS",
     f"{MODELS}/../models", f"{MODELS}%00", f"{MODELS}?x=/healthz", f"{MODELS}/local%2f..%2f", "/v1/models//"],
)  # fmt: skip
def test_no_way_of_writing_a_path_leads_past_the_token(path: str, site: Site) -> None:
    for method in ("GET", "POST"):
        assert send(site, method, path, b"", authorization="").status in (400, 401, 404, 405)
    assert site.script.bodies == []


# --- request ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_id_is_the_gateways_own_and_the_callers_is_only_noted(site: Site, stream: bool) -> None:
    answer = chat(site, {"x-request-id": "mine-1"}, stream=stream)
    assert answer.headers["x-request-id"] not in ("", "mine-1")
    assert answer.headers["x-request-id"] != chat(site, stream=stream).headers["x-request-id"]
    assert site.world.audit.records[0].body["client_request_id"] == "mine-1"


# --- streams --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_a_stream_is_written_as_sdks_expect_it(site: Site, model: str) -> None:
    answer = chat(site, {"accept-encoding": "gzip, br"}, model=model, stream=True)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    *chunks, end = frames(answer)
    assert end == b"[DONE]"
    assert all(set(json.loads(chunk)) == CHUNK_KEYS for chunk in chunks)


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_wanted_usage_is_null_until_the_last_chunk(site: Site, model: str) -> None:
    answer = chat(site, model=model, stream=True, stream_options={"include_usage": True})
    *chunks, last = [json.loads(frame) for frame in frames(answer)[:-1]]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 18


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_a_broken_stream_ends_in_an_error_and_without_done(site: Site, model: str) -> None:
    begun = threading.Event()
    site.script.deltas, site.script.breaks_off = ["word " * 60] * 3, begun
    body = json.dumps(ASKED | {"model": model, "stream": True}).encode()
    *chunks, last = frames(watched(site, "POST", CHAT, body, {}, begun.set))
    assert chunks
    assert set(json.loads(last)["error"]) == {"message", "type", "param", "code"}
    assert b"quotes" not in last


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_a_stop_by_policy_is_an_end_like_any_other(site: Site, model: str) -> None:
    site.script.deltas = ["word " * 60, "x" * 20_000, " more"]
    answer = chat(site, model=model, stream=True, stream_options={"include_usage": True})
    *chunks, usage, end = frames(answer)
    assert json.loads(chunks[-1])["choices"][0]["finish_reason"] == "content_filter"
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["total_tokens"] > 0
    assert end == b"[DONE]"
    assert b'"error"' not in answer.body


VLLM_ONLY = {"stop_reason": 128_001, "token_ids": [1, 2], "logprobs": {"content": []}}


@pytest.mark.parametrize("stream", [True, False])
def test_what_only_vllm_says_is_not_passed_on(site: Site, stream: bool) -> None:
    site.script.raw = [_with_vllms_own(frame) for frame in sse_frames(site.script)]
    if not stream:
        whole = openai_whole(site.script)
        choices = [{**whole["choices"][0], **VLLM_ONLY}]
        site.script.raw = [json.dumps({**whole, "choices": choices, "kv_transfer_params": {}}).encode()]
    answer = chat(site, stream=stream)
    told = [json.loads(frame) for frame in frames(answer)[:-1]] if stream else [json.loads(answer.body)]
    for one in told:
        assert set(one) <= {*CHUNK_KEYS, "usage"}
        assert all(set(choice) <= CHOICE_KEYS for choice in one["choices"])
        assert all(choice.get("logprobs") is None for choice in one["choices"])
    assert b"thirty days." in answer.body
    assert b"128001" not in answer.body
    assert b"token_ids" not in answer.body


def _with_vllms_own(frame: bytes) -> bytes:
    data = frame.removeprefix(b"data: ").strip()
    if data == b"[DONE]":
        return frame
    chunk = json.loads(data)
    choices = [{**choice, **VLLM_ONLY} for choice in chunk["choices"]]
    usage = {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}  # continuous_usage_stats
    return sse({"usage": usage, **chunk, "choices": choices, "prompt_token_ids": [1], "kv_transfer_params": {}})


def test_a_refusal_before_the_first_byte_is_a_status_also_for_a_stream(site: Site) -> None:
    answer = chat(site, stream=True, messages=[{"role": "system", "content": "x"}])
    assert answer.status == 400
    assert answer.error["param"] == "messages[0].role"


def test_a_model_that_says_nothing_still_ends_with_a_role_and_a_reason(site: Site) -> None:
    site.script.deltas = ()
    chunk, end = frames(chat(site, stream=True))
    (choice,) = json.loads(chunk)["choices"]
    assert (choice["delta"]["role"], choice["finish_reason"], end) == ("assistant", "stop", b"[DONE]")


# --- embeddings, models ---------------------------------------------------------------------------------------


def test_embeddings_as_base64_are_four_bytes_a_component(site: Site) -> None:
    body = json.dumps({"model": "minilm", "input": "x", "encoding_format": "base64"}).encode()
    (entry,) = json.loads(send(site, "POST", EMBED, body).body)["data"]
    assert len(entry["embedding"]) == 4 * ((4 * 8 + 2) // 3)


def test_the_list_of_models_has_openais_fields_and_no_others(site: Site) -> None:
    listed = json.loads(send(site, "GET", MODELS).body)
    assert listed["object"] == "list"
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in listed["data"])
