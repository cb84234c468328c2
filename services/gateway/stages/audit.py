"""What is written down: no record, no answer.

One `refusal` for what was not admitted or not sent; one `intent` before anything outside is called and
one `outcome` before the last byte leaves. Records hold identities, digests, counts and verdicts. No text
of a prompt, answer, document or credential ever reaches this module's output.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal

import msgspec

from services.gateway.exchange import (
    Admitted,
    AuditRecord,
    Caller,
    Chunk,
    DataClass,
    Denied,
    Endpoint,
    Governed,
    Grounded,
    Intended,
    ModelOffer,
    Registration,
    Role,
    Usage,
)
from services.gateway.per_caller import PerCaller
from services.gateway.ports import AuditLog
from services.gateway.stages.worst_case import price_digest
from services.gateway.timeline import StageTime

Body = dict[str, str | int | float | bool | tuple[str, ...] | None]

_SENSITIVITY = {data_class: rank for rank, data_class in enumerate(DataClass)}


class Outcome(msgspec.Struct, frozen=True):
    """How an admitted request ended."""

    finish: str  # OpenAI's finish reason, or disconnected, failed
    usage: Usage
    usage_estimated: bool
    usd: Decimal
    model: ModelOffer | None = None  # that was called: another than was asked for, where that one failed
    fallback_reason: str = ""  # how it failed
    model_version: str = ""
    guardrail: tuple[str, ...] = ()  # what the backend's own guardrail decided
    output_masked: Mapping[str, int] | None = None
    blocked_by: str = ""
    tool_calls_refused: int = 0
    scanned_bytes: int = 0  # of the text and arguments that verdicts let out
    sent_bytes: int = 0  # of those that were handed on; less only where the caller was gone before
    duration_ms: float = 0.0
    reason: str = ""  # why it failed
    first_released_s: float | None = None  # until something was released; not on the record
    stages: tuple[StageTime, ...] = ()  # not on the record either
    finishes: tuple[str, ...] = ()  # of each choice, where several were asked for


async def record_intent(governed: Governed, policy_digest: str, audit: AuditLog) -> Intended:
    """The proof that the intent is durable. `policy_digest` is that of the policies that permitted it."""
    submission = governed.admitted.submission
    body = _subject(governed.admitted)
    body["policy_digest"] = policy_digest
    body["prompt_hash"] = governed.prompt_hash
    body["prompt_redactions"] = _counts(governed.redactions)
    body["stream"] = submission.stream
    body["tools"] = tuple(tool.name for tool in governed.tools)
    body["images"] = sum(len(message.images) for message in governed.messages)
    body["output_tokens_max"] = governed.admitted.lease.output_tokens
    body["reserved_usd"] = str(governed.admitted.reservation.usd)
    body["client_request_id"] = submission.client_request_id
    if submission.choices > 1:
        body["choices"] = submission.choices
    await audit.append(AuditRecord("intent", submission.request_id, body))
    return Intended(governed)


def record_outcome(governed: Governed, grounded: Grounded | None, outcome: Outcome, audit: AuditLog) -> Awaitable[None]:
    """How it ended, with what it cost and which passages it rests on. May begin before it is awaited."""
    body = _subject(governed.admitted)
    chunks = grounded.chunks if grounded is not None else ()
    body["finish"] = outcome.finish
    body["input_tokens"] = outcome.usage.input_tokens
    body["output_tokens"] = outcome.usage.output_tokens
    body["total_tokens"] = outcome.usage.input_tokens + outcome.usage.output_tokens
    body["cache_read_tokens"] = outcome.usage.cache_read_tokens
    body["cache_write_tokens"] = outcome.usage.cache_write_tokens
    body["usage_estimated"] = outcome.usage_estimated
    body["usd"] = str(outcome.usd)
    model = outcome.model or governed.admitted.model
    body["price_digest"] = price_digest(model)
    if model is not governed.admitted.model:
        body["model"] = model.id
        body["fallback_from"] = governed.admitted.model.id
        body["fallback_reason"] = outcome.fallback_reason[:512]
    body["model_version"] = outcome.model_version
    body["chunks"] = tuple(f"{chunk.document_digest}#{chunk.number}" for chunk in chunks)
    body["response_class"] = _response_class(governed, chunks)
    body["output_masked"] = _counts(outcome.output_masked or {})
    body["blocked_by"] = outcome.blocked_by
    body["tool_calls_refused"] = outcome.tool_calls_refused
    body["scanned_bytes"] = outcome.scanned_bytes
    body["sent_bytes"] = outcome.sent_bytes
    body["duration_ms"] = round(outcome.duration_ms, 3)
    body["reason"] = outcome.reason
    if outcome.guardrail:
        body["guardrail"] = outcome.guardrail
    if outcome.finishes:
        body["finishes"] = outcome.finishes
    return audit.append(AuditRecord("outcome", governed.admitted.submission.request_id, body))


async def record_refusal(
    request_id: str,
    endpoint: Endpoint | None,
    denied: Denied,
    audit: AuditLog,
    *,
    who: Caller | Admitted | None = None,
    policy_digest: str = "",
) -> None:
    """A request that went no further, and why. What the caller wrote is not repeated: not even a model's name.

    `policy_digest` is that of the policies in force, of note where a caller is known.
    """
    body: Body = {}
    if isinstance(who, Admitted):
        body = _subject(who)
    elif who is not None:
        body = {"issuer": who.issuer, "subject": who.subject, "tenant": who.tenant}
    if who is not None:
        body["policy_digest"] = policy_digest
    body["endpoint"] = endpoint.value if endpoint is not None else None
    body["stage"] = denied.stage
    body["reason"] = denied.reason[:512]
    body["status"] = denied.status
    body["code"] = denied.code
    await audit.append(AuditRecord("refusal", request_id, body))


def _subject(admitted: Admitted) -> Body:
    caller, registration, role = admitted.caller, admitted.registration, admitted.role
    body = _who(caller, registration, role).copy()
    body["endpoint"] = str(admitted.submission.endpoint)
    body["model"] = admitted.model.id
    body["template_digest"] = role.template.digest
    return body


def _identity(caller: Caller, registration: Registration, role: Role) -> Body:
    return {
        "issuer": caller.issuer,
        "subject": caller.subject,
        "tenant": caller.tenant,
        "workload": registration.workload,
        "registration_digest": registration.digest,
        "role": role.name,
        "data_class": registration.data_class.value,
    }


_who = PerCaller(_identity)


def _response_class(governed: Governed, chunks: Sequence[Chunk]) -> str:
    """At least internal; confidential when the caller's personal data came back; as its passages otherwise."""
    floor = DataClass.CONFIDENTIAL if governed.placeholders else DataClass.INTERNAL
    if not chunks:
        return str(floor)
    return str(max((floor, *(chunk.data_class for chunk in chunks)), key=_SENSITIVITY.__getitem__))


def _counts(counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{kind}={count}" for kind, count in sorted(counts.items())) if counts else ()
