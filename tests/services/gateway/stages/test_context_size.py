"""What cannot fit a model's context is refused before it costs anything; what may fit is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.gateway.exchange import Denied, Endpoint, Message, ModelOffer, Parameters, Submission
from services.gateway.stages.admission import admit
from services.gateway.stages.context_size import CHARS_PER_TOKEN_MAX, output_tokens_that_fit
from services.gateway.stages.worst_case import caller_tokens_max
from tests.services.gateway.fakes import LIMITS, FakeRegistrations, World, offer, registration, role, submission

BARE = role(collections=(), template=replace(role().template, system=""))
CONTEXT = 1_000


def model(context_tokens_max: int = CONTEXT) -> ModelOffer:
    return offer(context_tokens_max=context_tokens_max)


def asking(text: str, output_tokens_max: int | None = None, **changes: Any) -> Submission:
    return submission(text, parameters=Parameters(output_tokens_max=output_tokens_max), **changes)


def fitting(sent: Submission, output_tokens: int, context_tokens_max: int = CONTEXT) -> int:
    prompt = caller_tokens_max(sent) * sent.choices
    return output_tokens_that_fit(sent, BARE, model(context_tokens_max), prompt, output_tokens)


def test_what_fits_byte_by_byte_is_left_as_it_is() -> None:
    assert fitting(asking("x" * 400, 500), 500) == 500


def test_what_may_fit_is_left_to_the_backend_which_counts() -> None:
    assert fitting(asking("word " * 600, 500), 500) == 500


def test_what_cannot_fit_is_400_and_names_both_figures() -> None:
    with pytest.raises(Denied) as denied:
        fitting(asking("x" * CHARS_PER_TOKEN_MAX * 600, 500), 500)
    assert (denied.value.status, denied.value.code, denied.value.param) == (400, "context_length_exceeded", "messages")
    assert "1000 tokens" in denied.value.public
    assert "600 in its prompt and 500 in its answer" in denied.value.public


def test_a_prompt_that_just_fits_beside_its_answer_passes() -> None:
    assert fitting(asking("x" * CHARS_PER_TOKEN_MAX * 500, 500), 500) == 500
    with pytest.raises(Denied):
        fitting(asking("x" * CHARS_PER_TOKEN_MAX * 501, 500), 500)


def test_an_answer_whose_length_nobody_named_is_what_the_prompt_leaves() -> None:
    sent = asking("x" * CHARS_PER_TOKEN_MAX * 600)
    assert fitting(sent, 4_096) == 400
    assert fitting(asking("x"), 4_096) == 1_000


def test_of_a_prompt_that_leaves_nothing_there_is_no_answer() -> None:
    with pytest.raises(Denied, match="do not fit"):
        fitting(asking("x" * CHARS_PER_TOKEN_MAX * CONTEXT), 4_096)


def test_several_answers_have_a_context_each() -> None:
    assert fitting(asking("x" * 400, 500, choices=4), 2_000) == 2_000
    assert fitting(asking("x" * CHARS_PER_TOKEN_MAX * 600, choices=4), 4 * 4_096) == 4 * 400
    with pytest.raises(Denied):
        fitting(asking("x" * CHARS_PER_TOKEN_MAX * 600, 500, choices=4), 2_000)


def test_of_embeddings_each_text_has_the_context_to_itself() -> None:
    texts = tuple(Message("user", "x" * CHARS_PER_TOKEN_MAX * 900) for _ in range(8))
    many = submission(endpoint=Endpoint.EMBEDDINGS, messages=texts)
    assert fitting(many, 0) == 0
    with pytest.raises(Denied) as denied:
        fitting(structs.replace(many, messages=(Message("user", "x" * CHARS_PER_TOKEN_MAX * 1_001),)), 0)
    assert (denied.value.code, denied.value.param) == ("context_length_exceeded", "input")


@given(
    st.integers(0, 20_000),
    st.one_of(st.none(), st.integers(1, 5_000)),
    st.integers(128, 5_000),
    st.integers(1, 4),
)
def test_whatever_passes_could_fit_and_asks_for_no_more(
    chars: int, wanted: int | None, context: int, choices: int
) -> None:
    sent = asking("x" * chars, wanted, choices=choices)
    each = min(wanted or 512, 512)
    try:
        output = fitting(sent, each * choices, context)
    except Denied:
        assert chars // CHARS_PER_TOKEN_MAX + (each if wanted is not None else 1) > context
    else:
        assert output // choices <= each
        assert chars // CHARS_PER_TOKEN_MAX + output // choices <= context


@pytest.mark.parametrize(("chars", "passes"), [(2_000, True), (100_000, False)])
async def test_a_refused_prompt_is_charged_to_nobody(chars: int, passes: bool) -> None:
    small = replace(BARE, limits=replace(LIMITS, output_tokens_max=512))
    world = World(registrations=FakeRegistrations(registration(small)))
    ports = world.ports()
    ports.models["local"] = model(8_192)
    if passes:
        assert (await admit(asking("x" * chars, 500), ports)).lease.output_tokens == 500
        return
    with pytest.raises(Denied, match="do not fit"):
        await admit(asking("x" * chars, 500), ports)
    assert world.limits.acquired == 0
    assert world.budget.open == {}
