"""One document from its upload to its passages.

In this order: (1) the upload is one of the workload's (2) fetch (3) read (4) clean (5) classify (6) cut and
embed (7) record (8) store. A document that is stored already goes no further than fetching. The record comes
before the passages: what can be retrieved was recorded.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

from services.gateway.document_ports import (
    Document,
    DocumentBucket,
    DocumentStore,
    Outdated,
    Passage,
    Source,
    SourceMissing,
    SourceTooLarge,
)
from services.gateway.exchange import AuditRecord, Denied, Registration, Unavailable
from services.gateway.ingestion.chunking import cut
from services.gateway.ingestion.classification import classify
from services.gateway.ingestion.cleaning import Cleaned, Cleaner
from services.gateway.ingestion.events import Location, Upload, locate
from services.gateway.ingestion.extraction import extract, kind_of
from services.gateway.ingestion.rejection import Reason, Rejected
from services.gateway.ports import AuditLog, Detector, Detectors, Embeddings
from services.gateway.stages.screening import found

SOURCE_BYTES_MAX = 20 << 20
TEXTS_PER_CALL_MAX = 32
INGESTED, UNCHANGED, OUTDATED, REJECTED = "ingested", "unchanged", "outdated", "rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one upload. Names and counts only."""

    upload: Upload
    result: str  # ingested, unchanged, outdated or rejected
    location: Location | None = None
    reason: Reason | None = None
    digest: str = ""
    data_class: str = ""
    chunks: int = 0
    redactions: Mapping[str, int] = field(default_factory=dict)
    lines_removed: Mapping[str, int] = field(default_factory=dict)


class Worker:
    """Ingests documents one by one. `recipe` names everything that shapes passages but the document itself."""

    def __init__(
        self,
        bucket: DocumentBucket,
        detectors: Detectors,
        embeddings: Embeddings,
        audit: AuditLog,
        store: DocumentStore,
        recipe: str,
    ) -> None:
        self._bucket = bucket
        self._detectors = detectors
        self._embeddings = embeddings
        self._audit = audit
        self._store = store
        self._recipe = recipe

    async def ingest(self, upload: Upload, registration: Registration) -> Outcome:
        """What became of the document; Unavailable when it has to be tried again."""
        outcome = Outcome(upload, REJECTED)
        try:
            outcome = await self._ingest(upload, registration)
        except Rejected as rejected:
            outcome = replace(outcome, location=_location(upload, registration), reason=rejected.reason)
        if outcome.result != INGESTED:  # that one was recorded before it was stored
            await self._record(outcome, registration)
        return outcome

    async def _ingest(self, upload: Upload, registration: Registration) -> Outcome:
        location = locate(upload, registration)
        self._check_name(location)
        source = await self._fetch(upload)
        document = self._document(location, source, registration)
        outcome = Outcome(upload, UNCHANGED, location, digest=document.digest, data_class=document.data_class.value)
        if await self._store.holds(registration, document):
            return outcome
        cleaned = await self._cleaned(location.name, source.content)
        document = replace(document, data_class=classify(registration.data_class, cleaned.redactions))
        passages = await self._passages(cleaned.text)
        outcome = replace(
            outcome,
            result=INGESTED,
            data_class=document.data_class.value,
            chunks=len(passages),
            redactions=cleaned.redactions,
            lines_removed=cleaned.lines_removed,
        )
        await self._record(outcome, registration)
        try:
            await self._store.replace(registration, document, passages)
        except Outdated:
            return replace(outcome, result=OUTDATED, chunks=0)
        return outcome

    def _check_name(self, location: Location) -> None:
        """Names are shown to models and people as they are."""
        kind_of(location.name)
        for text in (location.collection, location.name):
            if any(found(detector, text) for detector in _all(self._detectors)):
                raise Rejected(Reason.UNSAFE_NAME)

    async def _fetch(self, upload: Upload) -> Source:
        try:
            return await self._bucket.fetch(upload.bucket, upload.key, SOURCE_BYTES_MAX)
        except SourceMissing:
            raise Rejected(Reason.MISSING) from None
        except SourceTooLarge:
            raise Rejected(Reason.TOO_LARGE) from None

    def _document(self, location: Location, source: Source, registration: Registration) -> Document:
        return Document(
            tenant=location.tenant,
            collection=location.collection,
            name=location.name,
            digest=f"sha256:{hashlib.sha256(source.content).hexdigest()}",
            recipe=self._recipe,
            data_class=registration.data_class,
            modified_at=source.modified_at,
        )

    async def _cleaned(self, name: str, content: bytes) -> Cleaned:
        text = await extract(name, content)
        try:
            return await asyncio.to_thread(Cleaner(self._detectors).clean, text)
        except Unavailable as failure:  # a detector failed on this very text, and would again
            raise Rejected(Reason.INTERNAL_ERROR) from failure

    async def _passages(self, text: str) -> tuple[Passage, ...]:
        texts = await asyncio.to_thread(cut, text)
        passages: list[Passage] = []
        for batch in _batches(texts):
            vectors = await self._embedded(batch)
            passages += (Passage(text, vector) for text, vector in zip(batch, vectors, strict=True))
        return tuple(passages)

    async def _embedded(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        try:
            return await self._embeddings.embed(texts)
        except Unavailable:
            raise
        except Denied:
            raise Rejected(Reason.EMBEDDING_REFUSED) from None

    async def _record(self, outcome: Outcome, registration: Registration) -> None:
        await self._audit.append(AuditRecord("ingestion", f"ing_{uuid4().hex}", _body(outcome, registration)))


def _location(upload: Upload, registration: Registration) -> Location | None:
    try:
        return locate(upload, registration)
    except Rejected:
        return None


def _all(detectors: Detectors) -> tuple[Detector, ...]:
    return detectors.credentials, detectors.personal_data, detectors.prompt_injection


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), TEXTS_PER_CALL_MAX):
        yield texts[start : start + TEXTS_PER_CALL_MAX]


def _body(outcome: Outcome, registration: Registration) -> dict[str, str | int | tuple[str, ...] | None]:
    """Identities, digests and counts. An upload outside the tenant's places is named by a digest only."""
    location = outcome.location
    key_digest = f"sha256:{hashlib.sha256(outcome.upload.key.encode()).hexdigest()}"
    return {
        "workload": registration.workload,
        "registration": registration.digest,
        "tenant": location.tenant if location else None,
        "collection": location.collection if location else None,
        "document": location.name if location and outcome.reason is not Reason.UNSAFE_NAME else None,
        "key_digest": key_digest,
        "document_digest": outcome.digest or None,
        "result": outcome.result,
        "reason": outcome.reason.value if outcome.reason else None,
        "data_class": outcome.data_class or None,
        "chunks": outcome.chunks,
        "redactions": _counts(outcome.redactions),
        "lines_removed": _counts(outcome.lines_removed),
    }


def _counts(counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{kind}:{count}" for kind, count in sorted(counts.items()))
