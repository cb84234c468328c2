"""An upstream that fails as often as not before it says anything: whoever asks it needs a fallback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from random import Random

from services.gateway.adapters.circuits import Circuits, GuardedModel
from services.gateway.adapters.upstream import Throttled, upstream_failed
from services.gateway.exchange import Denied, Event, Grounded, ModelOffer
from services.gateway.ports import Model
from tests.services.gateway import fakes

SPARE = "spare"
SILENT_S = 3.0  # before it is given up


class FirstUpstream:
    """Passes on to the backend what it does not fail at."""

    def __init__(self, backend: Model, random: Random) -> None:
        self._backend = backend
        self._random = random

    async def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        fate = self._random.choice(("well", "well", "error", "quota", "silence"))
        if fate == "error":
            raise upstream_failed("status 500")
        if fate == "quota":
            raise Throttled("status 429")
        if fate == "silence":
            await asyncio.sleep(SILENT_S)
            raise Denied("model_call", "timeout", status=504, code="upstream_timeout", public="")
        async for event in self._backend.generate(grounded):
            yield event

    def models(self) -> dict[str, ModelOffer]:
        """The first one and what stands in for it, which costs more."""
        spare = fakes.offer(
            SPARE,
            backend=SPARE,
            usd_per_million_input_tokens=Decimal("1.5"),
            usd_per_million_output_tokens=Decimal(3),
        )
        return {"local": replace(fakes.offer(), fallbacks=(SPARE,)), SPARE: spare}

    def backends(self) -> dict[str, Model]:
        """Of one gateway: each has circuits of its own."""
        circuits = Circuits(self.models().values())
        return {"openai": GuardedModel(self, circuits), SPARE: GuardedModel(self._backend, circuits)}
