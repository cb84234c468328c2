"""What the stages need from the world, as protocols. Vendors implement them in `adapters/`.

Every method that cannot do its work raises `Denied` (the caller's fault) or `Unavailable` (ours): none
returns a value that means "unchecked".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from services.gateway.exchange import (
    AuditRecord,
    Caller,
    Chunk,
    Endpoint,
    Event,
    Finding,
    Grounded,
    Lease,
    ModelOffer,
    Registration,
    Reservation,
    Role,
    Usage,
)


class Identity(Protocol):
    async def authenticate(self, bearer: str) -> Caller:
        """Verifies an OIDC token: Denied 401 for a bad one, Unavailable when keys cannot be had."""


class Registrations(Protocol):
    def find(self, caller: Caller) -> Registration:
        """The registration whose claims and tenants the caller meets; Denied 403 when there is none."""


class Authorization(Protocol):
    @property
    def digest(self) -> str:
        """sha256:<64 hex> of the policies and their schema, for records: computed once, when they are loaded."""

    def authorize(
        self, caller: Caller, registration: Registration, role: Role, endpoint: Endpoint, model: ModelOffer
    ) -> None:
        """Cedar's decision; Denied 403 unless a policy permits and none forbids."""


class Limits(Protocol):
    async def acquire(
        self, caller: Caller, registration: Registration, role: Role, *, input_tokens: int, output_tokens: int
    ) -> Lease:
        """Charges request, token and concurrency limits atomically; Denied 429 with retry_after_s when over."""

    def had_room(self, caller: Caller, registration: Registration, role: Role) -> bool:
        """Whether the last request that this gateway counted in the same limits was within them.

        False as well while nothing can be counted.
        """

    def release(self, lease: Lease, usage: Usage | None) -> Awaitable[object]:
        """Frees the place and corrects the tokens charged in advance; `None` keeps the advance charge.

        May begin before it is awaited.
        """


class Reserving(Protocol):
    """Money that is being set aside. Either awaited once or given up."""

    def __await__(self) -> Generator[Any, None, Reservation]:
        """Denied 429 insufficient_quota when it does not fit. Who stops waiting has given it up."""

    def give_up(self) -> None:
        """What is set aside, now or in a moment, is given back."""


class Budget(Protocol):
    def reserve(
        self, caller: Caller, registration: Registration, role: Role, request_id: str, usd: Decimal, model: str
    ) -> Reserving:
        """Sets money aside in every scope or in none, beginning at once.

        `model` is the id of what it is spent on.
        """

    def settle(self, reservation: Reservation, usd: Decimal) -> Awaitable[None]:
        """Turns a reservation into spending of `usd` (zero releases it). Idempotent; may begin before it is awaited."""


class Embeddings(Protocol):
    @property
    def dimensions(self) -> int:
        """Of every vector."""

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """One vector a text, all of the configured dimension; Unavailable when the backend fails."""


class Documents(Protocol):
    async def search(
        self,
        registration: Registration,
        tenant: str,
        collections: Sequence[str],
        embedding: Sequence[float],
        chunks_max: int,
    ) -> tuple[Chunk, ...]:
        """The nearest passages under row-level security, decrypted with the tenant's data key."""


class Model(Protocol):
    def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        """Canonical events, `Finish` last. Unavailable (503) or Denied 502/504 when the backend fails."""


class AuditLog(Protocol):
    def append(self, record: AuditRecord) -> Awaitable[None]:
        """Done only when the record is durable; Unavailable otherwise: no record, no answer.

        May begin before it is awaited.
        """


class PromptHash(Protocol):
    def digest(self, canonical: bytes) -> str:
        """hmac-sha256:<64 hex> under a key only the gateway can derive, so prompts cannot be guessed from it."""


class Detector(Protocol):
    def find(self, text: str) -> Iterable[Finding]:
        """Everything seen in `text`, as spans of `text`. Linear time. An exception is treated as a block."""


@dataclass(frozen=True, slots=True)
class Detectors:
    """All three are required: a gateway without one cannot be built."""

    credentials: Detector
    personal_data: Detector
    prompt_injection: Detector


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a request meets on its way, in that order."""

    identity: Identity
    registrations: Registrations
    authorization: Authorization
    limits: Limits
    budget: Budget
    detectors: Detectors
    prompt_hash: PromptHash
    embeddings: Embeddings
    documents: Documents
    models: dict[str, ModelOffer]  # the catalogue, by id
    backends: dict[str, Model]  # by ModelOffer.backend
    audit: AuditLog
