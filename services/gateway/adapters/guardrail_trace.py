"""What a Bedrock guardrail decided, from its trace: kinds and actions, and never the text they were found in.

`input:content:HATE=BLOCKED`, `output:pii:EMAIL=ANONYMIZED`, `input:topic:<our own name of it>=BLOCKED`
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailTraceAssessment.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

UNREADABLE = "unreadable"  # a trace of another shape: an answer does not fail because of it, and it is not silent
VERDICTS_MAX = 64
NAME_CHARS_MAX = 64

_UNSAFE = re.compile(r"[^\w .@-]")
_NOTHING = "NONE"  # seen, and let through


class _Found(msgspec.Struct):
    """The trace has `match` and `regex` beside these: text, which is not read."""

    action: str = _NOTHING
    type: str = ""
    name: str = ""


class _Topics(msgspec.Struct):
    topics: list[_Found] = []


class _Filters(msgspec.Struct):
    filters: list[_Found] = []


class _Words(msgspec.Struct, rename="camel"):
    custom_words: list[_Found] = []
    managed_word_lists: list[_Found] = []


class _Sensitive(msgspec.Struct, rename="camel"):
    pii_entities: list[_Found] = []
    regexes: list[_Found] = []


class _Assessment(msgspec.Struct, rename="camel"):
    topic_policy: _Topics | None = None
    content_policy: _Filters | None = None
    word_policy: _Words | None = None
    sensitive_information_policy: _Sensitive | None = None
    contextual_grounding_policy: _Filters | None = None

    def found(self) -> Iterator[tuple[str, list[_Found]]]:
        """What was seen, by kind."""
        if self.topic_policy is not None:
            yield "topic", self.topic_policy.topics
        if self.content_policy is not None:
            yield "content", self.content_policy.filters
        if self.word_policy is not None:
            yield "word", [*self.word_policy.custom_words, *self.word_policy.managed_word_lists]
        if self.sensitive_information_policy is not None:
            yield "pii", self.sensitive_information_policy.pii_entities
            yield "regex", self.sensitive_information_policy.regexes
        if self.contextual_grounding_policy is not None:
            yield "grounding", self.contextual_grounding_policy.filters


class _Guardrail(msgspec.Struct, rename="camel"):
    input_assessment: dict[str, _Assessment] = {}
    output_assessments: dict[str, list[_Assessment]] = {}

    def assessments(self) -> Iterator[tuple[str, _Assessment]]:
        for assessment in self.input_assessment.values():
            yield "input", assessment
        for assessments in self.output_assessments.values():
            for assessment in assessments:
                yield "output", assessment


class _Trace(msgspec.Struct):
    guardrail: _Guardrail | None = None


_decode = msgspec.json.Decoder(_Trace | None).decode
_NONE = msgspec.Raw(b"null")


def verdicts(trace: msgspec.Raw) -> tuple[str, ...]:
    """Each decision once, in the order of the alphabet; empty where the guardrail had nothing to say."""
    if trace == _NONE:
        return ()
    try:
        read = _decode(trace)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return (UNREADABLE,)
    if read is None or read.guardrail is None:
        return ()
    return tuple(sorted(set(_said(read.guardrail))))[:VERDICTS_MAX]


def _said(guardrail: _Guardrail) -> Iterator[str]:
    for side, assessment in guardrail.assessments():
        for kind, findings in assessment.found():
            for found in findings:
                if found.action != _NOTHING:
                    yield f"{side}:{kind}:{_plain(found.name or found.type or 'custom')}={_plain(found.action)}"


def _plain(name: str) -> str:
    return _UNSAFE.sub("_", name)[:NAME_CHARS_MAX]
