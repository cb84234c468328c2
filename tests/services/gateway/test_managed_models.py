"""What the gateway promises of managed models: counted, priced, guarded, and never asked twice."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.bedrock_model import request_body
from services.gateway.adapters.openai_model import request_body as openai_body
from services.gateway.exchange import Finish, Message, ModelOffer, Parameters, TextDelta, ToolCall, Unavailable, Usage
from services.gateway.pipeline import Journey
from services.gateway.settings import Settings, SettingsError
from services.gateway.stages.worst_case import price, price_max
from tests.services.gateway.fakes import World, caller, offer, says, submission
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

GUARDED = offer("nova", backend="bedrock", upstream_model="shared", guardrail_id="gr-1", guardrail_version="3")
CACHED = replace(
    GUARDED,
    usd_per_million_cache_read_tokens=Decimal("0.25"),
    usd_per_million_cache_write_tokens=Decimal("1.25"),
)
TOKENS = st.integers(0, 1_000_000)


async def answer(world: World) -> Finish:
    sent = submission()
    journey = Journey(sent, world.identity.callers.get(sent.bearer, caller()), world.ports(), lambda *_: None)
    async with aclosing(journey.answer()) as events:
        finishes = [one.event async for one in events if isinstance(one.event, Finish)]
    [finish] = finishes
    return finish


# --- counters and cost ----------------------------------------------------------------------------------


async def test_a_15_every_counter_of_the_backend_is_on_the_record() -> None:
    world = World()
    world.model.script = says("Thirty days.", usage=Usage(100, 7, 40, 20))

    await answer(world)

    outcome = world.audit.records[-1].body
    counters = ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens")
    assert [outcome[name] for name in counters] == [100, 7, 107, 40, 20]
    assert outcome["usage_estimated"] is False


def test_a_15_a_call_costs_the_sum_of_its_classes() -> None:
    # 40 fresh at 1, 40 read at 0.25, 20 written at 1.25, 7 out at 2, a million each
    assert price(CACHED, Usage(100, 7, 40, 20)) == Decimal("0.000089")
    assert price(GUARDED, Usage(100, 7, 40, 20)) == Decimal("0.000114")


@given(fresh=TOKENS, read=TOKENS, written=TOKENS, out=TOKENS)
def test_a_15_no_call_costs_more_than_was_set_aside_for_its_tokens(
    fresh: int, read: int, written: int, out: int
) -> None:
    used = Usage(fresh + read + written, out, read, written)

    for model in (GUARDED, CACHED):
        assert price(model, used) <= price_max(model, used.input_tokens, used.output_tokens)


async def test_a_15_a_stream_that_never_says_its_usage_is_recorded_as_estimated_and_charged() -> None:
    world = World()
    world.model.script = lambda _: [TextDelta("eight by"), Finish("stop", None)]

    await answer(world)

    outcome = world.audit.records[-1].body
    assert outcome["usage_estimated"] is True
    assert outcome["output_tokens"] == 8
    assert world.budget.spent > 0


# --- guarded or not sent --------------------------------------------------------------------------------

UNGUARDED: dict[str, dict[str, Any]] = {
    "no guardrail": {"guardrail_id": "", "guardrail_version": ""},
    "no version": {"guardrail_version": ""},
    "the draft": {"guardrail_version": "DRAFT"},
    "version zero": {"guardrail_version": "0"},
}


@pytest.mark.parametrize("what", UNGUARDED)
def test_a_16_without_a_numbered_guardrail_nothing_is_sent(what: str) -> None:
    grounded = grounded_prompt(admitted_prompt(model=replace(GUARDED, **UNGUARDED[what])))

    with pytest.raises(Unavailable, match="no guardrail in a numbered version"):
        request_body(grounded, stream=False)


@given(wish=st.integers(1, 1_000_000))
def test_a_16_a_caller_cannot_have_more_tokens_than_were_admitted(wish: int) -> None:
    admitted = admitted_prompt(model=GUARDED, parameters=Parameters(output_tokens_max=wish))

    body: Any = request_body(grounded_prompt(admitted), stream=True)

    assert body["inferenceConfig"]["maxTokens"] == admitted.lease.output_tokens


def test_a_16_the_profile_of_the_workload_is_called_and_no_other_workloads() -> None:
    model = replace(GUARDED, workload_profiles={"document-assistant": "its-own", "another": "anothers"})

    assert model.upstream_for("document-assistant") == "its-own"
    assert model.upstream_for("unknown") == "shared"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "mantle"}, "backend must be openai, bedrock or sagemaker"),
        ({"backend": "sagemaker", "kind": "embedding"}, "kind must be chat with backend sagemaker"),
        ({"backend": "bedrock", "guardrail_version": "DRAFT"}, "never DRAFT"),
        ({"usd_per_million_cache_read_tokens": "-1"}, "usd_per_million_cache_read_tokens must not be negative"),
    ],
)
def test_a_16_a_catalogue_that_breaks_the_rule_is_no_start(changes: dict[str, Any], said: str) -> None:
    entry = {
        "id": "x",
        "kind": "chat",
        "backend": "bedrock",
        "upstream_model": "profile",
        "boundary": "private_endpoint",
        "context_tokens_max": 1000,
        "usd_per_million_input_tokens": "1",
        "usd_per_million_output_tokens": "1",
        "guardrail_id": "gr-1",
        "guardrail_version": "1",
        **changes,
    }
    with pytest.raises(SettingsError, match=said):
        Settings.from_environment(_variables(msgspec.json.encode([entry]).decode()))


def _variables(models: str) -> dict[str, str]:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
    return {
        "AWS_REGION": "eu-west-1",
        "GATEWAY_AUDIT_BUCKET": "evidence",
        "GATEWAY_AUDIT_MAC_KEY_ARN": arn,
        "GATEWAY_AUDIT_SIGNING_KEY_ARN": arn,
        "GATEWAY_DATABASE": "127.0.0.1:5432",
        "GATEWAY_DATABASE_NAME": "llm",
        "GATEWAY_DATABASE_USER": "gateway",
        "GATEWAY_EMBEDDING_DIMENSIONS": "384",
        "GATEWAY_EMBEDDING_MODEL": "embed",
        "GATEWAY_ENVIRONMENT": "local",
        "GATEWAY_LISTEN": "127.0.0.1:8080",
        "GATEWAY_MODELS": models,
        "GATEWAY_OIDC_ISSUERS": json.dumps(
            [{"issuer": "https://issuer.example.com", "audience": "llm", "algorithms": ["RS256"]}]
        ),
        "GATEWAY_REGISTRATION_BUCKET": "registrations",
        "GATEWAY_REGISTRATION_KEY_ARN": arn,
        "GATEWAY_VALKEY": "127.0.0.1:6379",
        "GATEWAY_VALKEY_USER": "gateway",
    }


# --- who marks what is guarded ---------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=60) | st.just('{"guardContent": {"text": {"text": "x"}}}')
TURNS = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant"]), TEXTS)
    | st.builds(lambda text: Message("tool", text, tool_call_id="call_1"), TEXTS),
    min_size=1,
    max_size=6,
)


@given(turns=TURNS)
def test_a_17_if_one_block_is_guarded_content_every_block_of_the_user_is(turns: list[Message]) -> None:
    """Once a block is marked, Bedrock looks at marked ones alone: the gateway marks none, a caller cannot."""
    body: Any = request_body(grounded_prompt(admitted_prompt(*turns, model=GUARDED)), stream=False)
    blocks = [block for turn in body["messages"] if turn["role"] == "user" for block in turn["content"]]
    marked = [block for block in [*blocks, *body["system"]] if "guardContent" in block]

    assert not marked or all("guardContent" in block for block in blocks if "toolResult" not in block)
    assert {key for block in blocks for key in block} <= {"text", "toolResult"}


# --- an intervention ends it ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_18_an_intervention_is_recorded_and_asked_of_no_other_model(stream: bool) -> None:
    world = World()
    world.model.script = lambda _: [TextDelta("Request refused."), Finish("content_filter", Usage(9, 3))]
    sent = submission(stream=stream)
    journey = Journey(sent, world.identity.callers.get(sent.bearer, caller()), world.ports(), lambda *_: None)

    async with aclosing(journey.answer()) as events:
        finishes = [one.event async for one in events if isinstance(one.event, Finish)]

    assert [one.reason for one in finishes] == ["content_filter"]
    assert len(world.model.prompts) == 1
    assert world.audit.kinds == ["intent", "outcome"]
    assert world.audit.records[-1].body["finish"] == "content_filter"


def test_a_sagemaker_model_is_sent_the_same_conversation() -> None:
    call = ToolCall("call_1", "weather", "{}")
    turns = (
        Message("user", "Weather?"),
        Message("assistant", "", (call,)),
        Message("tool", "Sun", tool_call_id="call_1"),
    )
    model: ModelOffer = offer("own", backend="sagemaker", upstream_model="endpoint")

    body = msgspec.json.decode(openai_body(grounded_prompt(admitted_prompt(*turns, model=model)), stream=False))

    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "tool"]
