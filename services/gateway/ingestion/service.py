"""The ingestion service: every registered workload's queue, worked off side by side."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.gateway.adapters.audit_chain import audit_chain
from services.gateway.adapters.aws import AWS_ERRORS, describe
from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.database import connect
from services.gateway.adapters.document_bucket import S3DocumentBucket
from services.gateway.adapters.document_queue import SqsDocumentQueue
from services.gateway.adapters.document_store import PgDocumentStore
from services.gateway.adapters.embeddings import BedrockEmbeddings, OpenAIEmbeddings
from services.gateway.adapters.envelope import Envelope, KmsKeys
from services.gateway.adapters.registration_marks import DatabaseMarks
from services.gateway.adapters.registrations import S3Registrations, Source
from services.gateway.adapters.tls import aws_session
from services.gateway.adapters.upstream import Upstream
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.exchange import Registration, Unavailable
from services.gateway.ingestion.figures import metric_line, table
from services.gateway.ingestion.queue_loop import QueueLoop, Report
from services.gateway.ingestion.worker import Outcome, Worker
from services.gateway.ports import Detectors, Embeddings
from services.gateway.settings import Settings, own_model_hosts

LOOK_AROUND_S = 5.0
_logger = logging.getLogger(__name__)
_SHAPING = ("*.py", "*/*.py", "../detectors/*.py", "../detectors/*.toml")


async def run(settings: Settings, *, once: bool) -> int:
    """The exit code. `once`: until the queues are empty, then a table; else until SIGTERM."""
    service = _Service(settings)
    async with service.opened():
        return await service.once() if once else await service.forever()


class _Service:
    def __init__(self, settings: Settings) -> None:
        aws = aws_session(settings.region)
        self._settings = settings
        self._upstream = Upstream(own_model_hosts(settings.models), settings.model_authority)
        self._database = connect(settings)
        self._audit = audit_chain(settings, self._database)
        self._registrations = S3Registrations(
            aws,
            Source(settings.registration_bucket, settings.registration_key_arn, settings.environment),
            DatabaseMarks(self._database),
        )
        self._worker = Worker(
            bucket=S3DocumentBucket(settings.region),
            detectors=Detectors(CredentialDetector(), PersonalDataDetector(), PromptInjectionDetector()),
            embeddings=_embeddings(settings, self._upstream),
            audit=self._audit,
            store=PgDocumentStore(
                self._database,
                Envelope(KmsKeys(settings.region)),
                settings.embedding_model,
                settings.embedding_dimensions,
            ),
            recipe=recipe(settings),
        )
        self._told: list[tuple[Outcome, Registration]] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:
            await self._upstream.start()
            parts.push_async_callback(self._upstream.close)
            parts.push_async_callback(self._database.close)
            parts.push_async_callback(self._audit.close)
            await self._audit.start()
            yield

    async def once(self) -> int:
        await self._load()
        loops = [self._loop(registration, self._tell) for registration in self._registrations.all()]
        await asyncio.gather(*(loop.drain() for loop in loops))
        print(table(self._told))
        failures = sorted({failure for loop in loops for failure in loop.failures})
        if failures:
            print(f"some documents were left in their queue: {'; '.join(failures)}")
        return 1 if failures else 0

    async def forever(self) -> int:
        stopping = asyncio.Event()
        events = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            events.add_signal_handler(number, stopping.set)
        await self._registrations.start()
        try:
            await self._tend_loops(stopping)
        finally:
            await self._registrations.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                events.remove_signal_handler(number)
        return 0

    async def _load(self) -> None:
        try:
            await self._registrations.refresh()
        except AWS_ERRORS as error:
            raise Unavailable("registrations", describe(error)) from error
        await self._registrations.ready()

    async def _tend_loops(self, stopping: asyncio.Event) -> None:
        """A loop for every workload; a workload that is registered later gets one then."""
        running: dict[str, asyncio.Task[None]] = {}
        while not stopping.is_set():
            for registration in self._registrations.all():
                # The queue is part of the name: a registration that moves to another one gets a new loop.
                name = f"{registration.workload} {registration.document_queue_url}"
                if name not in running or _ended(running[name]):
                    running[name] = asyncio.create_task(self._loop(registration, _print_metrics).run(stopping))
            await _wait(stopping, LOOK_AROUND_S)
        await asyncio.gather(*running.values())

    def _loop(self, registration: Registration, report: Report) -> QueueLoop:
        workload, queue_url = registration.workload, registration.document_queue_url
        queue = SqsDocumentQueue(self._settings.region, queue_url, registration.dead_letter_queue_url)

        def current() -> Registration | None:
            known = {registration.workload: registration for registration in self._registrations.all()}.get(workload)
            return known if known is not None and known.document_queue_url == queue_url else None

        return QueueLoop(queue, self._worker, current, report)

    def _tell(self, outcome: Outcome, registration: Registration) -> None:
        self._told.append((outcome, registration))


def _ended(task: asyncio.Task[None]) -> bool:
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("a queue's loop broke off and begins anew: %s", type(error).__name__)
    return task.done()


def _print_metrics(outcome: Outcome, registration: Registration) -> None:
    print(metric_line(outcome, registration), flush=True)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()


def recipe(settings: Settings) -> str:
    """How documents are made into passages: when this changes, the same document is ingested anew."""
    digest = hashlib.sha256(f"{settings.embedding_model}:{settings.embedding_dimensions}".encode())
    for pattern in _SHAPING:
        for path in sorted(Path(__file__).parent.glob(pattern)):
            digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def _embeddings(settings: Settings, upstream: Upstream) -> Embeddings:
    offer = next(offer for offer in settings.models if offer.id == settings.embedding_model)
    if offer.backend == "bedrock":
        signed = SignedRequests(aws_session(settings.region), "bedrock-runtime", "bedrock")
        return BedrockEmbeddings(upstream, signed, offer, settings.embedding_dimensions)
    return OpenAIEmbeddings(upstream, offer, settings.embedding_dimensions)
