"""The journey of a request that wants several answers to its prompt: all stages once, but the model calls.

One admission for the worst case of all of them, one intent, one retrieval, one outcome. A choice may end before the
others; the last `Finish` leaves only after the outcome record, which covers them all, is durable.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec.structs import replace

from services.gateway.exchange import Caller, Denied, Finish, Released, ReleasedChoice, Submission, Usage
from services.gateway.pipeline import Journey, Observer, unexpected
from services.gateway.ports import Ports
from services.gateway.stages.audit import Outcome
from services.gateway.stages.choices import UNFINISHED, Choices, Meters, gravest


class ChoicesJourney(Journey):
    """One submission and its answers on their way through all the stages."""

    def __init__(self, submission: Submission, caller: Caller, ports: Ports, observe: Observer) -> None:
        super().__init__(submission, caller, ports, observe)
        self._meters = self._meter = Meters(submission.choices)
        self._choices: Choices | None = None

    async def answer(self) -> AsyncGenerator[Released, None]:
        """Released events of all choices as they come, each with its own `Finish`. Denied when one is refused."""
        try:
            # Its own call never begins: every choice has one.
            grounded = (await self._generate(await self._intend())).grounded
            self._choices = Choices(grounded, self._ports.backends, self._ports.detectors, self._meters, self._verdict)
            async with aclosing(self._choices.released()) as events:
                async for released in events:
                    self._timeline.released()
                    yield await self._paid(released, self._choices.finishes)
                    self._sent_bytes = self._verdict.released_bytes
        except Exception as error:
            await self._deny(error if isinstance(error, Denied) else unexpected(error))
            raise
        finally:
            await self._hang_up()

    async def _paid(self, released: ReleasedChoice, finishes: list[str]) -> ReleasedChoice:
        """The event; the last one of all only after its record is durable, and with what all used."""
        if UNFINISHED in finishes:
            return released
        await self._close(gravest(finishes))
        finish = Finish(finishes[released.index], self._meter.usage, self._meter.model_version)
        return ReleasedChoice(finish, released.index)

    def _outcome(self, finish: str, reason: str, usage: Usage | None) -> Outcome:
        finishes = self._choices.finishes if self._choices is not None else ()
        return replace(super()._outcome(finish, reason, usage), finishes=tuple(finishes))
