"""IAM's policy language as AWS reads it: text or object in, one shape out, or the reason why it is none.

Names of elements, operators and keys are told apart without regard to case, so that no spelling hides a grant.
What AWS refuses is refused here too, and so is a name that stands twice: readers differ in which one they take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn, TypeAlias

from policy_packs.view import UNKNOWN, plain

_Element: TypeAlias = Callable[[object], object]
_DOCUMENT: Final = ("Version", "Id", "Statement")
_PRINCIPALS: Final = ("AWS", "Service", "Federated", "CanonicalUser")
_EITHER_OR: Final = (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal"))


class Malformed(ValueError):
    """Not a policy document; the message holds no part of it."""


def statements_of(document: object) -> object:
    """The list of statements in their one shape; UNKNOWN stays where it stood."""
    try:
        content = plain(_loaded(document) if isinstance(document, str) else document)
        listed = _named(content, _DOCUMENT, "a policy document that can be read").get("Statement")
        if listed is None:
            raise Malformed("holds no statement")
        return [_statement(one) for one in listed] if isinstance(listed, list) else _statement(listed)
    except RecursionError:
        raise Malformed("is not a policy document: nested too deep") from None


def _loaded(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_told_apart, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise Malformed("is not a policy document that can be read") from None


def _told_apart(pairs: list[tuple[str, object]]) -> dict[str, object]:
    _refuse_repeats(name for name, _ in pairs)
    return dict(pairs)


def _refuse_constant(_text: str) -> NoReturn:
    raise Malformed("is not a policy document: it holds a number that JSON does not know")


def _refuse_repeats(names: Iterable[str]) -> None:
    listed = [name.lower() for name in names]
    if len(listed) != len(set(listed)):
        raise Malformed("is not a policy document: a name stands twice in it")


def _named(value: object, names: Iterable[str], what: str) -> dict[str, object]:
    """A mapping under AWS's own spelling of its names; null counts as left out."""
    if not isinstance(value, Mapping):
        raise Malformed(f"is not {what}")
    spelling = {name.lower(): name for name in names}
    if not all(isinstance(name, str) and name.lower() in spelling for name in value):
        raise Malformed("is not a policy document: it holds an element that AWS does not know")
    _refuse_repeats(value)
    return {spelling[name.lower()]: inner for name, inner in value.items() if inner is not None}


def _statement(value: object) -> object:
    if value is UNKNOWN:
        return value
    elements = _named(value, _ELEMENTS, "a policy document: a statement is no object")
    for one, other in _EITHER_OR:
        if one in elements and other in elements:
            raise Malformed(f"is not a policy document: a statement holds both {one} and {other}")
    if not {"Effect"} <= set(elements) or not {"Action", "NotAction"} & set(elements):
        raise Malformed("is not a policy document: a statement lacks its Effect or its Action")
    return {name: _ELEMENTS[name](inner) for name, inner in elements.items()}


def _effect(value: object) -> object:
    if value is not UNKNOWN and value not in ("Allow", "Deny"):
        raise Malformed("is not a policy document: an Effect is neither Allow nor Deny")
    return value


def _texts(value: object) -> object:
    for one in value if isinstance(value, list) else [value]:
        if one is not UNKNOWN and not isinstance(one, str):
            raise Malformed("is not a policy document: a text is expected where something else stands")
    return value


def _principal(value: object) -> object:
    if value is UNKNOWN or value == "*":
        return value
    kinds = _named(value, _PRINCIPALS, "a policy document: a principal is neither an object nor everybody")
    return {kind: _texts(inner) for kind, inner in kinds.items()}


def _condition(value: object) -> object:
    """Operators and keys as they are written; an empty block is none."""
    if value is UNKNOWN:
        return value
    operators = {name: _compared(inner) for name, inner in _block(value).items()}
    return {name: inner for name, inner in operators.items() if inner} or None


def _compared(value: object) -> object:
    if value is UNKNOWN:
        return value
    keys = _block(value)
    for compared in keys.values():
        for one in compared if isinstance(compared, list) else [compared]:
            if one is not UNKNOWN and not isinstance(one, str | bool | int | float):
                raise Malformed("is not a policy document: a condition compares with something that is no value")
    return keys


def _block(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise Malformed("is not a policy document: a condition is no object")
    _refuse_repeats(value)
    return value


def _as_it_is(value: object) -> object:
    return value


_ELEMENTS: Final[Mapping[str, _Element]] = {
    "Sid": _as_it_is,
    "Effect": _effect,
    "Principal": _principal,
    "NotPrincipal": _principal,
    "Action": _texts,
    "NotAction": _texts,
    "Resource": _texts,
    "NotResource": _texts,
    "Condition": _condition,
}
