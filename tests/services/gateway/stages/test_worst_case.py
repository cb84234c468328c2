"""Money: no call costs more than was set aside, and a backend's way of counting cached tokens changes no price."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters import bedrock_model
from services.gateway.adapters.openai_model import StreamReader, whole_answer
from services.gateway.exchange import Finish, ModelOffer, Usage
from services.gateway.stages.worst_case import price, price_digest, price_max
from tests.services.gateway.fakes import offer

TOKENS = st.integers(0, 1_000_000)
USD = st.decimals(0, 1_000, places=6, allow_nan=False)
CACHING = offer(
    usd_per_million_input_tokens=Decimal(3),
    usd_per_million_output_tokens=Decimal(15),
    usd_per_million_cache_read_tokens=Decimal("0.3"),
    usd_per_million_cache_write_tokens=Decimal("3.75"),
)


@st.composite
def offers(draw: st.DrawFn) -> ModelOffer:
    maybe = st.none() | USD
    return offer(
        usd_per_million_input_tokens=draw(USD),
        usd_per_million_output_tokens=draw(USD),
        usd_per_million_cache_read_tokens=draw(maybe),
        usd_per_million_cache_write_tokens=draw(maybe),
    )


@given(model=offers(), fresh=TOKENS, read=TOKENS, written=TOKENS, output=TOKENS)
def test_no_use_within_the_bound_costs_more_than_the_bound(
    model: ModelOffer, fresh: int, read: int, written: int, output: int
) -> None:
    used = Usage(fresh + read + written, output, read, written)
    assert Decimal(0) <= price(model, used) <= price_max(model, used.input_tokens, output)


def test_more_cached_than_there_was_is_never_a_gift() -> None:
    assert price(CACHING, Usage(10, 0, 1_000_000, 0)) >= price(CACHING, Usage(10, 0, 10, 0))


def openai_usage(stream: bool, details: Any) -> Usage | None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 50} | details
    if stream:
        reader = StreamReader()
        last = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
        for chunk in (last, {"choices": [], "usage": usage}):
            reader.feed(f"data: {json.dumps(chunk)}\n\n".encode())
        *_, finish = reader.finish()
    else:
        choice = {"message": {"content": "a"}, "finish_reason": "stop"}
        *_, finish = whole_answer(json.dumps({"choices": [choice], "usage": usage}).encode())
    assert isinstance(finish, Finish)
    return finish.usage


def bedrock_usage() -> Usage | None:
    counted = {"inputTokens": 100, "outputTokens": 50, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 0}
    message = {"role": "assistant", "content": [{"text": "a"}]}
    answer = {"output": {"message": message}, "stopReason": "end_turn", "usage": counted}
    *_, finish = bedrock_model._whole(json.dumps(answer).encode(), "v1")
    assert isinstance(finish, Finish)
    return finish.usage


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_use_costs_the_same_however_a_backend_counts_cached_tokens(stream: bool) -> None:
    of_openai = openai_usage(stream, {"prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 0}})
    assert of_openai == bedrock_usage() == Usage(1_000, 50, 900, 0)
    assert price(CACHING, of_openai) == Decimal("0.00132")  # 100 at 3, 900 at 0.3, 50 at 15, a million


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"prompt_tokens_details": None},
        {"prompt_tokens_details": {}},
        {"prompt_tokens_details": {"cached_tokens": None}},
    ],
)
def test_without_a_word_about_the_cache_all_input_has_its_full_price(details: Any) -> None:
    assert openai_usage(False, details) == Usage(1_000, 50)


@pytest.mark.parametrize("cached", [1_001, -1, 10**9])
def test_more_cached_tokens_than_tokens_is_as_if_nothing_was_said(cached: int) -> None:
    assert openai_usage(False, {"prompt_tokens_details": {"cached_tokens": cached}}) is None


def test_a_digest_names_prices_and_not_their_writing() -> None:
    same = replace(CACHING, usd_per_million_input_tokens=Decimal("3.000"))
    assert price_digest(same) == price_digest(CACHING)
    assert price_digest(CACHING).startswith("sha256:")


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"])
def test_another_price_has_another_digest(field: str) -> None:
    changes: dict[str, Any] = {f"usd_per_million_{field}": Decimal("3.01")}
    assert price_digest(replace(CACHING, **changes)) != price_digest(CACHING)
    assert price_digest(replace(CACHING, id="other")) != price_digest(CACHING)
