"""boto3's own client and parser read what the Bedrock stand-in answers."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stacks.local.parts.running_parts import RunningParts

PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
GUARDRAIL: Any = {"guardrailIdentifier": "gr-1", "guardrailVersion": "1", "trace": "enabled"}
ASKED: Any = {
    "modelId": PROFILE,
    "messages": [{"role": "user", "content": [{"text": "Say hello."}]}],
    "inferenceConfig": {"maxTokens": 6},
    "guardrailConfig": GUARDRAIL,
}


@pytest.fixture
def bedrock(running: RunningParts) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=running.addresses.bedrock_runtime_url,
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def test_profile_named_by_its_arn_answers(bedrock: Any) -> None:
    answer = bedrock.converse(**ASKED)
    assert answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] in ("end_turn", "max_tokens")
    assert 0 < answer["usage"]["outputTokens"] <= 6
    assert "gr-1" in answer["trace"]["guardrail"]["inputAssessment"]


def test_stream_has_bedrocks_events_in_order_and_says_the_same(bedrock: Any) -> None:
    events = list(bedrock.converse_stream(**ASKED)["stream"])
    names = [next(iter(event)) for event in events]
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert names == [
        "messageStart",
        *["contentBlockDelta"] * len(deltas),
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert "".join(deltas) == bedrock.converse(**ASKED)["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == len(deltas)


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_caller_without_guardrail_is_denied(bedrock: Any, operation: str) -> None:
    with pytest.raises(bedrock.exceptions.AccessDeniedException, match="guardrailConfig"):
        getattr(bedrock, operation)(**{**ASKED, "guardrailConfig": {}} | {"guardrailConfig": {"trace": "enabled"}})


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_bad_conversation_is_a_validation_exception(bedrock: Any, operation: str) -> None:
    wrong = [{"role": "assistant", "content": [{"text": "Hi"}]}]
    with pytest.raises(bedrock.exceptions.ValidationException, match="must start with a user message"):
        getattr(bedrock, operation)(**{**ASKED, "messages": wrong})


def test_prompt_longer_than_the_context_is_a_validation_exception(bedrock: Any) -> None:
    long = [{"role": "user", "content": [{"text": "word " * 9000}]}]
    with pytest.raises(bedrock.exceptions.ValidationException, match="errors"):
        bedrock.converse(**{**ASKED, "messages": long})


def test_unsigned_request_is_refused(running: RunningParts) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.addresses.inference)
    connection.request("POST", "/model/any/converse", b"{}")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("x-amzn-ErrorType")) == (403, "MissingAuthenticationTokenException")
    answer.read()
    connection.close()


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_dead_model_is_service_unavailable_and_heals(running: RunningParts, bedrock: Any, operation: str) -> None:
    running.supervisor.kill("model")
    with pytest.raises(bedrock.exceptions.ServiceUnavailableException):
        getattr(bedrock, operation)(**ASKED)
    running.supervisor.start("model")
    assert bedrock.converse(**ASKED)["usage"]["totalTokens"] > 0


def test_error_is_the_kind_that_boto3_knows(bedrock: Any) -> None:
    with pytest.raises(ClientError) as refused:
        bedrock.converse(**{**ASKED, "toolConfig": {"tools": [{"toolSpec": _TOOL}]}})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


_TOOL = {"name": "search", "inputSchema": {"json": {"type": "object"}}}
