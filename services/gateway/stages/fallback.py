"""Fallback: when a model's upstream fails before it says anything, the next model of its chain is asked.

(1) Only before the first event, and only where the upstream is at fault: not where a control blocked, not where the
    caller asked for what cannot be, not after a word of an answer.
(2) The chain is what admission left of the catalogue's: models that the role and Cedar allow to this caller. None has
    a looser boundary or a smaller context, and the money set aside covers the dearest.
(3) All of it has one deadline. When nobody answers, the caller learns how the model that was asked for failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from time import monotonic

from msgspec.structs import replace

from services.gateway.exchange import Denied, Event, Generated, Grounded, ModelOffer
from services.gateway.ports import Model
from services.gateway.stages import model_call
from services.gateway.stages.model_call import Meter, close

BEGINS_WITHIN_S = 180.0  # the first event of whichever model; the transport gives one call 120 s of silence


def generate(grounded: Grounded, backends: Mapping[str, Model], meter: Meter) -> Generated:
    """The model's answer, or that of the first of its fallbacks that gives one."""
    if not grounded.governed.admitted.fallbacks:
        return model_call.generate(grounded, backends, meter)
    return Generated(grounded, _first_that_answers(grounded, backends, meter))


async def _first_that_answers(grounded: Grounded, backends: Mapping[str, Model], meter: Meter) -> AsyncIterator[Event]:
    ends_at = monotonic() + BEGINS_WITHIN_S
    failure: Denied | None = None
    for link in _chain(grounded):
        if failure is not None:
            meter.model = link.governed.admitted.model  # whose price holds from here on
        asked_at = monotonic()
        events = model_call.generate(link, backends, meter).events
        try:
            event = await _first(events, None if failure is None else ends_at - asked_at)
        except (Denied, TimeoutError) as error:
            await close(events)
            meter.failed()
            meter.waited_s += monotonic() - asked_at
            failure = failure or _if_the_upstreams_fault(error)
            if monotonic() >= ends_at:
                break
            continue
        try:
            if failure is not None:
                meter.fell_back(failure)
            yield event
            async for event in events:
                yield event
        finally:
            await close(events)
        return
    meter.model = None
    assert failure is not None  # noqa: S101 - a chain has a first link
    raise failure


def _chain(grounded: Grounded) -> Iterator[Grounded]:
    """The same prompt for one model after the other."""
    yield grounded
    for model in grounded.governed.admitted.fallbacks:
        yield _asked_of(model, grounded)


def _asked_of(model: ModelOffer, grounded: Grounded) -> Grounded:
    governed = grounded.governed
    return replace(grounded, governed=replace(governed, admitted=replace(governed.admitted, model=model)))


async def _first(events: AsyncIterator[Event], within_s: float | None) -> Event:
    """The first event; TimeoutError where it does not come in time."""
    async with asyncio.timeout(within_s):
        return await anext(events)


def _if_the_upstreams_fault(error: Denied | TimeoutError) -> Denied:
    """The failure of the model that was asked for, where another model could do better; raised where none could."""
    if isinstance(error, Denied) and error.status >= 500:
        return error
    raise error
