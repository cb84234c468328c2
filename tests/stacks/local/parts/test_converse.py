"""Converse requests are held against the SDK's own model and mean the same to the chat model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.local.parts.converse import ConverseError, check_shape, from_chat, guardrail, to_chat, upstream_error

GUARDRAIL = {"guardrailIdentifier": "gr-1", "guardrailVersion": "1"}
HELLO: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "Hello"}]}]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.integers(1, 4096))
def test_every_text_reaches_the_model_in_order(texts: list[str], output_tokens_max: int) -> None:
    content = [{"text": text} for text in texts]
    body = {"messages": [{"role": "user", "content": content}], "inferenceConfig": {"maxTokens": output_tokens_max}}
    check_shape("Converse", "any", body)
    asked = to_chat(body, "local", stream=False)
    assert asked["messages"] == [{"role": "user", "content": "\n".join(texts)}]
    assert asked["max_tokens"] == output_tokens_max


def test_system_prompt_guarded_text_and_inference_settings_are_translated() -> None:
    body = {
        "system": [{"text": "Be brief."}, {"guardContent": {"text": {"text": "Be kind."}}}],
        "messages": HELLO,
        "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    }
    check_shape("ConverseStream", "any", body)
    asked = to_chat(body, "local", stream=True)
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {"role": "user", "content": "Hello"},
    ]
    assert (asked["temperature"], asked["top_p"], asked["stop"]) == (0.5, 0.9, ["END"])
    assert asked["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"messages": HELLO, "temperature": 1}, "temperature"),
        ({"messages": HELLO, "inferenceConfig": {"maxTokens": "many"}}, "maxTokens"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": "Hello"}, "messages"),
    ],
)
def test_shape_that_the_sdk_does_not_know_is_refused(body: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConverseError, match=sentence) as refused:
        check_shape("Converse", "any", body)
    assert (refused.value.code, refused.value.status) == ("ValidationException", 400)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "Hi"}]}]}, "must start with a user message"),
        ({"messages": HELLO * 2}, "must alternate"),
        ({"messages": [{"role": "user", "content": [{"image": {}}]}]}, "doesn't support image content blocks"),
        ({"messages": HELLO, "toolConfig": {"tools": []}}, "doesn't support tool use"),
    ],
)
def test_conversation_that_the_model_cannot_follow_is_refused(body: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConverseError, match=sentence) as refused:
        to_chat(body, "local", stream=False)
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize("missing", ["guardrailIdentifier", "guardrailVersion", ""])
def test_guardrail_is_required(missing: str) -> None:
    assert guardrail({"guardrailConfig": GUARDRAIL}).identifier == "gr-1"
    partial = {key: value for key, value in GUARDRAIL.items() if key != missing}
    with pytest.raises(ConverseError) as refused:
        guardrail({"guardrailConfig": partial} if missing else {})
    assert (refused.value.code, refused.value.status) == ("AccessDeniedException", 403)


@pytest.mark.parametrize(("finish", "stop"), [("stop", "end_turn"), ("length", "max_tokens"), (None, "end_turn")])
def test_completion_becomes_a_converse_answer(finish: str | None, stop: str) -> None:
    completion = {
        "choices": [{"message": {"content": "Hi."}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    answer = from_chat(completion, guardrail({"guardrailConfig": {**GUARDRAIL, "trace": "enabled"}}), 12)
    assert answer["output"] == {"message": {"role": "assistant", "content": [{"text": "Hi."}]}}
    assert answer["stopReason"] == stop
    assert answer["usage"] == {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
    assert "not judged" in str(answer["trace"])  # nothing pretends that a guardrail looked at it
    assert "trace" not in from_chat(completion, guardrail({"guardrailConfig": GUARDRAIL}), 12)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationException"),
        (429, "ThrottlingException"),
        (500, "ModelErrorException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_failure_of_the_model_has_bedrocks_name(status: int, code: str) -> None:
    assert upstream_error(status, "reason").code == code
