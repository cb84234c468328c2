"""Whatever is posted: an answer or an error in OpenAI's shape, never 500, nothing upstream for what was refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.request_body import BODY_BYTES_MAX
from tests.services.gateway.fuzz.bodies import CHAT, EMBED, IDS, RESPONSES, bent, broken, images
from tests.services.gateway.fuzz.wire import Answer, Wire, require_events, require_named_events, require_openais_shape

many = settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))

REFUSALS = (400, 403, 404, 413, 429)


def assert_answered(wire: Wire, path: str, body: bytes) -> None:
    script, world = wire.site.script, wire.site.world
    try:
        answer = wire.post(path, body)
    except ConnectionError:  # refused for its size, and cut while it was still being sent
        assert len(body) > BODY_BYTES_MAX
        assert (script.bodies, script.embedded) == ([], [])
        return
    if answer.status != 200:
        assert answer.status in REFUSALS, (body, answer)
        require_openais_shape(answer)
        assert script.bodies == []
        assert script.embedded == []
        assert world.audit.kinds[-1] in ("refusal", "outcome")
    else:
        _require_complete(answer)
        assert script.bodies or script.embedded
    assert world.nothing_is_left_open()


def _require_complete(answer: Answer) -> None:
    if not answer.content_type.startswith("text/event-stream"):
        assert answer.json.get("error") is None
    elif answer.body.startswith(b"event: "):
        assert require_named_events(answer)[-1]["type"] != "response.failed"
    else:
        assert "error" not in require_events(answer)[-1]


@many
@given(body=st.one_of(bent(CHAT), broken(CHAT)))
def test_no_chat_body_breaks_the_gateway(wire: Wire, body: bytes) -> None:
    assert_answered(wire, "/v1/chat/completions", body)


@many
@given(body=st.one_of(bent(RESPONSES), broken(RESPONSES)))
def test_no_body_of_a_response_breaks_the_gateway(wire: Wire, body: bytes) -> None:
    assert_answered(wire, "/v1/responses", body)


@many
@given(body=st.one_of(bent(EMBED), broken(EMBED)))
def test_no_embedding_body_breaks_the_gateway(wire: Wire, body: bytes) -> None:
    assert_answered(wire, "/v1/embeddings", body)


@many
@given(urls=st.lists(images(), min_size=1, max_size=3), model=st.sampled_from(["local", "nova"]), is_chat=st.booleans())
def test_no_image_breaks_the_gateway(wire: Wire, urls: list[str], model: str, is_chat: bool) -> None:
    if is_chat:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": parts}]}
    else:
        parts = [{"type": "input_image", "image_url": url} for url in urls]
        body = {"model": model, "input": [{"role": "user", "content": parts}]}
    assert_answered(wire, "/v1/chat/completions" if is_chat else "/v1/responses", json.dumps(body).encode())


@many
@given(ids=IDS)
def test_no_token_ids_break_the_gateway(wire: Wire, ids: list[Any]) -> None:
    assert_answered(wire, "/v1/embeddings", json.dumps({"model": "minilm", "input": ids}).encode())


@many
@given(body=st.binary(max_size=200))
def test_no_bytes_at_all_break_the_gateway(wire: Wire, body: bytes) -> None:
    assert_answered(wire, "/v1/chat/completions", body)


@pytest.mark.parametrize("body", CHAT, ids=["least", "tools", "streamed", "schema", "images"])
def test_what_the_fuzzer_bends_is_good_before(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.post("/v1/chat/completions", json.dumps(body).encode()).status == 200


@pytest.mark.parametrize("body", EMBED, ids=["least", "all", "token ids", "lists of token ids"])
def test_what_the_fuzzer_bends_of_embeddings_is_good_before(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.post("/v1/embeddings", json.dumps(body).encode()).status == 200


@pytest.mark.parametrize("body", RESPONSES, ids=["least", "tools and streamed", "schema", "every item"])
def test_what_the_fuzzer_bends_of_responses_is_good_before(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.post("/v1/responses", json.dumps(body).encode()).status == 200
