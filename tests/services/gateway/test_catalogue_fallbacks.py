"""The catalogue's fallbacks: the gateway does not start with one that could not stand in for its model."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.settings import FALLBACKS_MAX, SettingsError
from tests.services.gateway.faults.test_unknown_price import EMBEDDING, MODEL, start

Offer = dict[str, Any]

FIRST: Offer = {**MODEL, "boundary": "private_endpoint", "takes_images": True, "fallbacks": ["spare"]}
SPARE: Offer = {**MODEL, "id": "spare", "boundary": "self_hosted", "context_tokens_max": 2000, "takes_images": True}


def test_a_fallback_as_strict_and_as_large_is_accepted() -> None:
    offers = {offer.id: offer for offer in start(EMBEDDING, FIRST, SPARE).models}
    assert (offers["x"].fallbacks, offers["spare"].fallbacks) == (("spare",), ())


def test_an_equal_one_is_accepted_and_so_is_a_chain() -> None:
    third = {**FIRST, "id": "third", "fallbacks": []}
    second = {**FIRST, "id": "spare", "fallbacks": ["third"]}
    assert len(start(EMBEDDING, {**FIRST, "fallbacks": ["spare", "third"]}, second, third).models) == 4


WRONG: dict[str, tuple[Offer, Offer, str]] = {
    "not in the catalogue": ({"fallbacks": ["nobody"]}, {}, "'nobody' is not in the catalogue"),
    "of another kind": ({"fallbacks": ["embed"]}, {}, "is of kind embedding"),
    "of a looser boundary": ({}, {"boundary": "public_api"}, "looser boundary public_api"),
    "of a smaller context": ({}, {"context_tokens_max": 999}, "holds 999 tokens"),
    "without images": ({}, {"takes_images": False}, "takes no images"),
    "itself": ({"fallbacks": ["x"]}, {}, "lead back"),
    "in a circle": ({"takes_images": False}, {"boundary": "private_endpoint", "context_tokens_max": 1000,
                    "fallbacks": ["x"]}, "lead back"),
    "named twice": ({"fallbacks": ["spare", "spare"]}, {}, "different models"),
    "too many": ({"fallbacks": [f"m{n}" for n in range(FALLBACKS_MAX + 1)]}, {}, f"up to {FALLBACKS_MAX}"),
    "without a price": ({}, {"usd_per_million_input_tokens": "free"}, "usd_per_million_input_tokens"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_fallback_that_could_not_stand_in_is_no_start(what: str) -> None:
    first, spare, says = WRONG[what]
    with pytest.raises(SettingsError, match=says):
        start(EMBEDDING, {**FIRST, **first}, {**SPARE, **spare})


def test_embedding_models_have_none() -> None:
    other = {**EMBEDDING, "id": "other"}
    with pytest.raises(SettingsError, match="vectors of two embedding models"):
        start({**EMBEDDING, "fallbacks": ["other"]}, other)


@pytest.mark.parametrize(("context", "starts"), [(1, True), (0, False), (-1, False)])
def test_a_model_holds_at_least_something(context: int, starts: bool) -> None:
    model = {**MODEL, "context_tokens_max": context}
    if starts:
        assert start(EMBEDDING, model).models[1].context_tokens_max == context
        return
    with pytest.raises(SettingsError, match="context_tokens_max must be positive"):
        start(EMBEDDING, model)
