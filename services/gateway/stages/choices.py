"""Several answers to one prompt: as many model calls at once, each judged by itself, merged as they come.

Every choice has its own call, meter and hold-back, so that the text of one never completes that of another.
They stand and fall together: the first that is blocked or fails ends all the others. A blocked one leaves
`content_filter` for every choice that has not finished yet; a whole answer then holds no text at all, since
asking n times must not be n tries at what is forbidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from time import monotonic

from msgspec.structs import replace

from services.gateway.exchange import Finish, Grounded, Released, ReleasedChoice, TextDelta, ToolCallReady, Usage
from services.gateway.ports import Detectors, Model
from services.gateway.stages.model_call import Meter, close, generate
from services.gateway.stages.output_validation import Verdict, validate
from services.gateway.stages.worst_case import size_bytes

UNFINISHED = "unfinished"

_SEEDS = 1 << 64
_GRAVEST_FIRST = ("content_filter", "length", "tool_calls", "stop")


class Meters(Meter):
    """What the calls of one request have used so far, together."""

    __slots__ = ("each",)

    def __init__(self, choices: int) -> None:
        super().__init__()
        self.each = tuple(Meter() for _ in range(choices))

    @property
    def estimated(self) -> bool:
        return any(meter.estimated for meter in self.each)

    @property
    def usage(self) -> Usage:
        used = [meter.usage for meter in self.each]
        return Usage(
            sum(usage.input_tokens for usage in used),
            sum(usage.output_tokens for usage in used),
            sum(usage.cache_read_tokens for usage in used),
            sum(usage.cache_write_tokens for usage in used),
        )


class Choices:
    """The answers to one prompt. `meters` and `verdict` are those of the whole request, complete when it has ended."""

    def __init__(
        self, grounded: Grounded, backends: Mapping[str, Model], detectors: Detectors, meters: Meters, verdict: Verdict
    ) -> None:
        self._grounded = grounded
        self._backends = backends
        self._detectors = detectors
        self._meters = meters
        self._verdict = verdict
        self._verdicts = tuple(Verdict() for _ in meters.each)
        # No longer than there are choices: whoever reads slowly slows the calls down.
        self._ready: asyncio.Queue[ReleasedChoice | Exception] = asyncio.Queue(len(meters.each))
        self.finishes = [UNFINISHED] * len(meters.each)

    async def released(self) -> AsyncGenerator[ReleasedChoice, None]:
        """Events as they are covered, a whole answer's by choice and at the end; all calls have ended before the last
        `Finish`. Denied when a call fails.
        """
        whole = not self._grounded.governed.admitted.submission.stream
        calls = [asyncio.create_task(self._call(index)) for index in range(len(self.finishes))]
        held: list[ReleasedChoice] = []
        unfinished = len(calls)
        try:
            while unfinished:
                one = await self._next()
                if self._blocked:  # also what was covered a moment before is not released any more
                    break
                unfinished -= isinstance(one.event, Finish)
                if whole or not unfinished:
                    held.append(one)
                else:
                    yield self._counted(one)
        finally:
            await self._end(calls)
        for one in self._filtered() if self._blocked else sorted(held, key=lambda one: one.index):
            yield self._counted(one)

    async def _call(self, index: int) -> None:
        """One choice, from its call to its finish; what goes wrong is raised where the others are waited for."""
        meter, verdict = self._meters.each[index], self._verdicts[index]
        try:
            generated = generate(_share(self._grounded, index), self._backends, meter)
            try:
                async with aclosing(self._timed(validate(generated, self._detectors, verdict), meter)) as judged:
                    async for released in judged:
                        await self._ready.put(ReleasedChoice(released.event, index))
            finally:
                await close(generated.events)
        except Exception as error:  # noqa: BLE001 - `_next` raises it
            await self._ready.put(error)

    async def _timed(self, validated: AsyncIterator[Released], meter: Meter) -> AsyncGenerator[Released, None]:
        """While a choice is judged `_next` waits for it, but that time is the gateway's own."""
        began_at, waited_s = monotonic(), meter.waited_s
        try:
            async for released in validated:
                self._meters.waited_s -= monotonic() - began_at - (meter.waited_s - waited_s)
                yield released
                began_at, waited_s = monotonic(), meter.waited_s
        finally:
            await close(validated)

    async def _next(self) -> ReleasedChoice:
        asked_at = monotonic()
        one = await self._ready.get()
        self._meters.waited_s += monotonic() - asked_at
        if isinstance(one, Exception):
            raise one
        return one

    @property
    def _blocked(self) -> bool:
        return any(verdict.blocked_by for verdict in self._verdicts)

    def _filtered(self) -> list[ReleasedChoice]:
        """The end of every choice that has none yet."""
        unfinished = [index for index, reason in enumerate(self.finishes) if reason == UNFINISHED]
        return [ReleasedChoice(Finish("content_filter", None), index) for index in unfinished]

    def _counted(self, one: ReleasedChoice) -> ReleasedChoice:
        if isinstance(one.event, TextDelta):
            self._verdict.released_bytes += size_bytes(one.event.text)
        elif isinstance(one.event, ToolCallReady):
            self._verdict.released_bytes += size_bytes(one.event.call.arguments)
        else:
            self.finishes[one.index] = one.event.reason
        return one

    async def _end(self, calls: Sequence[asyncio.Task[None]]) -> None:
        """Cuts what still runs, and adds up what all have used and what was decided about them."""
        for call in calls:
            call.cancel()
        try:
            await asyncio.wait(calls)
        finally:
            self._meters.model_version = _together(meter.model_version for meter in self._meters.each)
            self._meters.guardrail = tuple(sorted({said for meter in self._meters.each for said in meter.guardrail}))
            self._verdict.blocked_by = _together(verdict.blocked_by for verdict in self._verdicts)
            self._verdict.calls_refused = sum(verdict.calls_refused for verdict in self._verdicts)
            for verdict in self._verdicts:
                self._verdict.masked.update(verdict.masked)


def gravest(finishes: Sequence[str]) -> str:
    """The reason that stands for all: of several ends the one that kept most from the caller."""
    return min(finishes, key=_GRAVEST_FIRST.index)


def _share(grounded: Grounded, index: int) -> Grounded:
    """What the call of one choice sees: its own part of the reserved tokens, and an id that no other call has.

    Servers refuse a second call of an id that they are still answering. A seed would make all choices equal, so each
    has the next one, as vLLM does for its own `n`.
    """
    admitted = grounded.governed.admitted
    submission, lease = admitted.submission, admitted.lease
    seed = submission.parameters.seed
    one = replace(
        submission,
        request_id=f"{submission.request_id}-{index}",
        parameters=replace(submission.parameters, seed=None if seed is None else _next_seed(seed, index)),
    )
    part = replace(lease, output_tokens=lease.output_tokens // submission.choices)
    return replace(
        grounded, governed=replace(grounded.governed, admitted=replace(admitted, submission=one, lease=part))
    )


def _next_seed(seed: int, index: int) -> int:
    """Within 64 bits, the first after the last."""
    return (seed + index + _SEEDS // 2) % _SEEDS - _SEEDS // 2


def _together(words: Iterable[str]) -> str:
    return ",".join(sorted(set(words) - {""}))
