"""Works off one workload's queue. A document that cannot be ingested never stops the next one.

A message is deleted when everything in it is dealt with, and handed back when a part did not answer: then the
loop waits a moment and goes on, so it heals with the part. Whatever fails in another way fails again: it is
buried with a reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from services.gateway.document_ports import DeadLetter, DocumentQueue, Message
from services.gateway.exchange import Registration, Unavailable
from services.gateway.ingestion.events import Upload, read_event
from services.gateway.ingestion.rejection import Reason, Rejected
from services.gateway.ingestion.worker import REJECTED, Outcome, Worker

RETRY_DELAY_S = 30
PAUSE_S = 5.0
WAIT_S = 5
WAIT_ONCE_S = 1

Report = Callable[[Outcome, Registration], None]

_logger = logging.getLogger(__name__)


class QueueLoop:
    """`report` hears what became of each document."""

    def __init__(
        self,
        queue: DocumentQueue,
        worker: Worker,
        registration: Callable[[], Registration | None],
        report: Report,
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._registration = registration
        self._report = report
        self.failures: list[str] = []  # what did not answer, since the start

    async def drain(self) -> None:
        """Until the queue is empty."""
        while await self._turn(WAIT_ONCE_S):
            pass

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, or until the workload is not registered any more; what was begun is finished."""
        while not stopping.is_set() and self._registration() is not None:
            failures = len(self.failures)
            try:
                await self._turn(WAIT_S, stopping)
            except Unavailable as failure:
                self._failed(failure)
            if len(self.failures) > failures:
                await _pause(stopping)

    async def _turn(self, wait_s: int, stopping: asyncio.Event | None = None) -> bool:
        """One batch of messages; False when there was none."""
        receiving = asyncio.ensure_future(self._queue.receive(wait_s))
        if stopping is not None and not await _first(receiving, stopping):
            return False
        messages = await receiving
        await asyncio.gather(*(self._deal_with(message) for message in messages))
        return bool(messages)

    async def _deal_with(self, message: Message) -> None:
        try:
            await self._work_off(message)
            await self._queue.done(message)
        except Unavailable as failure:
            self._failed(failure)
            await self._hand_back(message)

    async def _work_off(self, message: Message) -> None:
        registration = self._registration()
        if registration is None:
            raise Unavailable("ingestion", "the workload is not registered any more")
        try:
            uploads = read_event(message.body)
        except Rejected as rejected:
            uploads = ()
            await self._bury(Outcome(Upload("", ""), REJECTED, reason=rejected.reason), registration)
        for upload in uploads:
            outcome = await self._ingest(upload, registration)
            if outcome.result == REJECTED:
                await self._bury(outcome, registration)
            else:
                self._report(outcome, registration)

    async def _ingest(self, upload: Upload, registration: Registration) -> Outcome:
        try:
            return await self._worker.ingest(upload, registration)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the next document must not wait for it
            # The kind only: what an error says can quote the document.
            _logger.error("a document could not be ingested: %s", type(error).__name__)  # noqa: TRY400
            return Outcome(upload, REJECTED, reason=Reason.INTERNAL_ERROR)

    async def _bury(self, outcome: Outcome, registration: Registration) -> None:
        reason = (outcome.reason or Reason.INTERNAL_ERROR).value
        await self._queue.bury(DeadLetter(outcome.upload.bucket, outcome.upload.key, reason))
        self._report(outcome, registration)

    async def _hand_back(self, message: Message) -> None:
        try:
            await self._queue.give_back(message, RETRY_DELAY_S)
        except Unavailable as failure:  # then the queue hands it out again by itself, later
            self._failed(failure)

    def _failed(self, failure: Unavailable) -> None:
        self.failures.append(str(failure))
        del self.failures[:-20]
        _logger.warning("ingestion waits: %s", failure)


async def _first(receiving: asyncio.Future[Sequence[Message]], stopping: asyncio.Event) -> bool:
    """True when messages came before the order to stop."""
    stopped = asyncio.ensure_future(stopping.wait())
    either: set[asyncio.Future[Any]] = {receiving, stopped}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if receiving.done():
        return True
    receiving.cancel()
    return False


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(PAUSE_S):
            await stopping.wait()
    except TimeoutError:
        return
