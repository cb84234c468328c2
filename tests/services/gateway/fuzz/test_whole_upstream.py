"""Whatever a backend answers whole: a proper answer or an error in OpenAI's shape; never 500, never a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.gateway.clients.upstreams import VECTOR, bedrock_whole, openai_whole, vectors
from tests.services.gateway.fuzz.bodies import bent, broken
from tests.services.gateway.fuzz.test_upstream_frames import KEY, SCRIPT
from tests.services.gateway.fuzz.wire import Answer, Wire, require_openais_shape

many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

CHAT, RESPONSES, EMBED = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
SAID = (SCRIPT, replace(SCRIPT, calls=(), reason="stop"))
OPENAI, BEDROCK = tuple(map(openai_whole, SAID)), tuple(map(bedrock_whole, SAID))
VECTORS = (vectors(1), vectors(2), {"data": [{"embedding": [*VECTOR[:-1], 1e308]}]})
STATUSES = (200, 502, 503, 504)


def ask(wire: Wire, path: str, model: str, raw: bytes) -> Answer:
    wire.site.reset()
    wire.site.script.raw = [raw]
    asked = {"messages": [{"role": "user", "content": "Leave?"}]} if path == CHAT else {"input": "Leave?"}
    return wire.again(path, json.dumps({"model": model, **asked}).encode())


def assert_judged(wire: Wire, answer: Answer) -> None:
    assert answer.status in STATUSES, answer
    if answer.status != 200:
        require_openais_shape(answer)
    assert KEY not in json.dumps(answer.json)
    assert b"shell" not in answer.body
    assert wire.site.world.nothing_is_left_open()
    assert wire.site.world.audit.kinds == ["intent", "outcome"]


@many
@given(raw=st.one_of(bent(OPENAI), broken(OPENAI)), path=st.sampled_from([CHAT, RESPONSES]))
def test_no_whole_answer_of_openais_api_breaks_the_gateway_or_lets_a_secret_out(
    wire: Wire, raw: bytes, path: str
) -> None:
    assert_judged(wire, ask(wire, path, "local", raw))


@many
@given(raw=st.one_of(bent(BEDROCK), broken(BEDROCK)), path=st.sampled_from([CHAT, RESPONSES]))
def test_no_whole_answer_of_bedrock_breaks_the_gateway_or_lets_a_secret_out(wire: Wire, raw: bytes, path: str) -> None:
    assert_judged(wire, ask(wire, path, "nova", raw))


@many
@given(raw=st.one_of(bent(VECTORS), broken(VECTORS), st.binary(max_size=60)))
def test_no_vectors_break_the_gateway(wire: Wire, raw: bytes) -> None:
    answer = ask(wire, EMBED, "minilm", raw)
    assert_judged(wire, answer)
    if answer.status == 200:
        (entry,) = answer.json["data"]
        assert len(entry["embedding"]) == len(VECTOR)


@pytest.mark.parametrize(("model", "raw"), [("local", OPENAI), ("nova", BEDROCK)])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_the_good_answers_are_good_and_only_the_secret_and_the_call_are_gone(
    wire: Wire, path: str, model: str, raw: tuple[dict[str, Any], ...]
) -> None:
    for body in raw:
        answer = ask(wire, path, model, json.dumps(body).encode())
        assert_judged(wire, answer)
        assert answer.status == 200
        assert "[redacted credential]" in json.dumps(answer.json)
