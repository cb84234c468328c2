"""Each thing an audit record must name is in it, and is another where the request was another."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.gateway.exchange import (
    AuditRecord,
    DataClass,
    Denied,
    Finish,
    Template,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallReady,
    Unavailable,
    Usage,
)
from services.gateway.pipeline import Journey
from services.gateway.ports import Ports
from services.gateway.stages.worst_case import price_digest
from tests.services.gateway import fakes

DOCUMENT = Path(__file__).parents[4] / "docs" / "audit-records.md"
SECRET = "AKIA" + "Q7" * 8  # shaped like a credential, made here


@dataclass
class Asked:
    """One request, and the world it is asked in."""

    world: fakes.World = field(default_factory=fakes.World)
    texts: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    change_ports: Callable[[Ports], Ports] = lambda ports: ports
    events_read: int | None = None  # the caller is gone after so many

    async def records(self) -> dict[str, AuditRecord]:
        """By kind."""
        submission = fakes.submission(*self.texts, **self.changes)
        who = self.world.identity.callers[submission.bearer]
        journey = Journey(submission, who, self.change_ports(self.world.ports()), lambda *_: None)
        read = 0
        async with aclosing(journey.answer()) as events:
            async for _ in events:
                read += 1
                if read == self.events_read:
                    break
        return {record.kind: record for record in self.world.audit.records}

    async def body(self, kind: str) -> dict[str, Any]:
        return dict((await self.records())[kind].body)


Twin = Callable[[Asked], None]


def _other_caller(asked: Asked) -> None:
    asked.changes["bearer"] = "bob"


def _other_prompt(asked: Asked) -> None:
    asked.texts = ("How many days of leave are there now?",)


def _other_key(asked: Asked) -> None:
    class OtherKey(fakes.FakePromptHash):
        def digest(self, canonical: bytes) -> str:
            return super().digest(b"another key" + canonical)

    asked.world.prompt_hash = OtherKey()


def _other_policies(asked: Asked) -> None:
    asked.world.authorization.digest = fakes.digest("other policies")


def _other_template(asked: Asked) -> None:
    text = fakes.SYSTEM + " Answer in one sentence."
    template = Template(id="answer", digest=fakes.digest(text), system=text, citations=False)
    asked.world.registrations = fakes.FakeRegistrations(fakes.registration(fakes.role(template=template)))


def _other_registration(asked: Asked) -> None:
    asked.world.registrations = fakes.FakeRegistrations(fakes.registration(digest=fakes.digest("other registration")))


def _other_answer(asked: Asked) -> None:
    deltas = ("There are ", SECRET, " days.")
    asked.world.model.script = lambda _: [
        *map(TextDelta, deltas),
        Finish("stop", Usage(11, 9, cache_read_tokens=4), "fake-2"),
    ]


def _other_tokens(asked: Asked) -> None:
    asked.world.model.script = fakes.says("There are thirty days.", usage=Usage(12, 9, 4, 2))


def _other_price(asked: Asked) -> None:
    dearer = fakes.offer(usd_per_million_output_tokens=Decimal(9))
    asked.change_ports = lambda ports: replace(ports, models={**ports.models, "local": dearer})


def _public_passages(asked: Asked) -> None:
    asked.world.documents.data_class = DataClass.PUBLIC


# what the record must name: its kind, field, the value, and what changes it
NAMED: dict[str, tuple[str, str, object, Twin]] = {
    "user identity: issuer and subject": ("intent", "subject", "alice", _other_caller),
    "user identity: tenant": ("intent", "tenant", "acme", _other_caller),
    "the prompt's hash": ("intent", "prompt_hash", re.compile("hmac-sha256:[0-9a-f]{64}"), _other_prompt),
    "and that it is keyed": ("intent", "prompt_hash", re.compile("hmac-sha256:[0-9a-f]{64}"), _other_key),
    "template digest": ("intent", "template_digest", fakes.digest(fakes.SYSTEM), _other_template),
    "policy digest": ("intent", "policy_digest", fakes.digest("policies"), _other_policies),
    "registration digest": ("intent", "registration_digest", fakes.digest("registration"), _other_registration),
    "model version": ("outcome", "model_version", "fake-1", _other_answer),
    "token usage: input": ("outcome", "input_tokens", 11, _other_tokens),
    "token usage: output": ("outcome", "output_tokens", 7, _other_tokens),
    "token usage: together": ("outcome", "total_tokens", 18, _other_tokens),
    "token usage: read from a cache": ("outcome", "cache_read_tokens", 0, _other_tokens),
    "token usage: written to a cache": ("outcome", "cache_write_tokens", 0, _other_tokens),
    "response classification": ("outcome", "response_class", "confidential", _public_passages),
    "verdicts: what was masked": ("outcome", "output_masked", (), _other_answer),
    "cost": ("outcome", "usd", "0.000025", _other_price),
    "by which prices": ("outcome", "price_digest", price_digest(fakes.offer()), _other_price),
    "bytes scanned": ("outcome", "scanned_bytes", len("There are thirty days."), _other_answer),
    "bytes sent": ("outcome", "sent_bytes", len("There are thirty days."), _other_answer),
}


@pytest.mark.parametrize("named", NAMED)
async def test_a_record_holds_it_and_another_request_another_value(named: str) -> None:
    kind, name, expected, change = NAMED[named]
    value = (await Asked().body(kind))[name]
    assert expected.fullmatch(value) if isinstance(expected, re.Pattern) else value == expected
    other = Asked()
    change(other)
    assert (await other.body(kind))[name] != value


ANSWERS: dict[str, tuple[object, ...]] = {
    "plain": (TextDelta("There are thirty days."),),
    "in many pieces": tuple(TextDelta(f"{n} days — or ") for n in range(60)),
    "masked": (TextDelta(f"The key is {SECRET} and "), TextDelta("so on. " * 40)),
    "a tool call": (ToolCallReady(ToolCall("call-1", "weather", '{"city":"Köln"}')),),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("named", ANSWERS)
async def test_bytes_scanned_are_bytes_sent(named: str, stream: bool) -> None:
    asked = Asked(changes={"stream": stream, "tools": (Tool("weather", "", fakes.WEATHER),)})
    asked.world.model.script = lambda _: [*ANSWERS[named], Finish("stop", Usage(1, 1), "fake-1")]  # type: ignore[list-item]
    body = await asked.body("outcome")
    assert body["scanned_bytes"] == body["sent_bytes"] > 0


async def test_what_a_caller_who_hung_up_was_not_given_is_not_said_to_be_sent() -> None:
    asked = Asked(changes={"stream": True}, events_read=2)
    asked.world.model.script = lambda _: [*ANSWERS["in many pieces"], Finish("stop", None)]  # type: ignore[list-item]
    body = await asked.body("outcome")
    assert body["finish"] == "disconnected"
    assert 0 < body["sent_bytes"] < body["scanned_bytes"]


async def test_a_refusal_names_who_and_by_which_policies() -> None:
    bodies = []
    for policies in ("policies", "other policies"):
        asked = Asked(changes={"model": "unknown"})
        asked.world.authorization.digest = fakes.digest(policies)
        with pytest.raises(Denied):
            await asked.records()
        bodies.append(dict(asked.world.audit.records[0].body))
    assert [body["subject"] for body in bodies] == ["alice", "alice"]
    assert [body["policy_digest"] for body in bodies] == [fakes.digest("policies"), fakes.digest("other policies")]


async def test_every_field_of_a_record_is_in_the_document_and_one_that_is_not_is_noticed() -> None:
    known = set(re.findall(r"`(\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    fields = {name for record in (await Asked().records()).values() for name in record.body}
    assert fields <= known
    assert {*fields, "unnamed"} - known == {"unnamed"}


async def test_what_a_guardrail_decided_is_on_the_record_and_nothing_where_it_did_not() -> None:
    asked = Asked()
    said = ("input:content:HATE=BLOCKED", "output:pii:EMAIL=ANONYMIZED")
    asked.world.model.script = lambda _: [Finish("content_filter", Usage(1, 1), "fake-1", said)]
    assert (await asked.body("outcome"))["guardrail"] == said
    assert "guardrail" not in await Asked().body("outcome")
    assert "`guardrail`" in DOCUMENT.read_text(encoding="utf-8")


async def test_an_answer_of_a_fallback_names_both_models() -> None:
    asked = Asked()
    models = {"local": fakes.offer(fallbacks=("spare",)), "spare": fakes.offer("spare", backend="spare")}
    spare = fakes.FakeModel()
    asked.world.model.script = lambda _: [Unavailable("model_call", "the backend is away")]
    asked.world.registrations = fakes.FakeRegistrations(fakes.registration(fakes.role(models=("local", "spare"))))
    asked.change_ports = lambda ports: replace(ports, models=models, backends={**ports.backends, "spare": spare})
    body = await asked.body("outcome")
    assert (body["model"], body["fallback_from"]) == ("spare", "local")
    assert body["fallback_reason"] == "the backend is away"
    known = set(re.findall(r"`(\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert {"fallback_from", "fallback_reason"} <= known & body.keys()
    assert not {"fallback_from", "fallback_reason"} & (await Asked().body("outcome")).keys()
