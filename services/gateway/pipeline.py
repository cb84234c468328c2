"""The journey of one request. Read this first.

    admit → govern → record intent → retrieve → generate → validate → record outcome → last byte

(1) Nothing is governed that was not admitted; nothing outside is called before the intent is durable;
    nothing is released that no verdict covers; the last byte waits for the outcome record.
(2) A request that is denied before the intent leaves one `refusal`, after it one `outcome`.
(3) Whatever happens, also a caller who hangs up: the upstream call ends, money is settled to what was
    used, the place among the concurrent requests is given back, and the end is written down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from time import monotonic
from typing import Any

from services.gateway.exchange import (
    Admitted,
    Allowance,
    Caller,
    Denied,
    Endpoint,
    Event,
    Finish,
    Generated,
    Governed,
    Grounded,
    Intended,
    Released,
    Submission,
    TextDelta,
    ToolCallReady,
    Usage,
)
from services.gateway.ports import Ports
from services.gateway.stages.admission import admit
from services.gateway.stages.audit import Outcome, record_intent, record_outcome, record_refusal
from services.gateway.stages.fallback import generate
from services.gateway.stages.model_call import Meter, close
from services.gateway.stages.output_validation import Verdict, validate
from services.gateway.stages.prompt_governance import govern
from services.gateway.stages.retrieval import retrieve
from services.gateway.stages.worst_case import caller_tokens_max, price, size_bytes
from services.gateway.timeline import Timeline

log = logging.getLogger(__name__)

Observer = Callable[[Admitted, Outcome], None]
Work = Awaitable[object]
Begun = asyncio.Future[Any]
_closing: set[Begun] = set()  # the loop keeps weak references only


class Journey:
    """One submission on its way through all the stages."""

    def __init__(self, submission: Submission, caller: Caller, ports: Ports, observe: Observer) -> None:
        self._submission = submission
        self._caller = caller
        self._ports = ports
        self._observe = observe
        self._started_at = monotonic()
        self._timeline = Timeline()
        self._meter = Meter()
        self._verdict = Verdict()
        self._admitted: Admitted | None = None
        self._governed: Governed | None = None  # set when the intent is durable
        self._grounded: Grounded | None = None
        self._closed = False
        self._sent_bytes = 0  # of text and arguments, counted where they leave and not where they are judged

    @property
    def accepted(self) -> bool:
        """True once every input control held: only then may a status line leave."""
        return self._governed is not None

    @property
    def allowance(self) -> Allowance | None:
        """What is left of the caller's limits, once the limiter has decided."""
        return None if self._admitted is None else self._admitted.allowance

    def on_fallback(self, tell: Callable[[str], None]) -> None:
        """`tell` is told the id of the model that answers when it is not the one that was asked for."""
        self._meter.on_fallback = tell

    @property
    def own_ms(self) -> float:
        """Time the gateway itself has taken so far."""
        return (monotonic() - self._started_at - self._meter.waited_s) * 1000

    async def answer(self) -> AsyncGenerator[Released, None]:
        """Released events of a chat answer, `Finish` last. Denied when it is refused."""
        generated: Generated | None = None
        try:
            intended = await self._intend()
            generated = await self._generate(intended)
            async for released in validate(generated, self._ports.detectors, self._verdict):
                if isinstance(released.event, Finish):
                    await close(generated.events)
                    released = await self._finish(released.event)
                self._timeline.released()
                yield released
                self._sent_bytes += _size_bytes(released.event)
        except Denied as denied:
            await self._deny(denied)
            raise
        except Exception as error:
            await self._deny(unexpected(error))
            raise
        finally:
            if generated is not None:
                await close(generated.events)
            await self._hang_up()

    async def embed(self) -> tuple[tuple[tuple[float, ...], ...], Usage]:
        """Vectors of the masked texts, one each. Denied when it is refused."""
        try:
            intended = await self._intend()
            texts = [message.text for message in intended.governed.messages]
            asked_at = monotonic()
            self._timeline.enter("model_call")
            vectors = await self._ports.embeddings.embed(texts)
            self._meter.waited_s = monotonic() - asked_at
            usage = Usage(caller_tokens_max(self._submission), 0)
            await self._close("stop", usage=usage)
        except Denied as denied:
            await self._deny(denied)
            raise
        except Exception as error:
            await self._deny(unexpected(error))
            raise
        finally:
            await self._hang_up()
        return vectors, usage

    async def _intend(self) -> Intended:
        self._timeline.enter("admission")
        self._admitted = await admit(self._submission, self._ports)
        self._timeline.enter("prompt_governance")
        governed = govern(self._admitted, self._ports.detectors, self._ports.prompt_hash)
        self._timeline.enter("intent")
        try:
            intended = await record_intent(governed, self._ports.authorization.digest, self._ports.audit)
        except asyncio.CancelledError:  # the record is on its way and nothing calls it back: an outcome belongs to it
            self._governed = governed
            raise
        self._governed = governed
        return intended

    async def _generate(self, intended: Intended) -> Generated:
        ports = self._ports
        self._timeline.enter("retrieval")
        self._grounded = await retrieve(intended, ports.embeddings, ports.documents, ports.detectors.prompt_injection)
        self._timeline.enter("model_call")
        return generate(self._grounded, ports.backends, self._meter)

    async def _finish(self, finish: Finish) -> Released:
        """The last event, which leaves only after its record is durable."""
        await self._close(finish.reason)
        return Released(Finish(finish.reason, self._meter.usage, self._meter.model_version))

    async def _deny(self, denied: Denied) -> None:
        """Writes down why the journey ends here. Raises Unavailable when that cannot be written."""
        if self._closed:
            return
        if self._governed is not None:
            await self._close("failed", reason=f"{denied.stage}: {denied.reason}")
            return
        self._closed = True
        who = self._admitted or self._caller
        record = record_refusal(
            self._submission.request_id,
            self._submission.endpoint,
            denied,
            self._ports.audit,
            who=who,
            policy_digest=self._ports.authorization.digest,
        )
        await _to_the_end(record, self._give_back(Usage(0, 0)))

    async def _hang_up(self) -> None:
        """What is left to do when nobody waits for the answer any more."""
        if self._closed:
            return
        gone = Denied("pipeline", "client disconnected", status=499, code="client_disconnected", public="")
        try:
            await (self._deny(gone) if self._governed is None else self._close("disconnected"))
        except Denied as denied:  # there is nobody left to tell
            log.warning("a disconnect could not be recorded", extra={"stage": denied.stage})

    async def _close(self, finish: str, *, reason: str = "", usage: Usage | None = None) -> None:
        """Outcome, money and limits at once. What was used is paid for even when no record can be written."""
        if self._governed is None or self._closed:
            return
        self._closed = True
        outcome = self._outcome(finish, reason, usage)
        self._observe(self._governed.admitted, outcome)
        try:
            record = record_outcome(self._governed, self._grounded, outcome, self._ports.audit)
        finally:
            given_back = self._give_back(outcome.usage, outcome.usd)
        await _to_the_end(record, given_back)

    def _outcome(self, finish: str, reason: str, usage: Usage | None) -> Outcome:
        assert self._admitted is not None  # noqa: S101 - only called from _close
        used = usage or self._meter.usage
        model = self._meter.model or self._admitted.model
        return Outcome(
            finish=finish,
            usage=used,
            usage_estimated=self._meter.estimated,
            usd=price(model, used),
            model=model,
            fallback_reason=self._meter.fallback_reason,
            model_version=self._meter.model_version,
            guardrail=self._meter.guardrail,
            output_masked=self._verdict.masked,
            blocked_by=self._verdict.blocked_by,
            tool_calls_refused=self._verdict.calls_refused,
            scanned_bytes=self._verdict.released_bytes,
            sent_bytes=self._sent_bytes,
            duration_ms=(monotonic() - self._started_at) * 1000,
            reason=reason,
            first_released_s=self._timeline.first_released_s,
            stages=self._timeline.end(),
        )

    def _give_back(self, usage: Usage, usd: Decimal = Decimal(0)) -> Begun | None:
        """What is given back before the caller may ask again: the place. Money follows by itself."""
        admitted = self._admitted
        if admitted is None:
            return None
        _see_to(self._ports.budget.settle(admitted.reservation, usd))
        return _see_to(self._ports.limits.release(admitted.lease, usage))


def _size_bytes(event: Event) -> int:
    if isinstance(event, TextDelta):
        return size_bytes(event.text)
    return size_bytes(event.call.arguments) if isinstance(event, ToolCallReady) else 0


def unexpected(error: Exception) -> Denied:
    """A failure that nobody foresaw, as the reason why a request ends: its type and no word of it."""
    return Denied("pipeline", type(error).__name__, status=500, code="internal_error", type="server_error", public="")


async def refuse(
    request_id: str, endpoint: Endpoint | None, denied: Denied, ports: Ports, who: Caller | None = None
) -> None:
    """Writes down a refusal that happened before there was a submission."""
    policy_digest = ports.authorization.digest
    await record_refusal(request_id, endpoint, denied, ports.audit, who=who, policy_digest=policy_digest)


async def drain() -> None:
    """Waits for journeys that are still being closed."""
    while _closing:
        await asyncio.gather(*_closing, return_exceptions=True)


async def _to_the_end(record: Work, given_back: Begun | None) -> None:
    """Does all of it, even when the request's own task is cancelled meanwhile. Raises what `record` raised."""
    try:
        await asyncio.shield(_kept(record))
    finally:
        if given_back is not None and not given_back.done():
            with suppress(Exception):  # it is logged
                await asyncio.shield(given_back)


def _see_to(work: Work) -> Begun:
    """Does it, whether anybody waits or not."""
    begun = _kept(work)
    begun.add_done_callback(_seen_to)
    return begun


def _kept(work: Work) -> Begun:
    """Under way. The loop keeps weak references to tasks only; what is no task is kept by its own part."""
    begun = asyncio.ensure_future(work)
    if isinstance(begun, asyncio.Task):
        _closing.add(begun)
        begun.add_done_callback(_closing.discard)
    return begun


def _seen_to(begun: Begun) -> None:
    """Otherwise the worst case stays reserved and the place taken until they expire: closed, not open."""
    if not begun.cancelled() and (error := begun.exception()) is not None:
        log.error("not given back", extra={"error": type(error).__name__})
