"""A rule: what it demands, why, of which resource, and what obeys and breaks it.

A check is a pure generator over views; it yields only what it found, so the same function runs inside
`pulumi up`, over a captured graph and over its own examples. Rules know nothing of packs; packs only choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from policy_packs.exemption import Clock, Exemption, Exemptions, today_utc
from policy_packs.resource import Resource, Stack
from policy_packs.resource_type import canonical_type, listed_type
from policy_packs.running_account import twins_of
from policy_packs.tristate import Truth, negate
from policy_packs.view import View


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Violation:
    """A certain fault. The message names the property and the remedy, never the value: it may be a secret."""

    message: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """A property that cannot be judged yet."""

    path: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The resource has the rule's type but not its subject."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exempted:
    """A fault, or what may be one, that somebody answers for until a stated day."""

    what: str
    urn: str
    by: Exemption

    def __str__(self) -> str:
        return f"exempted until {self.by.ends.isoformat()}: {self.by.reason} ({self.urn})"


Outcome: TypeAlias = Violation | Unclear | NotApplicable


def demand(truth: Truth, message: str, subject: View, urn: str = "") -> Iterator[Outcome]:
    """Yields nothing for a certain yes."""
    if truth is Truth.NO:
        yield Violation(f"{subject.path}: {message}" if subject.path else message, urn)
    elif truth is Truth.UNKNOWN:
        yield Unclear(subject.path or message, urn)


def forbid(truth: Truth, message: str, subject: View, urn: str = "") -> Iterator[Outcome]:
    """Yields nothing for a certain no."""
    yield from demand(negate(truth), message, subject, urn)


_CONTROLS = {
    "soc2": r"(CC|A|C|PI|P)\d+\.\d+",
    "iso27001_2022": r"A\.[5-8]\.\d+",
    "nist_800_53_r5": r"[A-Z]{2}-\d+(\(\d+\))?",
    "owasp_llm": r"LLM(0\d|10):2026",
    "atlas": r"AML\.[TM]\d{4}(\.\d{3})?",
}


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Framework controls a rule serves. OWASP codes carry their year: the 2026 list renumbered."""

    soc2: tuple[str, ...]
    iso27001_2022: tuple[str, ...]
    nist_800_53_r5: tuple[str, ...]
    owasp_llm: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for framework, expression in _CONTROLS.items():
            for control in getattr(self, framework):
                if not re.fullmatch(expression, control):
                    raise ValueError(f"{framework}: {control!r} is not of the form {expression}")

    def tags(self) -> tuple[str, ...]:
        return tuple(f"{framework}:{one}" for framework in _CONTROLS for one in getattr(self, framework))


@dataclass(frozen=True)
class Judgement:
    """Everything a rule found, what is certain first."""

    violations: tuple[Violation, ...]
    unclear: tuple[Unclear, ...]
    not_applicable: str = ""
    exempted: tuple[Exempted, ...] = ()

    @property
    def is_compliant(self) -> bool:
        return not self.violations and not self.unclear and not self.exempted

    def under(self, exemptions: Exemptions, urn: str = "") -> Judgement:
        """What is exempted is listed apart; beside a violation that stands stands why its exemption does not hold."""
        standing = tuple(one for one in self.violations if exemptions.of(one.urn or urn) is None)
        unclear = tuple(one for one in self.unclear if exemptions.of(one.urn or urn) is None)
        faults = [
            Violation(fault.message, one.urn)
            for one in standing
            for fault in exemptions.faults
            if fault.concerns(one.urn or urn)
        ]
        return Judgement(
            (*standing, *dict.fromkeys(faults)), unclear, self.not_applicable, self._freed(exemptions, urn)
        )

    def _freed(self, exemptions: Exemptions, urn: str) -> tuple[Exempted, ...]:
        found = [(one.message, one.urn or urn) for one in self.violations]
        found += [(one.path, one.urn or urn) for one in self.unclear]
        return tuple(Exempted(what, whose, by) for what, whose in found if (by := exemptions.of(whose)))

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Judgement:
        found = list(dict.fromkeys(_completed(outcomes)))
        violations = tuple(one for one in found if isinstance(one, Violation))
        unclear = tuple(one for one in found if isinstance(one, Unclear))
        reasons = [one.reason for one in found if isinstance(one, NotApplicable)]
        return cls(violations, unclear, "" if violations or unclear or not reasons else reasons[0])


def _completed(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """A rule that breaks on a property it did not expect is a violation: it neither passes nor stops the others."""
    try:
        yield from outcomes
    except Exception as error:  # noqa: BLE001 - whatever it is, the resource was not judged; the text may hold a value
        yield Violation(f"the rule failed with {type(error).__name__}: the resource could not be judged")


def _exempted(found: Judgement, settings: Mapping[str, object], clock: Clock, urn: str = "") -> Judgement:
    given = settings.get("exemptions")
    return found.under(Exemptions.read(given, clock()), urn) if given and not found.is_compliant else found


@dataclass(frozen=True, kw_only=True)
class _Law:
    """What both kinds of rule carry. No example has a default: a rule without them cannot be made."""

    name: str
    description: str
    severity: Severity
    controls: Controls
    remediation: str
    settings: Mapping[str, object] = field(default_factory=dict)  # name → default; a pack's configuration overrides
    checkov: tuple[str, ...] = ()  # ids of Checkov rules that ask for part of the same

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", self.name) or not self.description.endswith("."):
            raise ValueError(f"{self.name!r}: a rule has a lower-kebab name and a description that is a sentence")

    def tags(self) -> tuple[str, ...]:
        checkov = (f"checkov:{one}" for one in self.checkov)
        return (*self.controls.tags(), *checkov, *twins_of(self.name).tags())


def _require_examples(name: str, **examples: Mapping[str, object]) -> None:
    if not all(examples.values()):
        raise ValueError(f"{name}: obeys and breaks each need an example, named by a sentence")


@dataclass(frozen=True, kw_only=True)
class Rule(_Law):
    """A rule about one resource: it can stop a resource before it is made."""

    resource_types: tuple[str, ...]
    check: Callable[[Resource], Iterator[Outcome]]
    obeys: Mapping[str, Resource]
    breaks: Mapping[str, Resource]
    neighbours: Mapping[str, Resource] = field(default_factory=dict)  # close to the subject, none of its business

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_examples(self.name, obeys=self.obeys, breaks=self.breaks)

    def judge(
        self, resource: Resource, settings: Mapping[str, object] | None = None, clock: Clock = today_utc
    ) -> Judgement:
        if not self.is_about(resource.type):
            return Judgement((), (), f"not about {resource.type}")
        merged = {**self.settings, **(settings or {})}
        subjects = [one.with_settings(merged) for one in resource.judged() if one.type in self._judged_types]
        if not subjects:
            return Judgement((), (), f"not about {resource.type}")
        found = Judgement.of(outcome for one in subjects for outcome in self.check(one))
        return _exempted(found, merged, clock, resource.urn)

    def is_about(self, resource_type: str) -> bool:
        """Whether a resource registered under this type, or what it lists, is the rule's business."""
        return (listed_type(resource_type) or canonical_type(resource_type)) in self._judged_types

    @cached_property
    def _judged_types(self) -> frozenset[str]:
        return frozenset(canonical_type(one) for one in self.resource_types)


@dataclass(frozen=True, kw_only=True)
class StackRule(_Law):
    """A rule about how resources stand together. On `up` it speaks after the fact: its preview run prevents."""

    check: Callable[[Stack], Iterator[Outcome]]
    obeys: Mapping[str, tuple[Resource, ...]]
    breaks: Mapping[str, tuple[Resource, ...]]
    neighbours: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)  # close, and none of its business

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_examples(self.name, obeys=self.obeys, breaks=self.breaks)

    def judge(
        self, resources: Iterable[Resource], settings: Mapping[str, object] | None = None, clock: Clock = today_utc
    ) -> Judgement:
        merged = {**self.settings, **(settings or {})}
        stack = Stack.of(resources, {name: merged[name] for name in self.settings})
        return _exempted(Judgement.of(self.check(stack)), merged, clock)


AnyRule: TypeAlias = Rule | StackRule
