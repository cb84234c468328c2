"""The journey of one request as types: a value can only be made by the step it proves.

    Submission → Admitted → Governed → Intended → Grounded → Generated → Released… | Denied

Each type holds the one before it, so a stage cannot be left out without a type error. Vendors' shapes end at the
edges (adapters and HTTP schemas).

What is made anew for each request or event is a msgspec.Struct, what is loaded once is a dataclass: both immutable
and typed, but a frozen dataclass writes its fields one by one through object.__setattr__, ten times as slow.
`gc=False` where no field can ever hold what holds it: text, numbers, and others of their kind.
https://msgspec.dev/structs.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec


class DataClass(StrEnum):
    """Data classes, from the least to the most sensitive."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Boundary(StrEnum):
    """Deployment boundaries, from the loosest to the strictest."""

    PUBLIC_API = "public_api"
    PRIVATE_ENDPOINT = "private_endpoint"
    SELF_HOSTED = "self_hosted"


class Endpoint(StrEnum):
    """The acts a caller can ask for; one audit vocabulary for all routes."""

    CHAT_COMPLETIONS = "chat.completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODELS = "models"

    @property
    def generates(self) -> bool:
        """True where a model writes text: the same controls for each of them, whatever its shape."""
        return self in (Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES)


# --- what a caller sends --------------------------------------------------------------------------


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    id: str
    name: str
    arguments: str  # JSON text, as the model wrote it: untrusted


class Image(msgspec.Struct, frozen=True, gc=False):
    """An image of a user's turn, whole and of a known format. The text controls do not see what it shows."""

    media_type: str  # image/png, image/jpeg, image/gif or image/webp, as its first bytes say too
    base64: str

    @property
    def format(self) -> str:
        return self.media_type.removeprefix("image/")


class Message(msgspec.Struct, frozen=True, gc=False):
    """One turn. `role` is user, assistant or tool: callers cannot send system or developer text.

    Images come before the text of their turn.
    """

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    images: tuple[Image, ...] = ()


class Tool(msgspec.Struct, frozen=True, gc=False):
    name: str
    description: str
    parameters: str  # JSON Schema as JSON text


class Parameters(msgspec.Struct, frozen=True, gc=False):
    """Sampling parameters that a caller may choose; None means the backend's default."""

    output_tokens_max: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    response_format: str | None = None  # JSON text of OpenAI's response_format
    tool_choice: str | None = None  # JSON text of OpenAI's tool_choice
    parallel_tool_calls: bool | None = None


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What arrived, already of the right shape, not yet trusted in any other way.

    `model` is the id the caller asked for. For embeddings, `messages` holds one user message a text.
    """

    request_id: str
    client_request_id: str | None
    received_at: datetime
    endpoint: Endpoint
    bearer: str  # the bearer token; empty when the caller sent none
    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    parameters: Parameters = msgspec.field(default_factory=Parameters)
    choices: int = 1  # answers to the same prompt, all of one request


# --- who may do what ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified identity: every field comes from a token whose signature, issuer, audience and times held."""

    issuer: str
    subject: str
    tenant: str
    roles: tuple[str, ...]
    claims: Mapping[str, str | tuple[str, ...]]  # the string and list-of-string claims, for registrations to match


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """Per caller and role. Tokens a minute count input and output separately."""

    requests_per_minute: int
    input_tokens_per_minute: int
    output_tokens_per_minute: int
    concurrent_requests_max: int
    input_tokens_max: int  # of one request
    output_tokens_max: int  # of one answer


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """What all callers of one tenant, or of a whole workload, may do together in a minute and at once."""

    requests_per_minute: int
    input_tokens_per_minute: int
    output_tokens_per_minute: int
    concurrent_requests_max: int


@dataclass(frozen=True, slots=True)
class RoleBudget:
    """US dollars a day and a month (UTC): of one user, one tenant and the whole workload. None: no such budget."""

    usd_per_day_user: Decimal
    usd_per_day_workload: Decimal
    usd_per_day_tenant: Decimal | None = None
    usd_per_month_user: Decimal | None = None
    usd_per_month_tenant: Decimal | None = None
    usd_per_month_workload: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template bound to a role by digest.

    `system` may use the typed variables {context} and {today} only. `citations` asks the gateway to
    append, word for word, the passages an answer rests on.
    """

    id: str
    digest: str  # sha256:<64 hex> of the template file's bytes
    system: str
    citations: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """What one role of one workload may use."""

    name: str
    template: Template
    models: tuple[str, ...]
    collections: tuple[str, ...]
    tools: Mapping[str, str]  # name → JSON Schema of its arguments as JSON text
    limits: RoleLimits
    budget: RoleBudget
    images: bool = False  # may show a model images, which no text control reads


@dataclass(frozen=True, slots=True)
class Registration:
    """What one workload is allowed at the gateway: a signed document, loaded live."""

    workload: str
    environment: str
    digest: str  # sha256:<64 hex> of the signed document
    data_class: DataClass
    boundary: Boundary  # the loosest boundary its data class allows
    claims: Mapping[str, str]  # a caller belongs to the workload when its token carries all of these
    tenants: tuple[str, ...]
    roles: Mapping[str, Role]
    key_arn: str  # the workload's customer managed key
    document_bucket: str
    document_queue_url: str
    dead_letter_queue_url: str
    tenant_key_arns: Mapping[str, str] = field(default_factory=dict)  # where each tenant has a key of its own
    tenant_limits: SharedLimits | None = None  # of each tenant, on top of its callers' own
    workload_limits: SharedLimits | None = None  # of all tenants together
    serial: int = 0  # rises with every change, where the workload's owner counts
    not_after: datetime | None = None  # from then on it counts no more

    def key_for(self, tenant: str) -> str:
        """The key under which this tenant's data keys are made."""
        return self.tenant_key_arns.get(tenant, self.key_arn)


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """One entry of the model catalogue. A model without a price cannot be in it."""

    id: str  # what callers ask for
    kind: str  # "chat" or "embedding"
    backend: str  # "openai", "bedrock" or "sagemaker"
    upstream_model: str  # the id, ARN or endpoint that the backend knows
    base_url: str  # OpenAI-compatible base URL with /v1; empty for AWS
    boundary: Boundary
    context_tokens_max: int
    usd_per_million_input_tokens: Decimal
    usd_per_million_output_tokens: Decimal
    usd_per_million_cache_read_tokens: Decimal | None = None  # None: as input
    usd_per_million_cache_write_tokens: Decimal | None = None
    guardrail_id: str = ""
    guardrail_version: str = ""  # numeric, never DRAFT
    workload_profiles: Mapping[str, str] = field(default_factory=dict)  # of Bedrock: whose cost a call is
    takes_images: bool = False
    fallbacks: tuple[str, ...] = ()  # ids of models that stand in when its upstream fails, in this order

    def upstream_for(self, workload: str) -> str:
        """What the backend knows the model as when this workload calls it."""
        return self.workload_profiles.get(workload, self.upstream_model)


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """Money set aside before the model is called; settled to what was really used."""

    id: str
    usd: Decimal


class Rate(msgspec.Struct, frozen=True, gc=False):
    """What is left of one limit a minute, where it is tightest: for the caller, the tenant or the workload."""

    limit: int
    remaining: int
    reset_ms: int  # until all of it is there again, if nobody asks for more


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What the limiter's decision on a request left over, that request included."""

    requests: Rate
    input_tokens: Rate
    output_tokens: Rate


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A place among the concurrent requests and the tokens charged in advance for it."""

    id: str
    keys: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    allowance: Allowance | None = None  # None where nothing was counted


class Admitted(msgspec.Struct, frozen=True):
    """The caller is known, may do this, and limits and money allow it."""

    submission: Submission
    caller: Caller
    registration: Registration
    role: Role
    model: ModelOffer
    lease: Lease
    reservation: Reservation
    fallbacks: tuple[ModelOffer, ...] = ()  # of the model's, those that the caller may use too

    @property
    def allowance(self) -> Allowance | None:
        """What is left of the caller's limits: the figures of the x-ratelimit-* headers."""
        return self.lease.allowance


# --- what the detectors say, what the stages decide ---------------------------------------------------


class Finding(msgspec.Struct, frozen=True, gc=False):
    """Something a detector saw in text[start:end]. Detectors find; stages decide."""

    kind: str  # e.g. "email_address", "aws_access_key", "instruction_override"
    start: int
    end: int
    score: float = 1.0


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A passage of an ingested document, already masked when it was ingested."""

    collection: str
    document: str  # file name as ingested
    document_digest: str  # sha256:<64 hex> of the source's bytes
    number: int
    text: str
    data_class: DataClass
    distance: float = 0.0  # cosine distance to the question


class Governed(msgspec.Struct, frozen=True):
    """Prompt text without credentials and with personal data masked; screened; a template is chosen.

    `placeholders` maps each placeholder put into the prompt to the caller's own value; it lives only
    as long as the request and is never logged or stored. Credentials are not in it: they do not come back.
    """

    admitted: Admitted
    messages: tuple[Message, ...]
    placeholders: Mapping[str, str]
    redactions: Mapping[str, int]  # kind → count
    prompt_hash: str  # hmac-sha256:<64 hex> over the canonical masked prompt
    question: str  # the last user text, masked: what retrieval searches for
    tools: tuple[Tool, ...] = ()  # allowed by the role, with the registration's schemas


class Intended(msgspec.Struct, frozen=True):
    """The intent record is durable: from here on, and not before, the world outside may be called."""

    governed: Governed


class Grounded(msgspec.Struct, frozen=True):
    """The prompt is complete: rendered system text, scoped passages and the caller's masked turns."""

    governed: Governed
    chunks: tuple[Chunk, ...]
    system: str
    delimiter: str = ""  # random per request, fences passages; an answer that shows it has leaked the prompt


# --- what comes back: one canonical event stream for every endpoint ----------------------------------


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the backend counted them; what a cache held or took is part of `input_tokens` here."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class ToolCallReady(msgspec.Struct, frozen=True, gc=False):
    """A complete tool call: deltas are held until the arguments are whole."""

    call: ToolCall


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The last event. `reason` is OpenAI's: stop, length, tool_calls or content_filter."""

    reason: str
    usage: Usage | None  # None when the backend did not say
    model_version: str = ""  # what the backend calls the model that answered
    guardrail: tuple[str, ...] = ()  # what the backend's own guardrail decided


Event = TextDelta | ToolCallReady | Finish


class Generated(msgspec.Struct, frozen=True):
    """The model is answering. Nothing in `events` is trusted yet."""

    grounded: Grounded
    events: AsyncIterator[Event]


class Released(msgspec.Struct, frozen=True):
    """An event that a verdict covers: this, and only this, may leave the gateway."""

    event: Event


class ReleasedChoice(Released, frozen=True):
    """An event of one of several answers to the same prompt; `index` counts from 0."""

    index: int


# --- how it ends otherwise --------------------------------------------------------------------------------


class Denied(Exception):
    """A request that must not go on. `reason` is for the audit log, `public` is all the caller learns.

    `status`, `type`, `code` and `param` are those of OpenAI's error body. `retry_after_s` is set where
    trying again later can help, `retry_after_ms` where it is known that exactly; `retryable=False` tells the
    SDK not to try (x-should-retry: false). `allowance` is set where a limit refused.
    """

    def __init__(
        self,
        stage: str,
        reason: str,
        *,
        status: int,
        code: str,
        public: str,
        type: str = "invalid_request_error",  # noqa: A002 - OpenAI's own word
        param: str | None = None,
        retry_after_s: int | None = None,
        retryable: bool | None = None,
        allowance: Allowance | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.status = status
        self.code = code
        self.public = public
        self.type = type
        self.param = param
        self.retry_after_s = retry_after_s
        self.retryable = retryable
        self.allowance = allowance
        self.retry_after_ms = retry_after_ms


class Unavailable(Denied):
    """A part the gateway needs does not answer: 503, never a free pass and never 401."""

    def __init__(self, stage: str, reason: str, *, retry_after_s: int = 2) -> None:
        super().__init__(
            stage,
            reason,
            status=503,
            code="service_unavailable",
            type="server_error",
            public="The gateway cannot process this request safely right now. Try again shortly.",
            retry_after_s=retry_after_s,
        )


# --- what is written down ------------------------------------------------------------------------------------


class AuditRecord(msgspec.Struct, frozen=True):
    """One line of the audit chain. `kind` is intent, outcome, refusal, retrieval or ingestion.

    `body` is flat JSON (str, int, float, bool, None, lists of str): identities, digests, counts and
    verdicts. It never holds prompt, answer, document or credential text (LLM02:2026).
    """

    kind: str
    request_id: str
    body: Mapping[str, str | int | float | bool | tuple[str, ...] | None]
