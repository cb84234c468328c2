"""An upstream that fails again and again is left alone for a moment, and tried by one; nobody else's fault counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import repeat

import pytest
from msgspec.structs import replace

from services.gateway.adapters.circuits import (
    FAILURES_MAX,
    PAUSE_S,
    SILENT_S,
    THROTTLED_MAX,
    THROTTLED_PAUSE_S,
    Circuits,
    GuardedEmbeddings,
    GuardedModel,
)
from services.gateway.adapters.upstream import Throttled, upstream_failed
from services.gateway.exchange import Denied, Event, Grounded, ModelOffer, Reservation, TextDelta, Unavailable
from services.gateway.operator_page import Chains, page
from services.gateway.readiness import READY, State
from tests.services.gateway.fakes import FakeEmbeddings, FakeModel, offer, says
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

FAILED = upstream_failed("status 500")
TIMED_OUT = Denied("model_call", "timeout", status=504, code="upstream_timeout", public="")
REJECTED = Denied("model_call", "status 400", status=400, code="upstream_rejected", public="")
NO_CREDENTIALS = Unavailable("model_call", "no AWS credentials")
THROTTLED = Throttled("status 429")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Site:
    """One backend whose answers are a list: what is raised, or None for an answer."""

    def __init__(self, *models: ModelOffer) -> None:
        self.clock = Clock()
        self.circuits = Circuits(models or (offer(),), self.clock)
        self.backend = FakeModel()
        self.guarded = GuardedModel(self.backend, self.circuits)

    @property
    def asked(self) -> int:
        return len(self.backend.prompts)

    async def ask(self, fails: Exception | None = None, model: ModelOffer | None = None) -> str:
        """What came of it: the text, or the code of the refusal."""
        self.backend.script = says("yes") if fails is None else lambda _: [fails]
        text = ""
        try:
            async for event in self.guarded.generate(prompt(model)):
                text += event.text if isinstance(event, TextDelta) else ""
        except Denied as denied:
            return denied.code
        return text

    async def fail(self, times: int, *how: Exception) -> list[str]:
        return [await self.ask(one) for _, one in zip(range(times), repeat(how[0] if how else FAILED), strict=False)]


def prompt(model: ModelOffer | None = None) -> Grounded:
    return grounded_prompt(admitted_prompt(model=model))


@pytest.mark.parametrize("how", [FAILED, TIMED_OUT], ids=["errors", "timeouts"])
async def test_failures_in_a_row_open_it_and_then_nobody_asks(how: Denied) -> None:
    site = Site()
    assert set(await site.fail(FAILURES_MAX, how)) == {how.code}
    asked = site.asked
    assert await site.ask() == "upstream_unavailable"
    assert site.asked == asked


async def test_one_failure_fewer_does_not_open_it() -> None:
    site = Site()
    await site.fail(FAILURES_MAX - 1)
    assert await site.ask() == "yes"


async def test_a_success_between_failures_starts_the_count_anew() -> None:
    site = Site()
    await site.fail(FAILURES_MAX - 1)
    await site.ask()
    await site.fail(FAILURES_MAX - 1)
    assert await site.ask() == "yes"


@pytest.mark.parametrize("fault", [REJECTED, NO_CREDENTIALS], ids=["the caller's", "ours"])
async def test_what_is_not_the_upstreams_fault_does_not_count(fault: Denied) -> None:
    site = Site()
    await site.fail(3 * FAILURES_MAX, fault)
    assert await site.ask() == "yes"


async def test_a_refusal_at_once_says_when_to_come_back() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    with pytest.raises(Denied) as denied:
        await anext(site.guarded.generate(prompt()))
    assert (denied.value.status, denied.value.retry_after_s) == (503, PAUSE_S + 1)


async def test_after_the_pause_one_tries_and_the_others_wait() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S
    first = site.guarded.generate(prompt())
    second = site.guarded.generate(prompt())
    site.backend.script = says("yes")
    trying = await anext(first)
    assert trying == TextDelta("yes")
    assert await anext(second) == TextDelta("yes"), "the first event closed it"

    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S
    assert await site.ask(FAILED) == "upstream_error"
    assert await site.ask() == "upstream_unavailable", "the try failed"


async def test_several_calls_for_one_prompt_are_one_try() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S
    circuit = site.circuits.of(offer())
    circuit.enter("one request")
    with pytest.raises(Denied):
        circuit.enter("another")
    with pytest.raises(Denied):
        circuit.enter()
    circuit.enter("one request")


async def test_a_request_for_several_answers_closes_it_as_any_other() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S
    site.backend.script = lambda _: [0.01, TextDelta("yes")]
    own, other = prompt_of_several("one request"), prompt_of_several("another")
    calls = (anext(site.guarded.generate(one)) for one in (own, other, own))
    first, refused, second = await asyncio.gather(*calls, return_exceptions=True)
    assert first == second == TextDelta("yes")
    assert isinstance(refused, Denied)
    assert await site.ask() == "yes"


def prompt_of_several(reservation: str) -> Grounded:
    admitted = admitted_prompt()
    several = replace(admitted.submission, choices=2)
    return grounded_prompt(replace(admitted, submission=several, reservation=Reservation(reservation, Decimal(1))))


async def test_a_try_that_hangs_does_not_put_off_the_next() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S
    site.circuits.of(offer()).enter()  # and nothing more is heard of it
    site.clock.now += PAUSE_S
    assert await site.ask() == "yes"


async def test_what_began_before_it_opened_does_not_put_off_the_try() -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    site.clock.now += PAUSE_S - 1
    site.circuits.of(offer()).failed(FAILED)
    site.clock.now += 1
    assert await site.ask() == "yes"


async def test_a_failure_after_the_first_event_does_not_count() -> None:
    site = Site()
    for _ in range(2 * FAILURES_MAX):
        site.backend.script = lambda _: [TextDelta("x"), FAILED]
        with pytest.raises(Denied):
            [event async for event in site.guarded.generate(prompt())]
    assert await site.ask() == "yes"


async def test_throttling_opens_it_for_a_moment_only_and_is_no_failure() -> None:
    site = Site()
    await site.fail(THROTTLED_MAX, THROTTLED)
    assert await site.ask() == "upstream_unavailable"
    site.clock.now += THROTTLED_PAUSE_S
    assert await site.ask() == "yes"
    await site.fail(FAILURES_MAX - 1)
    assert await site.ask() == "yes"


async def test_throttling_does_not_forgive_failures() -> None:
    site = Site()
    await site.fail(FAILURES_MAX - 1)
    await site.ask(THROTTLED)
    await site.ask(FAILED)
    assert await site.ask() == "upstream_unavailable"


@pytest.mark.parametrize(
    "other",
    [
        offer(base_url="http://127.0.0.1:2/v1"),
        offer(upstream_model="another"),
        offer(backend="sagemaker"),
    ],
    ids=["another host", "another model", "another backend"],
)
async def test_one_upstream_does_not_open_anothers(other: ModelOffer) -> None:
    site = Site()
    await site.fail(FAILURES_MAX)
    assert await site.ask(model=other) == "yes"
    assert await site.ask() == "upstream_unavailable"


async def test_two_entries_of_one_upstream_share_it_and_are_named() -> None:
    site = Site(offer(), offer("cheap"), offer("far", base_url="http://127.0.0.1:2/v1"))
    await site.ask()
    assert not site.circuits.left_alone
    await site.fail(FAILURES_MAX)
    assert await site.ask(model=offer("cheap")) == "upstream_unavailable"
    assert site.circuits.left_alone == ("cheap", "local")


async def test_hanging_up_ends_the_call_behind_it() -> None:
    site = Site()
    site.backend.script = lambda _: [TextDelta("x"), 60.0]
    events = site.guarded.generate(prompt())
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert site.backend.cancelled == 1


@pytest.mark.parametrize(
    ("stream", "silent_s", "opens"),
    [(True, SILENT_S, True), (True, SILENT_S - 1, False), (False, 100 * SILENT_S, False)],
    ids=["long silence", "short silence", "a whole answer is silent by nature"],
)
async def test_streams_given_up_after_a_long_silence_open_it(stream: bool, silent_s: float, opens: bool) -> None:
    site = Site()
    for _ in range(FAILURES_MAX):
        begun = asyncio.Event()
        site.backend.script = lambda _, begun=begun: (begun.set(), 60.0)[1:]  # type: ignore[misc]  # sets, then thinks
        waiting = asyncio.create_task(_first(site, stream=stream))
        await asyncio.wait_for(begun.wait(), 10)
        site.clock.now += silent_s
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await site.ask() == "upstream_unavailable") is opens


async def _first(site: Site, *, stream: bool) -> Event:
    return await anext(site.guarded.generate(grounded_prompt(admitted_prompt(stream=stream))))


class _Failing(FakeEmbeddings):
    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if self.down:
            self.texts += texts
            raise Unavailable("embeddings", "status 500") from FAILED
        return await super().embed(texts)


async def test_embeddings_have_one_too() -> None:
    clock, embeddings = Clock(), _Failing()
    guarded = GuardedEmbeddings(embeddings, Circuits((), clock).of(offer("minilm")))
    embeddings.down = True
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(Unavailable):
            await guarded.embed(["x"])
    assert len(embeddings.texts) == FAILURES_MAX
    embeddings.down = False
    clock.now += PAUSE_S
    assert len(await guarded.embed(["x"])) == 1


async def test_the_operator_page_names_who_is_left_alone_and_nobody_else() -> None:
    site = Site(offer(), offer("far", base_url="http://127.0.0.1:2/v1"))
    await site.fail(FAILURES_MAX)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    parts = State({"database": READY}, draining=False)
    shown, quiet = (
        page("dev", now, parts, "database", Chains(None, 0.0), names) for names in (site.circuits.left_alone, ())
    )
    assert "upstream of local" in shown
    assert "✗ left alone after failures" in shown
    assert "upstream of far" not in shown
    assert "left alone" not in quiet
