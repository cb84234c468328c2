"""Properties of a resource, read without surprises: every value is known, unknown or missing.

Pulumi's own view raises at the first unknown value and so skips the rest of a rule; it hands numbers over
as floats and JSON null as a key with None. A `View` answers with `Truth` instead, and never repeats a
value: properties may hold secrets in clear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from pulumi_policy import proxy

from policy_packs.tristate import Truth, all_of, any_of


class Absence(Enum):
    UNKNOWN = "unknown"  # decided by the cloud, later
    MISSING = "missing"  # not given: AWS's default applies


UNKNOWN, MISSING = Absence.UNKNOWN, Absence.MISSING

_SENTINELS = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))


def plain(value: object) -> object:
    """Pulumi's proxies as plain data; UNKNOWN where a value is not known; bridge keys (`__defaults`) left out."""
    if isinstance(value, str):
        return UNKNOWN if value in _SENTINELS else _readable(value)
    if isinstance(value, Mapping):
        return {key: _read(value, key) for key in value if not str(key).startswith("__")}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_read(value, index) for index in range(len(value))]
    return value


_DEEPEST = 100  # objects and lists within each other; no document of AWS comes near
_HALF_A_DOCUMENT = "{"


def _readable(text: str) -> str:
    """A document made to break who reads it reads as half a document, which is a fault that every rule names."""
    if len(text) < _DEEPEST or text.lstrip()[:1] not in ("{", "["):
        return text
    depths = accumulate(1 if one in "{[" else -1 for one in re.findall(r"[][{}]", text))
    is_hostile = max(depths, default=0) > _DEEPEST or re.search(r"\d{4000}", text) is not None
    return _HALF_A_DOCUMENT if is_hostile else text


def _read(container: Mapping[str, object] | Sequence[object], key: object) -> object:
    try:
        return plain(container[key])  # type: ignore[call-overload, index]  # key and container come in pairs
    except proxy.UnknownValueError:
        return UNKNOWN


@dataclass(frozen=True, slots=True)
class View:
    """One value of plain data and where it stands."""

    value: object
    path: str = ""

    def at(self, path: str, absent: object = MISSING) -> View:
        """The value below; `absent` is what AWS documents as the default of a property left out."""
        view = self
        for name in path.split("."):
            view = view._child(name)
        return View(absent, view.path) if view.value is MISSING else view

    def _child(self, name: str) -> View:
        path = f"{self.path}.{name}".lstrip(".")
        if self.value is UNKNOWN:
            return View(UNKNOWN, path)
        value = self.value.get(name) if isinstance(self.value, Mapping) else None
        return View(MISSING if value is None else value, path)

    @property
    def is_unknown(self) -> bool:
        return self.value is UNKNOWN

    @property
    def text(self) -> str:
        """The text, or nothing where there is none."""
        return self.value if isinstance(self.value, str) else ""

    def items(self) -> tuple[View, ...]:
        """The elements of a list; one value counts as a list of one, as IAM writes it."""
        if isinstance(self.value, list | tuple):
            return tuple(View(item, f"{self.path}[{i}]") for i, item in enumerate(self.value))
        return () if self.value is MISSING else (self,)

    def is_given(self) -> Truth:
        return Truth.UNKNOWN if self.is_unknown else Truth.of(self.value not in (MISSING, "", []))

    def equals(self, *allowed: object) -> Truth:
        """True for one of these values; True and 1 are different, 22 and 22.0 are not."""
        if self.is_unknown:
            return Truth.UNKNOWN
        return Truth.of(
            any(isinstance(self.value, bool) is isinstance(one, bool) and self.value == one for one in allowed)
        )

    def matches(self, expression: str) -> Truth:
        """True for a text that the expression describes as a whole."""
        if self.is_unknown:
            return Truth.UNKNOWN
        return Truth.of(re.fullmatch(expression, self.text, re.DOTALL) is not None and isinstance(self.value, str))

    def at_least(self, minimum: float) -> Truth:
        if self.is_unknown:
            return Truth.UNKNOWN
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return Truth.of(is_number and float(str(self.value)) >= minimum)

    def any(self, predicate: Callable[[View], Truth]) -> Truth:
        return any_of(*(predicate(item) for item in self.items()))

    def every(self, predicate: Callable[[View], Truth]) -> Truth:
        return all_of(*(predicate(item) for item in self.items()))
