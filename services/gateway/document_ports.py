"""What ingestion needs from the world, as protocols. Vendors implement them in `adapters/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.gateway.exchange import DataClass, Registration


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a queue. `receipt` is what the queue wants to hear when it is done with."""

    id: str
    receipt: str
    body: str
    receives: int  # how often it was handed out, this time included


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document that cannot be ingested, and why. Never any of its content."""

    bucket: str
    key: str
    reason: str


class DocumentQueue(Protocol):
    async def receive(self, wait_s: int) -> Sequence[Message]:
        """Up to ten messages, waiting for the first; Unavailable when the queue does not answer."""

    async def done(self, message: Message) -> None:
        """The message is dealt with for good."""

    async def give_back(self, message: Message, delay_s: int) -> None:
        """Nobody sees the message for `delay_s`; then it is handed out again."""

    async def bury(self, letter: DeadLetter) -> None:
        """Puts a dead letter where its owner finds it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it lies in the bucket."""

    content: bytes
    modified_at: datetime


class SourceMissing(Exception):
    """There is no such object (any more)."""


class SourceTooLarge(Exception):
    """The object is larger than allowed; not read."""


class DocumentBucket(Protocol):
    async def fetch(self, bucket: str, key: str, bytes_max: int) -> Source:
        """The object; SourceMissing, SourceTooLarge, or Unavailable."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of one tenant, as it is to be stored."""

    tenant: str
    collection: str
    name: str
    digest: str  # sha256:<64 hex> of the source's bytes
    recipe: str  # how it was made into passages
    data_class: DataClass
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Passage:
    text: str
    embedding: tuple[float, ...]


class Outdated(Exception):
    """A newer version of the document is stored already."""


class DocumentStore(Protocol):
    async def holds(self, registration: Registration, document: Document) -> bool:
        """True when exactly this document, made by this recipe, is stored."""

    async def replace(self, registration: Registration, document: Document, passages: Sequence[Passage]) -> None:
        """Stores the document in place of what was there, all or nothing; Outdated when a newer one is stored."""
