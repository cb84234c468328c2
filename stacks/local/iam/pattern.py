"""Wildcards and policy variables: how text in a policy is compared with text in a request.

A resolved variable is literal text: a `*` inside a principal's tag never becomes a wildcard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from .errors import PolicyError

Scalar: TypeAlias = str | bool | int | float
ContextValue: TypeAlias = Scalar | tuple[Scalar, ...]
Context: TypeAlias = Mapping[str, ContextValue]  # keys in lower case: condition keys ignore case

_VARIABLE = re.compile(r"\$\{\s*(?P<key>[^}',\s]+)\s*(?:,\s*'(?P<default>[^']*)'\s*)?\}")
_ESCAPES = {"*": "*", "?": "?", "$": "$"}  # ${*}, ${?} and ${$} stand for the character itself
_ARN_PARTS = 6


def as_text(value: Scalar) -> str:
    """A request value as IAM compares it: booleans are the words true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Pattern:
    """Text of a policy after its variables are resolved: literal pieces and wildcards."""

    def __init__(self, pieces: tuple[tuple[bool, str], ...]) -> None:
        self._pieces = pieces  # (wildcards count, text)

    @classmethod
    def resolve(cls, text: str, context: Context, *, variables: bool) -> Pattern | None:
        """None when a variable has no value: such an element equals nothing."""
        if not variables or "${" not in text:
            return cls(((True, text),))
        pieces: list[tuple[bool, str]] = []
        end = 0
        for found in _VARIABLE.finditer(text):
            value = _variable_value(found, context)
            if value is None:
                return None
            pieces += [(True, text[end : found.start()]), (False, value)]
            end = found.end()
        return cls((*pieces, (True, text[end:])))

    @property
    def literal(self) -> str:
        """The text for operators that know no wildcards."""
        return "".join(text for _, text in self._pieces)

    def matches(self, value: str, *, ignore_case: bool = False) -> bool:
        return _compiled(self._pieces, ignore_case).fullmatch(value) is not None

    def matches_arn(self, value: str) -> bool:
        """Compare segment by segment: a wildcard does not reach into the next of the six parts."""
        if self._pieces == ((True, "*"),):
            return True
        parts, wanted = value.split(":", _ARN_PARTS - 1), self._split()
        if len(parts) != _ARN_PARTS or len(wanted) != _ARN_PARTS:
            return False
        return all(pattern.matches(part) for pattern, part in zip(wanted, parts, strict=True))

    def _split(self) -> list[Pattern]:
        segments: list[list[tuple[bool, str]]] = [[]]
        for wild, text in self._pieces:
            head, *rest = text.split(":", _ARN_PARTS - len(segments))
            segments[-1].append((wild, head))
            segments += [[(wild, piece)] for piece in rest]
        return [Pattern(tuple(segment)) for segment in segments]


def require_arn(text: str, where: str) -> None:
    """An ARN or a pattern for one has six parts; AWS refuses anything shorter."""
    if text != "*" and (text.count(":") < _ARN_PARTS - 1 or not text.startswith(("arn:", "*:"))):
        raise PolicyError(
            f"{where}: {text!r} is neither '*' nor an ARN of six parts (arn:aws:service:region:account:…)"
        )


def _variable_value(found: re.Match[str], context: Context) -> str | None:
    key = found["key"]
    if key in _ESCAPES:
        return _ESCAPES[key]
    value = context.get(key.lower())
    if value is None or isinstance(value, tuple):  # a key with several values cannot be a variable
        return found["default"]
    return as_text(value)


@lru_cache(maxsize=4096)
def _compiled(pieces: tuple[tuple[bool, str], ...], ignore_case: bool) -> re.Pattern[str]:
    expression = "".join(_wildcards(text) if wild else re.escape(text) for wild, text in pieces)
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _wildcards(text: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in text)
