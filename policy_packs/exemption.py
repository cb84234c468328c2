"""Exemptions: a resource that may break one rule, for a stated reason, until a stated day.

They stand in a pack's configuration under the rule's name: `exemptions: [{urn, reason, ends}]`. An exemption that
is not wholly right exempts nothing: what it was meant for is still reported, and beside it what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

_LONGEST: Final = timedelta(days=366)
_FIELDS: Final = ("urn", "reason", "ends")
_SHORTEST_REASON_CHARS: Final = 10
_SHORTEST_NAME_CHARS: Final = 3  # beside a star
_URN_PARTS: Final = 4  # urn:pulumi:stack, project, type, name
SCHEMA: Final[Mapping[str, object]] = {
    "type": "array",
    "default": [],
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": list(_FIELDS),
        "properties": {
            "urn": {"type": "string", "description": "The resource's URN; * stands for any text between two '::'."},
            "reason": {"type": "string", "minLength": _SHORTEST_REASON_CHARS},
            "ends": {"type": "string", "description": "The last day, as 2027-01-31, no more than a year ahead."},
        },
    },
}

Clock = Callable[[], date]


def today_utc() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class Exemption:
    """One that holds today."""

    urn: str
    reason: str
    ends: date

    def covers(self, urn: str) -> bool:
        return _matches(urn, self.urn)


@dataclass(frozen=True)
class Fault:
    """Why an exemption exempts nothing; `urn` is what it was meant for, as far as that can be read."""

    message: str
    urn: str = ""

    def concerns(self, urn: str) -> bool:
        return not self.urn or _matches(urn, self.urn)


@dataclass(frozen=True)
class Exemptions:
    """What a rule's configuration exempts on one day, and what it would exempt if it were right."""

    holding: tuple[Exemption, ...] = ()
    faults: tuple[Fault, ...] = ()

    @classmethod
    def read(cls, given: object, today: date) -> Exemptions:
        if not isinstance(given, list | tuple):
            return cls() if given is None else cls(faults=(Fault("exemptions: must be a list"),))
        faults = [_faults(one, f"exemptions[{index}]", today) for index, one in enumerate(given)]
        holding = [_exemption(one) for one, found in zip(given, faults, strict=True) if not found]
        return cls(tuple(holding), tuple(one for found in faults for one in found))

    def of(self, urn: str) -> Exemption | None:
        """The one that lasts longest."""
        return max((one for one in self.holding if one.covers(urn)), key=lambda one: one.ends, default=None)


def _exemption(given: Mapping[str, str]) -> Exemption:
    return Exemption(given["urn"], given["reason"], date.fromisoformat(given["ends"]))


def _faults(given: object, path: str, today: date) -> tuple[Fault, ...]:
    """What is wrong with it, by field name and without its values."""
    if not isinstance(given, Mapping):
        return (Fault(f"{path}: must be an object with urn, reason and ends"),)
    found = {name: _fault_of(name, given.get(name), today) for name in _FIELDS}
    urn = "" if found["urn"] else given["urn"]
    strange = [f"{path}: holds a field other than urn, reason and ends"] if set(given) - set(_FIELDS) else []
    messages = (*strange, *(f"{path}.{name}: {fault}" for name, fault in found.items() if fault))
    return tuple(Fault(one, urn) for one in messages)


def _fault_of(name: str, value: object, today: date) -> str:
    if value is None:
        return "is missing"
    if not isinstance(value, str):
        return "must be a text"
    if name == "ends":
        return _fault_of_end(value, today)
    return _fault_of_pattern(value) if name == "urn" else _fault_of_reason(value)


def _fault_of_reason(reason: str) -> str:
    return "is too short to be a reason" if len(reason.strip()) < _SHORTEST_REASON_CHARS else ""


def _fault_of_end(text: str, today: date) -> str:
    try:
        ends = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        ends = None
    if ends is None:
        return "is no date like 2027-01-31"
    if ends < today:
        return "has passed"
    return "is more than a year ahead" if ends - today > _LONGEST else ""


def _fault_of_pattern(pattern: str) -> str:
    """A pattern names its stack or project freely, one type, and at least part of a name."""
    parts = pattern.split("::", _URN_PARTS - 1)
    if len(parts) < _URN_PARTS:
        return "must be a URN: urn:pulumi:stack::project::type::name"
    *_, types, name = parts
    if not re.fullmatch(r"(.*[*$])?[\w.-]+:[\w./-]+:\w+", types):
        return "must name one type of resource"
    is_narrow = "*" not in name or len(name.replace("*", "")) >= _SHORTEST_NAME_CHARS
    return "" if name and is_narrow else "must name a resource, or most of its name"


def _matches(urn: str, pattern: str) -> bool:
    """Part by part: a star never crosses '::', and nothing but a star is special."""
    parts, wanted = urn.split("::", _URN_PARTS - 1), pattern.split("::", _URN_PARTS - 1)
    literal = [re.sub(r"([?[])", r"[\1]", one) for one in wanted]
    return len(parts) == len(literal) and all(fnmatchcase(part, one) for part, one in zip(parts, literal, strict=True))
