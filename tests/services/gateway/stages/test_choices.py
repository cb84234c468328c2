"""Several answers to one prompt: each judged by itself, all of them one request."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from services.gateway.choices_journey import ChoicesJourney
from services.gateway.exchange import (
    Denied,
    Event,
    Finish,
    Grounded,
    Lease,
    Message,
    Parameters,
    ReleasedChoice,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallReady,
    Unavailable,
    Usage,
)
from services.gateway.openai_answer import ChatChoices
from services.gateway.pipeline import drain
from services.gateway.stages.admission import admit
from services.gateway.stages.audit import Outcome
from services.gateway.stages.choices import Choices, Meters
from services.gateway.stages.output_validation import Verdict
from tests.services.gateway import fakes
from tests.services.gateway.fakes import SYSTEM, WEATHER, Script, World, says, submission
from tests.services.gateway.stages.test_output_validation import FILLER, REAL, deltas, grounded, released
from tests.services.gateway.stages.test_streams_never_leak import CREDENTIALS, VALUES, answered, assert_gone
from tests.services.gateway.test_pipeline import answer as one_answer

RECORDS = Path(__file__).parents[4] / "docs" / "audit-records.md"

some = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))

GATE_S = 60.0


# --- what leaves of each choice -------------------------------------------------------------------------------


def number(prompt: Grounded) -> int:
    """Which choice a call is for."""
    return int(prompt.governed.admitted.submission.request_id.rpartition("-")[2])


class Interleaved:
    """A model whose calls say their next event in a given order, and in no other."""

    def __init__(self, answers: Sequence[Sequence[Event]], order: Sequence[int]) -> None:
        self._answers = answers
        self._turns = deque(order)

    async def generate(self, prompt: Grounded) -> AsyncIterator[Event]:
        index = number(prompt)
        for event in self._answers[index]:
            while self._turns[0] != index:  # noqa: ASYNC110 - it is another's turn after at most as many steps
                await asyncio.sleep(0)
            self._turns.popleft()
            yield event


async def interleaved(answers: Sequence[Sequence[Event]], order: Sequence[int]) -> list[ReleasedChoice]:
    prompt, model = _with_choices(grounded(), len(answers)), Interleaved(answers, order)
    choices = Choices(prompt, {"openai": model}, REAL, Meters(len(answers)), Verdict())
    async with aclosing(choices.released()) as events:
        return [one async for one in events]


def _with_choices(prompt: Grounded, count: int) -> Grounded:
    admitted = prompt.governed.admitted
    many = structs.replace(
        admitted, submission=structs.replace(admitted.submission, choices=count), lease=Lease("lease", (), 9, 9_999)
    )
    return structs.replace(prompt, governed=structs.replace(prompt.governed, admitted=many))


def text_of(events: Sequence[ReleasedChoice], index: int) -> str:
    return "".join(one.event.text for one in events if one.index == index and isinstance(one.event, TextDelta))


@st.composite
def two_answers(draw: st.DrawFn, first: str, second: str) -> tuple[list[list[Event]], list[int]]:
    """Both texts, cut anywhere, and any order in which their pieces come."""
    answers = [
        deltas(text, *draw(st.lists(st.integers(0, len(text) - 1), max_size=40, unique=True)))
        for text in (first, second)
    ]
    return answers, draw(st.permutations([index for index, answer in enumerate(answers) for _ in answer]))


@some
@given(name=st.sampled_from(sorted(VALUES)), other=st.sampled_from(sorted(VALUES)), data=st.data())
async def test_at_any_split_and_any_interleaving_no_value_leaves_in_any_choice(
    name: str, other: str, data: st.DataObject
) -> None:
    (first, value), (second, another) = answered(name), answered(other)
    events = await interleaved(*data.draw(two_answers(first, second)))
    assert_gone([text_of(events, 0)], value)
    assert_gone([text_of(events, 1)], another)
    framing = ChatChoices("1", 0, "local", 2, include_usage=True)
    sent = b"".join(map(framing.frame, events))
    for said in (value, another):
        assert json.dumps(said, ensure_ascii=False)[1:-1].encode() not in sent
    assert sent.count(b"[DONE]") == 1


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_whichever_comes_first_choices_are_first_heard_of_in_their_order(order: tuple[int, ...]) -> None:
    framing = ChatChoices("1", 0, "local", 3, include_usage=False)
    events: list[ReleasedChoice] = [ReleasedChoice(TextDelta(f"Choice {index}."), index) for index in order]
    events += [ReleasedChoice(Finish("stop", None), index) for index in order]
    frames = b"".join(map(framing.frame, events)).decode().split("\n\n")[:-2]
    said = [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in frames]
    assert list(dict.fromkeys(choice["index"] for choice in said)) == [0, 1, 2]
    for index in range(3):
        mine = [choice["delta"] for choice in said if choice["index"] == index]
        assert [delta.get("role") for delta in mine] == ["assistant", *[None] * (len(mine) - 1)]
        assert "".join(delta.get("content", "") for delta in mine) == f"Choice {index}."


@some
@given(name=st.sampled_from(sorted(CREDENTIALS)), data=st.data())
async def test_what_another_choice_says_changes_nothing_of_a_choice(name: str, data: st.DataObject) -> None:
    """Also where the two halves of a value are said by two choices, one after the other."""
    value = CREDENTIALS[name]
    cut = data.draw(st.integers(1, len(value) - 1))
    first, second = f"{FILLER} It is {value[:cut]}", f"{value[cut:]} as agreed. {FILLER}"
    answers, order = data.draw(two_answers(first, second))
    events = await interleaved(answers, order)
    for index, answer in enumerate(answers):
        alone, *_ = await released(answer, grounded())
        assert text_of(events, index) == "".join(alone)


@some
@given(data=st.data(), count=st.integers(2, 4))
async def test_every_choice_ends_once_and_after_all_of_its_text(count: int, data: st.DataObject) -> None:
    answers: list[list[Event]] = [deltas(f"{index} " + FILLER, 3, 90, 200) for index in range(count)]
    order = data.draw(st.permutations([index for index, answer in enumerate(answers) for _ in answer]))
    events = await interleaved(answers, order)
    for index in range(count):
        own = [one.event for one in events if one.index == index]
        assert isinstance(own[-1], Finish)
        assert sum(isinstance(event, Finish) for event in own) == 1
        assert text_of(events, index) == f"{index} " + FILLER


# --- one request ----------------------------------------------------------------------------------------------


@dataclass
class Asked:
    """One request for several answers, and what came of it. `scripts` are the choices' own."""

    scripts: Sequence[Script]
    stream: bool = True
    world: World = field(default_factory=World)
    changes: dict[str, Any] = field(default_factory=dict)
    events: list[ReleasedChoice] = field(default_factory=list)
    ended: list[Outcome] = field(default_factory=list)

    def journey(self) -> ChoicesJourney:
        self.world.model.script = lambda prompt: self.scripts[number(prompt)](prompt)
        asked = submission(stream=self.stream, choices=len(self.scripts), **self.changes)
        who = self.world.identity.callers["alice"]
        return ChoicesJourney(asked, who, self.world.ports(), lambda _, outcome: self.ended.append(outcome))

    async def answered(self) -> Asked:
        async with aclosing(self.journey().answer()) as events:
            async for one in events:
                assert isinstance(one, ReleasedChoice)
                self.events.append(one)
        return self

    @property
    def finishes(self) -> list[tuple[int, str]]:
        return [(one.index, one.event.reason) for one in self.events if isinstance(one.event, Finish)]

    @property
    def outcome(self) -> dict[str, Any]:
        (record,) = (record for record in self.world.audit.records if record.kind == "outcome")
        return dict(record.body)

    @property
    def texts(self) -> list[str]:
        return [text_of(self.events, index) for index in range(len(self.scripts))]


def plays(*events: Event | Exception | float) -> Script:
    return lambda _: events


both = pytest.mark.parametrize("stream", [True, False])


@both
async def test_two_answers_are_one_admission_one_intent_one_retrieval_and_one_outcome(stream: bool) -> None:
    asked = await Asked([says("One."), says("Two.")], stream).answered()
    world = asked.world
    assert asked.texts == ["One.", "Two."]
    assert world.audit.kinds == ["intent", "outcome"]
    assert world.audit.records[0].body["choices"] == 2
    assert world.limits.acquired == 1
    assert len(world.embeddings.texts) == 1
    assert len(world.model.prompts) == 2
    assert world.nothing_is_left_open()


async def test_the_fields_of_several_answers_are_in_the_document_and_on_no_other_record() -> None:
    known, fields = set(re.findall(r"`(\w+)`", RECORDS.read_text(encoding="utf-8"))), []
    for count in (1, 2):
        asked = Asked([says("One.")] * count)
        if count == 1:
            await one_answer(asked.world, stream=True)
        else:
            await asked.answered()
        fields.append({name for record in asked.world.audit.records for name in record.body})
    assert fields[1] - fields[0] == {"choices", "finishes"}
    assert fields[1] <= known


@both
async def test_all_answers_are_paid_for_together(stream: bool) -> None:
    asked = await Asked(
        [says("One.", usage=Usage(11, 7, 4)), says("Two.", usage=Usage(11, 5, 0, 2))], stream
    ).answered()
    together = Usage(22, 12, 4, 2)
    last = asked.events[-1].event
    assert isinstance(last, Finish)
    assert last.usage == together
    assert asked.world.limits.released == [together]
    assert asked.world.budget.spent == Decimal("0.000046")
    assert (asked.outcome["input_tokens"], asked.outcome["output_tokens"]) == (22, 12)


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_the_worst_case_is_that_of_all_answers(count: int) -> None:
    async def reserved(answers: int) -> tuple[int, int, Decimal]:
        ports = World().ports()
        admitted = await admit(submission(choices=answers), ports)
        return admitted.lease.input_tokens, admitted.lease.output_tokens, admitted.reservation.usd

    assert await reserved(count) == tuple(count * amount for amount in await reserved(1))


async def test_each_call_may_use_its_own_part_and_no_more() -> None:
    asked = await Asked(
        [says("One."), says("Two.")], changes={"parameters": Parameters(output_tokens_max=30)}
    ).answered()
    assert [prompt.governed.admitted.lease.output_tokens for prompt in asked.world.model.prompts] == [30, 30]
    with pytest.raises(Denied) as denied:
        await Asked([says("One."), says("12 34 56 " * 4_000)]).answered()
    assert denied.value.code == "upstream_error"


async def test_a_prompt_that_fits_alone_fits_with_several_answers_too() -> None:
    """How much one prompt may hold is about a prompt; what all of them cost is about money and tokens a minute."""
    small = fakes.role(limits=replace(fakes.LIMITS, input_tokens_max=1_000))
    for size, fits in ((900, True), (1_100, False)):
        world = World(registrations=fakes.FakeRegistrations(fakes.registration(small)))
        asked = Asked([says("One."), says("Two.")], world=world)
        asked.changes["messages"] = (Message("user", "x" * size),)
        if fits:
            assert (await asked.answered()).texts == ["One.", "Two."]
            continue
        with pytest.raises(Denied) as denied:
            await asked.answered()
        assert denied.value.code == "context_length_exceeded"


async def test_every_call_has_an_id_of_its_own() -> None:
    asked = await Asked([says("One."), says("Two."), says("Three.")]).answered()
    ids = [prompt.governed.admitted.submission.request_id for prompt in asked.world.model.prompts]
    assert len(set(ids)) == 3
    assert all(one.startswith("request-1-") for one in ids)


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(None, [None, None]), (7, [7, 8]), (2**63 - 1, [2**63 - 1, -(2**63)])],
)
async def test_a_seed_does_not_make_all_answers_equal(seed: int | None, seeds: list[int | None]) -> None:
    asked = await Asked([says("One."), says("Two.")], changes={"parameters": Parameters(seed=seed)}).answered()
    assert [prompt.governed.admitted.submission.parameters.seed for prompt in asked.world.model.prompts] == seeds


class Meeting:
    """Calls that go on only when all of them have begun."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._all = asyncio.Event()

    async def generate(self, prompt: Grounded) -> AsyncIterator[Event]:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), GATE_S)
        yield TextDelta(f"Choice {number(prompt)}.")
        yield Finish("stop", Usage(1, 1))


@both
async def test_the_calls_are_made_at_once(stream: bool) -> None:
    asked = Asked([says()] * 4, stream)
    asked.world.model = Meeting(4)  # type: ignore[assignment]
    journey = ChoicesJourney(submission(stream=stream, choices=4), fakes.caller(), asked.world.ports(), lambda *_: None)
    async with aclosing(journey.answer()) as events:
        came = [one async for one in events if isinstance(one, ReleasedChoice)]
    assert [text_of(came, index) for index in range(4)] == [f"Choice {index}." for index in range(4)]
    assert asked.world.audit.kinds == ["intent", "outcome"]


async def test_a_whole_answer_comes_in_the_order_of_its_choices() -> None:
    slow = plays(0.02, TextDelta("Slow."), Finish("stop", Usage(1, 1)))
    asked = await Asked([slow, says("Fast.")], stream=False).answered()
    assert [one.index for one in asked.events] == [0, 0, 1, 1]


async def test_a_streamed_answer_comes_as_it_is_made() -> None:
    slow = plays(0.02, TextDelta("Slow."), Finish("stop", Usage(1, 1)))
    asked = await Asked([slow, says("Fast.")]).answered()
    assert [one.index for one in asked.events] == [1, 1, 0, 0]


@both
async def test_without_an_outcome_record_the_last_end_of_all_stays(stream: bool) -> None:
    slow = plays(0.02, TextDelta("Slow."), Finish("stop", Usage(1, 1)))
    asked = Asked([slow, says("Fast.")], stream)
    asked.world.audit.broken_for.add("outcome")
    with pytest.raises(Unavailable):
        await asked.answered()
    assert 0 not in [index for index, _ in asked.finishes] or not stream
    assert len(asked.finishes) < 2
    assert asked.world.nothing_is_left_open()
    assert asked.world.budget.spent > 0


@both
async def test_nothing_is_called_before_the_intent_is_durable(stream: bool) -> None:
    seen: list[list[str]] = []
    asked = Asked([], stream)

    def script(_: Grounded) -> Sequence[Event]:
        seen.append(list(asked.world.audit.kinds))
        return [Finish("stop", Usage(1, 1))]

    asked.scripts = [script, script]
    await asked.answered()
    assert seen == [["intent"], ["intent"]]


# --- when one choice is blocked -------------------------------------------------------------------------------


SHOWN = SYSTEM.partition("{")[0]  # of the prompt


@both
async def test_a_choice_that_is_blocked_ends_all_of_them(stream: bool) -> None:
    endless = plays(TextDelta(FILLER), 30.0, Finish("stop", None))
    asked = await Asked([endless, says(SHOWN), endless], stream).answered()
    assert sorted(asked.finishes) == [(0, "content_filter"), (1, "content_filter"), (2, "content_filter")]
    assert asked.world.model.cancelled == 3
    assert asked.outcome["blocked_by"] == "system_prompt"
    assert asked.outcome["finish"] == "content_filter"
    assert asked.outcome["finishes"] == ("content_filter",) * 3
    assert asked.world.nothing_is_left_open()


async def test_of_a_whole_answer_with_a_blocked_choice_no_text_leaves_at_all() -> None:
    late = plays(0.02, TextDelta(SHOWN), Finish("stop", Usage(11, 7)))
    asked = await Asked([says("The first word."), late], stream=False).answered()
    assert asked.texts == ["", ""]
    assert [reason for _, reason in asked.finishes] == ["content_filter", "content_filter"]
    assert (asked.outcome["scanned_bytes"], asked.outcome["sent_bytes"]) == (0, 0)
    assert asked.outcome["output_tokens"] == 14


async def test_a_streamed_choice_that_had_ended_keeps_its_end() -> None:
    late = plays(0.02, TextDelta(SHOWN), Finish("stop", Usage(11, 7)))
    asked = await Asked([says("The first word."), late]).answered()
    assert asked.finishes == [(0, "stop"), (1, "content_filter")]
    assert asked.texts == ["The first word.", ""]
    assert asked.outcome["finishes"] == ("stop", "content_filter")
    assert asked.outcome["finish"] == "content_filter"


async def test_what_was_used_until_a_block_is_paid_for_by_every_choice() -> None:
    endless = plays(TextDelta("x" * 100), 30.0, Finish("stop", None))
    asked = await Asked([endless, says(SHOWN)]).answered()
    assert asked.outcome["output_tokens"] == 100 + 7
    assert asked.outcome["usage_estimated"] is True


@both
async def test_a_choice_whose_call_is_refused_does_not_end_the_others(stream: bool) -> None:
    unknown = ToolCallReady(ToolCall("call-1", "erase", "{}"))
    tools = (Tool("weather", "", WEATHER),)
    calls = plays(unknown, unknown, Finish("tool_calls", Usage(1, 1)))
    asked = await Asked([calls, says("Two."), calls], stream, changes={"tools": tools}).answered()
    assert asked.texts == ["", "Two.", ""]
    assert sorted(asked.finishes) == [(0, "content_filter"), (1, "stop"), (2, "content_filter")]
    assert asked.outcome["tool_calls_refused"] == 4
    assert asked.outcome["finish"] == "content_filter"


@both
async def test_the_record_counts_what_was_masked_and_released_in_all(stream: bool) -> None:
    key = "AKIA" + "Q7" * 8
    asked = await Asked([says(f"It is {key} here."), says(f"Take {key}.", reason="length")], stream).answered()
    assert key not in "".join(asked.texts)
    assert asked.outcome["output_masked"] == ("credential=2",)
    assert asked.outcome["scanned_bytes"] == asked.outcome["sent_bytes"] == sum(map(len, asked.texts))
    assert asked.outcome["finishes"] == ("stop", "length")
    assert asked.outcome["finish"] == "length"


async def test_two_versions_of_a_model_are_both_on_the_record() -> None:
    newer = plays(Finish("stop", Usage(1, 1), "fake-2"))
    asked = await Asked([says("One."), newer]).answered()
    assert asked.outcome["model_version"] == "fake-1,fake-2"


# --- when one call fails, when nobody waits any more ----------------------------------------------------------


FAILED = Denied("model", "502", status=502, code="upstream_error", public="failed")


@both
async def test_a_call_that_fails_ends_the_others_and_all_that_was_used_is_paid(stream: bool) -> None:
    endless = plays(TextDelta("x" * 100), 30.0, Finish("stop", None))
    asked = Asked([endless, plays(0.02, FAILED)], stream)
    with pytest.raises(Denied) as denied:
        await asked.answered()
    assert denied.value.code == "upstream_error"
    assert asked.world.model.cancelled == 1
    assert asked.outcome["finish"] == "failed"
    assert asked.outcome["finishes"] == ("unfinished", "unfinished")
    assert asked.outcome["output_tokens"] == 100
    assert asked.world.nothing_is_left_open()


@both
async def test_calls_that_all_fail_at_once_cost_nothing(stream: bool) -> None:
    asked = Asked([plays(FAILED), plays(FAILED)], stream)
    with pytest.raises(Denied):
        await asked.answered()
    assert asked.world.budget.spent == 0
    assert asked.world.audit.kinds == ["intent", "outcome"]


@both
async def test_a_failure_nobody_foresaw_is_one_end_and_leaves_nothing_running(stream: bool) -> None:
    broken = plays(RuntimeError("my salary"))
    endless = plays(30.0, Finish("stop", None))
    asked = Asked([endless, broken], stream)
    with pytest.raises(RuntimeError):
        await asked.answered()
    assert "salary" not in repr(asked.world.audit.records)
    assert asked.outcome["reason"] == "pipeline: RuntimeError"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert asked.world.nothing_is_left_open()


async def test_a_model_that_is_not_wired_is_called_by_nobody() -> None:
    asked = Asked([says("One."), says("Two.")])
    journey = asked.journey()
    journey._ports.backends.clear()
    with pytest.raises(Unavailable):
        await anext(journey.answer())
    assert asked.outcome["finish"] == "failed"
    assert asked.world.budget.spent == 0


async def test_hanging_up_ends_all_calls_and_pays_for_what_came_of_each() -> None:
    talks = plays(TextDelta("word " * 100), 30.0, Finish("stop", None))
    asked = Asked([talks, talks, says("Done.")])
    events = asked.journey().answer()
    for _ in range(4):  # two texts, and the third choice whole
        await anext(events)
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await drain()
    assert asked.outcome["finish"] == "disconnected"
    assert asked.outcome["finishes"] == ("unfinished", "unfinished", "stop")
    assert asked.outcome["output_tokens"] == 500 + 500 + 7
    assert asked.world.model.cancelled == 3
    assert asked.world.nothing_is_left_open()


@both
@pytest.mark.parametrize("steps", range(0, 40, 2))
async def test_hanging_up_at_any_moment_is_one_end_and_leaves_nothing_open(steps: int, stream: bool) -> None:
    asked = Asked([says(*["word " * 30] * 6), says("Two."), says(*["word " * 30] * 3, usage=None)], stream)
    waiting = asyncio.create_task(asked.answered())
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await drain()
    assert asked.world.audit.kinds in ([], ["refusal"], ["intent", "outcome"])
    assert asked.world.nothing_is_left_open()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if asked.world.audit.kinds[1:]:
        assert asked.world.budget.spent == Decimal(asked.outcome["usd"])


async def test_closing_the_answer_early_ends_all_calls_too() -> None:
    talks = plays(TextDelta("word " * 100), 30.0, Finish("stop", None))
    asked = Asked([talks, talks])
    events = asked.journey().answer()
    await anext(events)
    await events.aclose()
    assert asked.outcome["finish"] == "disconnected"
    assert asked.world.model.cancelled == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_hanging_up_on_a_whole_answer_pays_the_worst_case_of_all() -> None:
    asked = Asked([plays(30.0, Finish("stop", None))] * 3, stream=False)
    waiting = asyncio.create_task(asked.answered())
    while len(asked.world.model.prompts) < 3:  # noqa: ASYNC110 - the model tells nobody that it was asked
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await drain()
    assert asked.outcome["output_tokens"] == 3 * fakes.LIMITS.output_tokens_max
    assert asked.world.nothing_is_left_open()


class Eager:
    """A model that never waits; counts what it has said."""

    def __init__(self) -> None:
        self.said = 0

    async def generate(self, prompt: Grounded) -> AsyncIterator[Event]:
        del prompt
        while True:
            self.said += 1
            yield TextDelta("word " * 60)


async def test_a_caller_who_does_not_read_lets_no_call_run_ahead() -> None:
    eager = Eager()
    choices = Choices(_with_choices(grounded(), 2), {"openai": eager}, REAL, Meters(2), Verdict())
    async with aclosing(choices.released()) as events:
        await anext(events)
        for _ in range(50):
            await asyncio.sleep(0)
        assert eager.said < 10
