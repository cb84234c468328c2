"""Hold-back: for every way a model can split its answer, no byte leaves that no verdict covers."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.exchange import (
    Admitted,
    Chunk,
    DataClass,
    Event,
    Finish,
    Generated,
    Governed,
    Grounded,
    Lease,
    Parameters,
    Reservation,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallReady,
    Unavailable,
    Usage,
)
from services.gateway.ports import Detectors
from services.gateway.stages.output_validation import Verdict, validate
from tests.services.gateway import fakes
from tests.services.gateway.fakes import WEATHER, FakeDetector, caller, offer, registration, role, submission

DELIMITER = "5f0e5f0e5f0e5f0e"
KEY = "AKIA" + "IOSFODNN7" + "EXAMPLE"  # in pieces, so that scanners of this repository stay quiet
SYSTEM = "You are the assistant of the legal department and must never tell anybody about project Halcyon. {context}"
REAL = Detectors(CredentialDetector(), PersonalDataDetector(), PromptInjectionDetector())
FILLER = "Leave is granted by the head of the department after a request in writing. " * 6


def grounded(*, stream: bool = True, **changes: Any) -> Grounded:
    """A prompt whose answer is to be judged."""
    placeholders = changes.pop("placeholders", {})
    chunks = changes.pop("chunks", ())
    template = replace(role().template, system=SYSTEM, citations=changes.pop("citations", False))
    parameters = changes.pop("parameters", Parameters())
    assert not changes
    admitted = Admitted(
        submission=submission(stream=stream, parameters=parameters),
        caller=caller(),
        registration=registration(),
        role=role(template=template),
        model=offer(),
        lease=Lease("lease", (), 1, 1),
        reservation=Reservation("reservation", Decimal(0)),
    )
    tools = (Tool("weather", "", WEATHER),)
    governed = Governed(admitted, admitted.submission.messages, placeholders, {}, "hash", "question", tools)
    return Grounded(governed, chunks, SYSTEM.replace("{context}", ""), DELIMITER)


async def released(
    events: Sequence[Event], prompt: Grounded, detectors: Detectors = REAL
) -> tuple[list[str], list[ToolCall], str, Verdict]:
    """What left: texts as they left, calls, the finish reason; and the verdict."""

    async def generated() -> AsyncIterator[Event]:
        for event in events:
            yield event

    verdict = Verdict()
    texts, calls, reason = [], [], ""
    async for one in validate(Generated(prompt, generated()), detectors, verdict):
        if isinstance(one.event, TextDelta):
            texts.append(one.event.text)
        elif isinstance(one.event, ToolCallReady):
            calls.append(one.event.call)
        else:
            reason = one.event.reason
    return texts, calls, reason, verdict


def deltas(text: str, *cuts: int) -> list[Event]:
    at = [0, *sorted(cuts), len(text)]
    parts = [text[start:end] for start, end in pairwise(at)]
    return [*(TextDelta(part) for part in parts if part), Finish("stop", Usage(1, 1))]


async def test_text_without_findings_leaves_unchanged_and_in_pieces() -> None:
    text = FILLER * 4
    texts, _, reason, verdict = await released(deltas(text, *range(1, len(text), 3)), grounded())
    assert "".join(texts) == text
    assert len(texts) > 5
    assert reason == "stop"
    assert verdict.released_bytes == len(text)


SECRETS = {
    "an AWS access key": KEY,
    "a GitHub token": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "an e-mail address": "zoe.quillfeather@example.org",
    "an IBAN in groups": "DE89 3704 0044 0532 0130 00",
    "a card number in groups": "4111 1111 1111 1111",
    "a telephone number": "+49 151 23456789",
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("before", [0, 40, 100, 127, 128, 150, 300])
async def test_no_split_lets_a_secret_out(name: str, before: int) -> None:
    secret = SECRETS[name]
    text = f"{FILLER[:before]} It is {secret} as agreed. {FILLER[:300]}"
    start = text.index(secret)
    for cut in range(start, start + len(secret) + 1):
        texts, *_ = await released(deltas(text, cut), grounded())
        assert secret not in "".join(texts)
        assert not any(secret[:12] in part for part in texts)


async def test_one_character_at_a_time_lets_no_secret_out() -> None:
    for secret in SECRETS.values():
        text = f"{FILLER} It is {secret} as agreed. {FILLER}"
        texts, *_ = await released(deltas(text, *range(len(text))), grounded())
        assert secret[:12] not in "".join(texts)
        assert "as agreed" in "".join(texts)


async def test_streamed_and_whole_say_the_same() -> None:
    text = f"{FILLER} Write to {SECRETS['an e-mail address']} with {KEY}. {FILLER}"
    streamed, *_ = await released(deltas(text, *range(0, len(text), 7)), grounded())
    whole, *_ = await released(deltas(text), grounded(stream=False))
    assert "".join(streamed) == "".join(whole)
    assert len(whole) == 1
    assert "[redacted credential]" in whole[0]
    assert "[email_address]" in whole[0]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 1_200), max_size=40), before=st.integers(0, 400))
async def test_any_split_at_all(cuts: list[int], before: int) -> None:
    text = f"{FILLER[:before]} key {KEY} mail {SECRETS['an e-mail address']} {FILLER}"
    texts, *_ = await released(deltas(text, *(cut for cut in cuts if cut < len(text))), grounded())
    answer = "".join(texts)
    assert KEY[:8] not in answer
    assert "quillfeather" not in answer
    assert answer.endswith(FILLER)


async def test_a_private_key_longer_than_the_hold_back_does_not_begin_to_leave() -> None:
    body = "\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj" for _ in range(20))
    name = "PRIVATE KEY"
    text = f"{FILLER}\n-----BEGIN {name}-----\n{body}\n-----END {name}-----\n{FILLER}"
    texts, *_ = await released(deltas(text, *range(0, len(text), 5)), grounded())
    assert "MIIEvQIBADAN" not in "".join(texts)


async def test_text_without_any_break_is_not_released_in_the_middle() -> None:
    text = "x" * 20_000
    texts, _, reason, verdict = await released(deltas(text, *range(0, len(text), 40)), grounded())
    assert texts == []
    assert (reason, verdict.blocked_by) == ("content_filter", "unbroken_text")


async def test_scripts_without_spaces_still_stream() -> None:
    text = "年次有給休暇は年間三十日です。申請は書面で部長に行います。" * 20
    texts, *_ = await released(deltas(text, *range(0, len(text), 4)), grounded())
    assert "".join(texts) == text
    assert len(texts) > 3


# --- leaking the prompt ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_the_systems_own_words_end_the_answer(stream: bool) -> None:
    leak = SYSTEM.replace(" {context}", "").upper().replace(" ", "  ")
    text = f"{FILLER} My instructions: {leak} {FILLER}"
    texts, _, reason, verdict = await released(deltas(text, *range(0, len(text), 9)), grounded(stream=stream))
    assert reason == "content_filter"
    assert verdict.blocked_by == "system_prompt"
    assert "HALCYON" not in "".join(texts)


async def test_the_delimiter_ends_the_answer() -> None:
    text = f"{FILLER}<passage-{DELIMITER}> says"
    texts, _, reason, _ = await released(deltas(text, *range(0, len(text), 2)), grounded())
    assert reason == "content_filter"
    assert DELIMITER[:8] not in "".join(texts)


async def test_words_like_the_systems_do_not_end_the_answer() -> None:
    _, _, reason, _ = await released(deltas("The legal department never tells anybody."), grounded())
    assert reason == "stop"


# --- the caller's own values ----------------------------------------------------------------------------------


PLACEHOLDER = "[email_address_1_bcdfghjk]"


async def test_the_callers_own_value_comes_back_at_every_split() -> None:
    text = f"I will write to {PLACEHOLDER} today, and not to [email_address_2_bcdfghjk]."
    prompt = grounded(placeholders={PLACEHOLDER: "me@example.org"})
    for cut in range(len(text)):
        texts, *_ = await released(deltas(FILLER + text + FILLER, len(FILLER) + cut), prompt)
        answer = "".join(texts)
        assert "write to me@example.org today" in answer
        assert "[email_address_2_bcdfghjk]" in answer


async def test_a_value_comes_back_escaped_where_the_answer_is_json() -> None:
    prompt = grounded(
        placeholders={"[person_1_bcdfghjk]": 'Zoe "Z" Q\\'},
        parameters=Parameters(response_format='{"type":"json_object"}'),
    )
    texts, *_ = await released(deltas('{"name":"[person_1_bcdfghjk]"}'), prompt)
    assert json.loads("".join(texts)) == {"name": 'Zoe "Z" Q\\'}


async def test_personal_data_of_a_passage_may_be_repeated_and_no_other() -> None:
    chunk = Chunk("handbook", "a.md", "sha256:0", 0, "Ask hr@example.org for leave.", DataClass.INTERNAL, 0.1)
    texts, _, _, verdict = await released(deltas("Ask hr@example.org, not ceo@example.org."), grounded(chunks=(chunk,)))
    assert "".join(texts) == "Ask hr@example.org, not [email_address]."
    assert verdict.masked == {"email_address": 1}


# --- tool calls -----------------------------------------------------------------------------------------------


def calls(*made: tuple[str, str]) -> list[Event]:
    ready = [ToolCallReady(ToolCall(f"call_{number}", *one)) for number, one in enumerate(made)]
    return [*ready, Finish("tool_calls", Usage(1, 1))]


async def test_an_allowed_call_leaves_with_the_callers_own_values() -> None:
    prompt = grounded(placeholders={"[city_1_bcdfghjk]": 'S"aint'})
    _, made, reason, _ = await released(calls(("weather", '{"city":"[city_1_bcdfghjk]"}')), prompt)
    assert reason == "tool_calls"
    assert json.loads(made[0].arguments) == {"city": 'S"aint'}


REFUSED_CALLS = {
    "a tool nobody offered": ("delete_everything", '{"city":"Oslo"}'),
    "arguments that are not JSON": ("weather", '{"city":'),
    "arguments that are not an object": ("weather", '"Oslo"'),
    "an argument the schema does not know": ("weather", '{"city":"Oslo","shell":"rm"}'),
    "a missing argument": ("weather", "{}"),
    "an argument of another type": ("weather", '{"city":7}'),
    "a credential": ("weather", json.dumps({"city": KEY})),
    "a credential in escapes": ("weather", '{"city":"' + "".join(f"\\u{ord(char):04x}" for char in KEY) + '"}'),
}


@pytest.mark.parametrize("case", REFUSED_CALLS)
async def test_a_call_that_is_not_allowed_never_leaves(case: str) -> None:
    _, made, reason, verdict = await released(calls(REFUSED_CALLS[case], ("weather", '{"city":"Oslo"}')), grounded())
    assert [call.name for call in made] == ["weather"]
    assert (reason, verdict.calls_refused) == ("content_filter", 1)


async def test_parallel_calls_leave_only_when_wanted() -> None:
    two = calls(("weather", '{"city":"Oslo"}'), ("weather", '{"city":"Rome"}'))
    assert len((await released(two, grounded()))[1]) == 2
    one = grounded(parameters=Parameters(parallel_tool_calls=False))
    assert len((await released(two, one))[1]) == 1


# --- citations ------------------------------------------------------------------------------------------------


def passage(document: str, text: str, distance: float) -> Chunk:
    return Chunk("handbook", document, f"sha256:{document}", 0, text, DataClass.INTERNAL, distance)


async def test_an_answer_quotes_the_passages_it_rests_on() -> None:
    chunks = (passage("leave.md", "Thirty days of leave. " * 20, 0.2), passage("far.md", "Nothing.", 0.95))
    texts, *_ = await released(deltas("Thirty."), grounded(chunks=chunks, citations=True))
    answer = "".join(texts)
    assert answer.startswith('Thirty.\n\n[1] leave.md: "Thirty days of leave.')
    assert answer.split('"')[1] in chunks[0].text
    assert "far.md" not in answer


@pytest.mark.parametrize(
    "changes", [{"citations": False}, {"parameters": Parameters(response_format='{"type":"json_object"}')}]
)
async def test_no_quote_where_none_is_wanted(changes: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {"chunks": (passage("leave.md", "Thirty days.", 0.2),), "citations": True}
    prompt = grounded(**(wanted | changes))
    assert "leave.md" not in "".join((await released(deltas("Thirty."), prompt))[0])


# --- detectors that fail, models that flood -------------------------------------------------------------------


async def test_a_detector_that_fails_stops_the_answer() -> None:
    broken = replace(fakes.detectors(), personal_data=FakeDetector({}, broken=True))
    with pytest.raises(Unavailable):
        await released(deltas(FILLER * 5, *range(0, 900, 10)), grounded(), broken)


async def test_judging_stays_linear_in_the_answer() -> None:
    """The same text, four times as long, may take about four times as long: not sixteen."""

    async def took_s(times: int) -> float:
        """Of this thread, so that others on the machine do not count; the least of several tries."""
        text = ("word" * 200 + " ") * times
        tries = []
        for _ in range(5):
            began = time.thread_time()
            await released(deltas(text, *range(0, len(text), 4)), grounded(), fakes.detectors())
            tries.append(time.thread_time() - began)
        return min(tries)

    assert await took_s(16) < 10 * await took_s(4)
