"""A small world around the gateway that behaves: fakes simulate, they do not repeat recorded answers.

Documents have owners, budgets run out, an audit log can break, a model can misbehave. None of these
belongs in production: each keeps everything in memory and trusts whoever holds it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from msgspec import structs

from services.gateway.exchange import (
    Allowance,
    AuditRecord,
    Boundary,
    Caller,
    Chunk,
    DataClass,
    Denied,
    Endpoint,
    Event,
    Finding,
    Finish,
    Grounded,
    Lease,
    Message,
    ModelOffer,
    Rate,
    Registration,
    Reservation,
    Role,
    RoleBudget,
    RoleLimits,
    Submission,
    Template,
    TextDelta,
    Unavailable,
    Usage,
)
from services.gateway.ports import Detectors, Ports

DIMENSIONS = 16
SYSTEM = "You answer questions of the staff from these passages only. Today is {today}.\n{context}\nBe brief and exact."


def digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


LIMITS = RoleLimits(
    requests_per_minute=1_000,
    input_tokens_per_minute=1_000_000,
    output_tokens_per_minute=1_000_000,
    concurrent_requests_max=100,
    input_tokens_max=200_000,
    output_tokens_max=512,
)
BUDGET = RoleBudget(usd_per_day_user=Decimal(5), usd_per_day_workload=Decimal(50))
WEATHER = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'


def role(name: str = "analyst", **changes: Any) -> Role:
    """A role that may ask the model `local` about the collection `handbook`."""
    base = Role(
        name=name,
        template=Template(id="answer", digest=digest(SYSTEM), system=SYSTEM, citations=False),
        models=("local", "minilm"),
        collections=("handbook",),
        tools={"weather": WEATHER},
        limits=LIMITS,
        budget=BUDGET,
    )
    return replace(base, **changes)


def registration(*roles: Role, **changes: Any) -> Registration:
    base = Registration(
        workload="document-assistant",
        environment="local",
        digest=digest("registration"),
        data_class=DataClass.CONFIDENTIAL,
        boundary=Boundary.SELF_HOSTED,
        claims={"workload": "document-assistant"},
        tenants=("acme", "globex"),
        roles={one.name: one for one in roles or (role(), role("load", collections=()))},
        key_arn="arn:aws:kms:eu-central-1:000000000000:key/workload",
        document_bucket="documents",
        document_queue_url="https://queue.invalid/documents",
        dead_letter_queue_url="https://queue.invalid/dead-letters",
    )
    return replace(base, **changes)


def offer(name: str = "local", **changes: Any) -> ModelOffer:
    base = ModelOffer(
        id=name,
        kind="chat",
        backend="openai",
        upstream_model="upstream",
        base_url="http://127.0.0.1:1/v1",
        boundary=Boundary.SELF_HOSTED,
        context_tokens_max=8_192,
        usd_per_million_input_tokens=Decimal(1),
        usd_per_million_output_tokens=Decimal(2),
    )
    return replace(base, **changes)


def caller(subject: str = "alice", tenant: str = "acme", roles: tuple[str, ...] = ("analyst",)) -> Caller:
    claims: Mapping[str, str | tuple[str, ...]] = {"workload": "document-assistant", "tenant": tenant, "roles": roles}
    return Caller("https://issuer.invalid", subject, tenant, roles, claims)


def submission(*texts: str, bearer: str = "alice", **changes: Any) -> Submission:
    base = Submission(
        request_id="request-1",
        client_request_id=None,
        received_at=datetime.now(UTC),
        endpoint=Endpoint.CHAT_COMPLETIONS,
        bearer=bearer,
        model="local",
        messages=tuple(Message("user", text) for text in texts or ("How many days of leave are there?",)),
    )
    return structs.replace(base, **changes)


class FakeIdentity:
    """Knows some tokens; its key server can be down."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self.callers = dict(callers)
        self.down = False

    async def authenticate(self, bearer: str) -> Caller:
        if self.down:
            raise Unavailable("identity", "keys cannot be had")
        if bearer not in self.callers:
            raise Denied(
                "identity",
                "signature does not hold",
                status=401,
                code="invalid_token",
                type="authentication_error",
                public="The token is not valid.",
            )
        return self.callers[bearer]


class FakeRegistrations:
    def __init__(self, *registrations: Registration) -> None:
        self.registrations = list(registrations)

    def find(self, caller: Caller) -> Registration:
        for one in self.registrations:
            belongs = all(caller.claims.get(name) == value for name, value in one.claims.items())
            if belongs and caller.tenant in one.tenants:
                return one
        raise Denied(
            "registrations",
            "no registration",
            status=403,
            code="workload_not_registered",
            type="permission_error",
            public="Your workload is not registered.",
        )


class FakeAuthorization:
    """Permits what no test has forbidden."""

    def __init__(self) -> None:
        self.digest = digest("policies")
        self.forbidden: set[tuple[Endpoint, str]] = set()

    def authorize(
        self, caller: Caller, registration: Registration, role: Role, endpoint: Endpoint, model: ModelOffer
    ) -> None:
        if (endpoint, model.id) in self.forbidden:
            raise Denied(
                "authorization",
                "forbidden",
                status=403,
                code="permission_denied",
                type="permission_error",
                public="Not permitted.",
            )


class FakeLimits:
    """Counts requests and places; `open` holds the leases nobody has given back."""

    def __init__(self) -> None:
        self.open: dict[str, Lease] = {}
        self.released: list[Usage | None] = []
        self.acquired = 0
        self.refused = False  # the last one
        self.requests_left: int | None = None
        self.down = False

    async def acquire(
        self, caller: Caller, registration: Registration, role: Role, *, input_tokens: int, output_tokens: int
    ) -> Lease:
        if self.down:
            raise Unavailable("limits", "the store does not answer")
        self.refused = self.requests_left == 0 or len(self.open) >= role.limits.concurrent_requests_max
        if self.refused:
            raise Denied(
                "limits",
                "over the limit",
                status=429,
                code="rate_limit_exceeded",
                type="rate_limit_error",
                public="Too many requests.",
                retry_after_s=7,
                retry_after_ms=6_500,
                allowance=self._allowance(role, 0, 0),
            )
        if self.requests_left is not None:
            self.requests_left -= 1
        self.acquired += 1
        allowance = self._allowance(role, input_tokens, output_tokens)
        lease = Lease(f"lease-{self.acquired}", (caller.subject,), input_tokens, output_tokens, allowance)
        self.open[lease.id] = lease
        return lease

    def had_room(self, caller: Caller, registration: Registration, role: Role) -> bool:
        return not self.refused

    def _allowance(self, role: Role, input_tokens: int, output_tokens: int) -> Allowance:
        """As if nobody had asked before, except for requests."""
        of = role.limits
        left = of.requests_per_minute if self.requests_left is None else self.requests_left
        return Allowance(
            Rate(of.requests_per_minute, left, 1_500),
            Rate(of.input_tokens_per_minute, of.input_tokens_per_minute - input_tokens, 250),
            Rate(of.output_tokens_per_minute, of.output_tokens_per_minute - output_tokens, 250),
        )

    async def release(self, lease: Lease, usage: Usage | None) -> None:
        del self.open[lease.id]
        self.released.append(usage)


class FakeBudget:
    """Money that runs out; `open` holds reservations nobody has settled."""

    def __init__(self, usd: Decimal = Decimal(1_000)) -> None:
        self.left = usd
        self.spent = Decimal(0)
        self.open: dict[str, Decimal] = {}
        self.reserved = 0  # how often anything was set aside
        self.down = False

    def reserve(
        self, caller: Caller, registration: Registration, role: Role, request_id: str, usd: Decimal, model: str
    ) -> FakeReserving:
        return FakeReserving(self, request_id, self._refusal(usd) or self._set_aside(request_id, usd))

    def _set_aside(self, request_id: str, usd: Decimal) -> Reservation:
        self.reserved += 1
        self.left -= usd
        self.open[request_id] = usd
        return Reservation(request_id, usd)

    def _refusal(self, usd: Decimal) -> Denied | Unavailable | None:
        if self.down:
            return Unavailable("budget", "the ledger does not answer")
        if usd > self.left:
            return Denied(
                "budget",
                "does not fit",
                status=429,
                code="insufficient_quota",
                type="insufficient_quota",
                public="The budget is used up.",
                retryable=False,
            )
        return None

    async def settle(self, reservation: Reservation, usd: Decimal) -> None:
        reserved = self.open.pop(reservation.id, None)
        if reserved is not None:
            self.left += reserved - usd
            self.spent += usd


@dataclass
class FakeReserving:
    """Decided when it was asked for, as far as anybody can see."""

    budget: FakeBudget
    request_id: str
    decided: Reservation | Exception

    def __await__(self) -> Generator[Any, None, Reservation]:
        yield from ()
        if isinstance(self.decided, Exception):
            raise self.decided
        return self.decided

    def give_up(self) -> None:
        self.budget.left += self.budget.open.pop(self.request_id, Decimal(0))


@dataclass
class FakeDetector:
    """Finds what its expressions match; can be made to fail."""

    patterns: Mapping[str, str]
    broken: bool = False

    def find(self, text: str) -> Iterable[Finding]:
        if self.broken:
            raise RuntimeError("detector failed")
        for kind, pattern in self.patterns.items():
            for match in re.finditer(pattern, text):
                yield Finding(kind, match.start(), match.end())


def detectors() -> Detectors:
    return Detectors(
        credentials=FakeDetector({"aws_access_key": r"\bAKIA[A-Z0-9]{16}\b", "token": r"\bghp_[A-Za-z0-9]{36}\b"}),
        personal_data=FakeDetector(
            {"email_address": r"[\w.]+@[\w.]+\.[a-z]+", "phone_number": r"\+\d{2} \d{3} \d{7}\b"}
        ),
        prompt_injection=FakeDetector({"instruction_override": r"(?i)ignore (all )?previous instructions"}),
    )


class FakePromptHash:
    def digest(self, canonical: bytes) -> str:
        return f"hmac-sha256:{sha256(b'key' + canonical).hexdigest()}"


class FakeEmbeddings:
    """Bags of words: texts that share words are near each other."""

    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.down = False

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if self.down:
            raise Unavailable("embeddings", "the backend does not answer")
        self.texts += texts
        return tuple(vector(text) for text in texts)


def vector(text: str) -> tuple[float, ...]:
    counts = [0.0] * DIMENSIONS
    for word in re.findall(r"[a-z]+", text.lower()):
        counts[sha256(word.encode()).digest()[0] % DIMENSIONS] += 1
    length = sum(count * count for count in counts) ** 0.5 or 1.0
    return tuple(count / length for count in counts)


class FakeDocuments:
    """Passages with owners: (tenant, collection) → texts by document."""

    def __init__(self, owned_by: Mapping[tuple[str, str], Mapping[str, str]]) -> None:
        self.owned_by = owned_by
        self.data_class = DataClass.CONFIDENTIAL

    async def search(
        self,
        registration: Registration,
        tenant: str,
        collections: Sequence[str],
        embedding: Sequence[float],
        chunks_max: int,
    ) -> tuple[Chunk, ...]:
        chunks = [
            Chunk(collection, name, digest(text), 0, text, self.data_class, _distance(embedding, vector(text)))
            for collection in collections
            for name, text in self.owned_by.get((tenant, collection), {}).items()
        ]
        return tuple(sorted(chunks, key=lambda chunk: chunk.distance)[:chunks_max])


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return 1 - sum(a * b for a, b in zip(one, other, strict=True))


Script = Callable[[Grounded], Sequence[Event | Exception | float]]


class FakeModel:
    """Plays a script: events are sent, exceptions raised, numbers are seconds to think."""

    def __init__(self, script: Script | None = None) -> None:
        self.script: Script = script or says("There are thirty days.")
        self.prompts: list[Grounded] = []
        self.cancelled = 0

    def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        self.prompts.append(grounded)
        return self._play(self.script(grounded))

    async def _play(self, script: Sequence[Event | Exception | float]) -> AsyncIterator[Event]:
        try:
            for item in script:
                if isinstance(item, float):
                    await asyncio.sleep(item)
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise


def says(*deltas: str, usage: Usage | None = Usage(11, 7), reason: str = "stop") -> Script:  # noqa: B008 - frozen
    """A model that answers with these deltas."""
    return lambda _: [*map(TextDelta, deltas), Finish(reason, usage, "fake-1")]


class FakeAuditLog:
    """Keeps records; breaks when told to, also only for one kind."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.broken_for: set[str] = set()
        self._grew = asyncio.Event()

    async def append(self, record: AuditRecord) -> None:
        if record.kind in self.broken_for:
            raise Unavailable("audit", "the chain cannot be written")
        self.records.append(record)
        self._grew.set()

    async def holds(self, count: int) -> None:
        """Returns once there are that many records."""
        while len(self.records) < count:
            self._grew.clear()
            await self._grew.wait()

    @property
    def kinds(self) -> list[str]:
        return [record.kind for record in self.records]


@dataclass
class World:
    """Everything a test may want to look at or break."""

    identity: FakeIdentity = field(
        default_factory=lambda: FakeIdentity(
            {"alice": caller(), "bob": caller("bob", "globex"), "load": caller("load", roles=("load",))}
        )
    )
    registrations: FakeRegistrations = field(default_factory=lambda: FakeRegistrations(registration()))
    authorization: FakeAuthorization = field(default_factory=FakeAuthorization)
    limits: FakeLimits = field(default_factory=FakeLimits)
    budget: FakeBudget = field(default_factory=FakeBudget)
    detectors: Detectors = field(default_factory=detectors)
    prompt_hash: FakePromptHash = field(default_factory=FakePromptHash)
    embeddings: FakeEmbeddings = field(default_factory=FakeEmbeddings)
    documents: FakeDocuments = field(
        default_factory=lambda: FakeDocuments(
            {
                ("acme", "handbook"): {"leave.md": "Everybody at Acme has thirty days of leave a year."},
                ("globex", "handbook"): {"leave.md": "Globex grants twelve days of leave a year."},
            }
        )
    )
    model: FakeModel = field(default_factory=FakeModel)
    audit: FakeAuditLog = field(default_factory=FakeAuditLog)

    def ports(self) -> Ports:
        return Ports(
            identity=self.identity,
            registrations=self.registrations,
            authorization=self.authorization,
            limits=self.limits,
            budget=self.budget,
            detectors=self.detectors,
            prompt_hash=self.prompt_hash,
            embeddings=self.embeddings,
            documents=self.documents,
            models={"local": offer(), "minilm": offer("minilm", kind="embedding")},
            backends={"openai": self.model},
            audit=self.audit,
        )

    def nothing_is_left_open(self) -> bool:
        return not self.limits.open and not self.budget.open
