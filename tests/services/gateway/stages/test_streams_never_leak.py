"""For every value the detectors know and every way to split it: the bytes that leave never hold it.

The whole way of an answer without its sockets: bytes of a backend, cut anywhere, are read as events, judged, and
written as the frames a client gets. Every kind of credential and of personal data has its value here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.adapters.openai_model import StreamReader
from services.gateway.exchange import Event, Finish, Generated, Grounded, TextDelta, ToolCall, ToolCallReady, Usage
from services.gateway.openai_answer import ChatAnswer
from services.gateway.responses_answer import ResponsesAnswer
from services.gateway.stages.output_validation import HOLD_BACK_CHARS, STEP_CHARS, Verdict, validate
from tests.services.gateway.clients.upstreams import sse
from tests.services.gateway.detectors.test_credentials import DRESSES, ISSUED, MADE_UP
from tests.services.gateway.detectors.test_personal_data import FOUND
from tests.services.gateway.stages.test_output_validation import FILLER, REAL, deltas, grounded, released

some = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

CREDENTIALS = {name: make() for name, make in MADE_UP.items()}
PERSONAL = {f"{kind}: {value}": (sentence, value) for kind, sentence, value in FOUND}
VALUES: dict[str, tuple[str, str]] = {name: ("It is {} as agreed.", value) for name, value in CREDENTIALS.items()}
VALUES |= PERSONAL


def answered(name: str, before: int = len(FILLER)) -> tuple[str, str]:
    """An answer that says the value among ordinary sentences, and the value."""
    sentence, value = VALUES[name]
    return f"{FILLER[:before]} {sentence.format(value)} Ordinary words. {FILLER}", value


# --- text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
async def test_one_character_at_a_time_no_value_leaves(name: str) -> None:
    text, value = answered(name)
    texts, *_ = await released(deltas(text, *range(len(text))), grounded())
    assert_gone(texts, value)
    assert "Ordinary words." in "".join(texts)


def assert_gone(texts: Sequence[str], value: str) -> None:
    assert value not in "".join(texts)
    # What would still tell most of it: no half of it leaves either.
    assert value[: len(value) // 2 + 1] not in "".join(texts)
    assert value[len(value) // 2 :] not in "".join(texts)


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", ISSUED)
async def test_one_character_at_a_time_no_credential_leaves_in_disguise(name: str, dress: str) -> None:
    value = DRESSES[dress](CREDENTIALS[name])
    text = f"{FILLER} It is {value} as agreed. {FILLER}"
    texts, *_ = await released(deltas(text, *range(len(text))), grounded())
    assert_gone(texts, value)
    assert "as agreed" in "".join(texts)


@some
@given(name=st.sampled_from(sorted(VALUES)), before=st.integers(0, 400), data=st.data())
async def test_at_any_place_and_in_any_pieces_no_value_leaves(name: str, before: int, data: st.DataObject) -> None:
    text, value = answered(name, before)
    cuts = data.draw(st.lists(st.integers(0, len(text) - 1), max_size=60))
    texts, *_ = await released(deltas(text, *cuts), grounded())
    assert_gone(texts, value)
    assert texts[-1].endswith(FILLER[-HOLD_BACK_CHARS:])


@some
@given(name=st.sampled_from(sorted(VALUES)), data=st.data())
async def test_cut_inside_the_value_itself_it_does_not_leave(name: str, data: st.DataObject) -> None:
    text, value = answered(name)
    start = text.index(value)
    cuts = data.draw(st.lists(st.integers(start, start + len(value)), min_size=1, max_size=8))
    texts, *_ = await released(deltas(text, *cuts), grounded())
    assert_gone(texts, value)


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_at_the_very_end_does_not_leave(name: str) -> None:
    """Where the text ends nothing more can make it whole, and nothing that follows shows where it ended."""
    sentence, value = VALUES[name]
    text = FILLER + sentence.partition("{}")[0] + value
    texts, *_ = await released(deltas(text, *range(0, len(text), 3)), grounded())
    assert_gone(texts, value)


# --- transport ------------------------------------------------------------------------------------------------


def upstream_bytes(text: str, size: int, line_end: bytes) -> bytes:
    """`text` as an OpenAI-compatible server streams it, `size` characters a chunk."""
    chunks = [sse({"choices": [{"delta": {"content": text[at : at + size]}}]}) for at in range(0, len(text), size)]
    end = [sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}), b"data: [DONE]\n\n"]
    return b"".join([*chunks, *end]).replace(b"\n", line_end)


def read(pieces: Iterator[bytes]) -> list[Event]:
    reader = StreamReader()
    texts = [text for piece in pieces for text in reader.feed(piece)]
    return [*map(TextDelta, texts), *reader.finish()]


FRAMINGS: dict[str, Callable[[], ChatAnswer | ResponsesAnswer]] = {
    "chat": lambda: ChatAnswer("1", 0, "local", include_usage=True),
    "responses": lambda: ResponsesAnswer("1", 0, "local", {}),
}


async def client_bytes(events: Sequence[Event], prompt: Grounded, framing: str = "chat") -> bytes:
    """The frames a client gets."""
    texts, calls, reason, _ = await released(events, prompt)
    answer = FRAMINGS[framing]()
    frames = [answer.text(text) for text in texts] + [answer.tool_call(call) for call in calls]
    return b"".join([*frames, answer.finish(reason, Usage(1, 1))])


@some
@given(
    name=st.sampled_from(sorted(VALUES)),
    size=st.sampled_from([1, 3, 17]),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    framing=st.sampled_from(sorted(FRAMINGS)),
    data=st.data(),
)
async def test_cut_within_lines_and_letters_of_the_transport_no_value_leaves(
    name: str, size: int, line_end: bytes, framing: str, data: st.DataObject
) -> None:
    text, value = answered(name)
    raw = upstream_bytes(f"Größe 🙂: {text}", size, line_end)
    at = [0, *sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=40))), len(raw)]
    events = read(raw[start:end] for start, end in pairwise(at))
    sent = await client_bytes(events, grounded(), framing)
    assert json.dumps(value, ensure_ascii=False)[1:-1].encode() not in sent
    assert "Größe 🙂".encode() in sent
    assert sent.endswith(b"data: [DONE]\n\n") == (framing == "chat")


@pytest.mark.parametrize("name", sorted(CREDENTIALS)[::6])
async def test_byte_by_byte_no_credential_leaves(name: str) -> None:
    text, value = answered(name)
    raw = upstream_bytes(f"日本 🙂 {text}", 2, b"\n")
    sent = await client_bytes(read(raw[at : at + 1] for at in range(len(raw))), grounded())
    assert value.encode() not in sent
    assert "日本 🙂".encode() in sent


# --- tool arguments -------------------------------------------------------------------------------------------


def called(name: str, arguments: str) -> list[Event]:
    return [ToolCallReady(ToolCall("call_1", name, arguments)), Finish("tool_calls", Usage(1, 1))]


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("written", ["plain", "escaped"])
async def test_a_call_that_holds_a_credential_does_not_leave(name: str, written: str) -> None:
    value = CREDENTIALS[name]
    escaped = "".join(f"\\u{ord(char):04x}" for char in value)
    city = f'"{escaped}"' if written == "escaped" else json.dumps(value)
    _, calls, reason, _ = await released(called("weather", f'{{"city":{city}}}'), grounded())
    assert (calls, reason) == ([], "content_filter")


@pytest.mark.parametrize("name", PERSONAL)
async def test_personal_data_in_a_call_is_masked(name: str) -> None:
    sentence, value = PERSONAL[name]
    arguments = json.dumps({"city": sentence.format(value)})
    _, (call,), reason, _ = await released(called("weather", arguments), grounded())
    assert value not in json.loads(call.arguments)["city"]
    assert reason == "tool_calls"


def tool_bytes(name: str, arguments: str) -> bytes:
    """A tool call one character at a time, its name too."""
    parts = [{"index": 0, "function": {"name": name}}]
    parts += [{"index": 0, "function": {"arguments": char}} for char in arguments]
    chunks = [sse({"choices": [{"delta": {"tool_calls": [part]}}]}) for part in parts]
    return b"".join([*chunks, sse({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}), b"data: [DONE]\n\n"])


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_call_nobody_offered_in_single_characters_is_never_seen(framing: str) -> None:
    raw = tool_bytes("erase", '{"path":"/srv/data"}')
    sent = await client_bytes(read(raw[at : at + 5] for at in range(0, len(raw), 5)), grounded(), framing)
    assert b"erase" not in sent
    assert b"/srv" not in sent
    assert b"tool_calls" not in sent
    assert b"function_call" not in sent
    assert b'"content_filter"' in sent


@pytest.mark.parametrize(("framing", "times"), [("chat", 1), ("responses", 4)])
async def test_an_offered_call_in_single_characters_leaves_whole(framing: str, times: int) -> None:
    """A response says an item as it is added, its arguments, the item as it is done, and all items at the end."""
    raw = tool_bytes("weather", '{"city":"Oslo"}')
    sent = await client_bytes(read(raw[at : at + 5] for at in range(0, len(raw), 5)), grounded(), framing)
    assert sent.count(b'"name":"weather"') == times
    assert rb"{\"city\":\"Oslo\"}" in sent


# --- the caller's own values ----------------------------------------------------------------------------------


@some
@given(name=st.sampled_from(sorted(PERSONAL)), before=st.integers(0, 300), data=st.data())
async def test_the_callers_own_value_comes_back_right_at_any_split(name: str, before: int, data: st.DataObject) -> None:
    own = PERSONAL[name][1]
    placeholder = f"[{name.partition(':')[0]}_1_bafodi]"
    text = f"{FILLER[:before]} I wrote to {placeholder}, and not to [person_name_9_bafodi]. {FILLER}"
    cuts = data.draw(st.lists(st.integers(0, len(text) - 1), max_size=60))
    texts, *_ = await released(deltas(text, *cuts), grounded(placeholders={placeholder: own}))
    assert "".join(texts) == text.replace(placeholder, own)


async def test_another_requests_value_does_not_come_back() -> None:
    text = f"{FILLER} I wrote to [email_address_1_bafodi]. {FILLER}"
    other = grounded(placeholders={"[email_address_1_cucaki]": "me@example.org"})
    assert "".join((await released(deltas(text, *range(len(text))), other))[0]) == text


# --- how long text is held ------------------------------------------------------------------------------------


@some
@given(words=st.lists(st.text("abcdefgh", min_size=1, max_size=24), min_size=80, max_size=200), size=st.integers(1, 9))
async def test_what_is_released_lags_by_the_hold_back_and_no_more(words: list[str], size: int) -> None:
    """A verdict waits for one step of new text, or for a quarter more than was held; it ends before a word."""
    text = " ".join(words)
    lag_max = (HOLD_BACK_CHARS + max(map(len, words)) + 1) * 5 // 4 + STEP_CHARS + size
    lags: list[int] = []
    left = 0

    async def generated() -> AsyncIterator[Event]:
        for at in range(0, len(text), size):
            lags.append(at - left)  # all that came before has been judged by now
            yield TextDelta(text[at : at + size])
        yield Finish("stop", None)

    async for one in validate(Generated(grounded(), generated()), REAL, Verdict()):
        left += len(one.event.text) if isinstance(one.event, TextDelta) else 0
    assert max(lags) <= lag_max
    assert left == len(text)
