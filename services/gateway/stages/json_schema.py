"""Do a tool call's arguments match the registered JSON Schema? An own check of the common keywords.

A schema that uses any other keyword is refused when the registration is loaded, so nothing that is
written in a schema is ever silently not checked. Patterns run in linear time (RE2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

_ANNOTATIONS = frozenset(("$schema", "title", "description", "default", "examples", "format"))
_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),  # type: ignore[attr-defined]  # a float
}


def require_supported(schema: object, place: str = "$") -> None:
    """Raises ValueError, naming the place, when `schema` says something this check would not enforce."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise ValueError(f"{place}: a schema must be an object or a boolean")  # noqa: TRY004 - one error for callers
    for keyword in schema:
        if keyword not in _CHECKS and keyword not in _ANNOTATIONS and keyword not in _STRUCTURE:
            raise ValueError(f"{place}: keyword '{keyword}' is not supported")
    for name in _names(schema.get("type")):
        if name not in _TYPES:
            raise ValueError(f"{place}.type: '{name}' is not a type")
    if "pattern" in schema:
        re2.compile(schema["pattern"])
    for keyword, inner in _inner_schemas(schema):
        require_supported(inner, f"{place}.{keyword}")


def mismatch(value: object, schema: Any, place: str = "$") -> str | None:
    """Where and why `value` does not match, without showing the value; None when it does."""
    if isinstance(schema, bool):
        return None if schema else f"{place}: nothing is allowed here"
    for keyword, wanted in schema.items():
        check = _CHECKS.get(keyword)
        if check is not None and not check(value, wanted):
            return f"{place}: violates {keyword}"
    if isinstance(value, dict):
        return _object_mismatch(value, schema, place)
    if isinstance(value, list) and "items" in schema:
        return _first(mismatch(item, schema["items"], f"{place}[{index}]") for index, item in enumerate(value))
    return None


def _object_mismatch(value: dict[str, object], schema: dict[str, Any], place: str) -> str | None:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name, inner in value.items():
        if name in properties:
            reason = mismatch(inner, properties[name], f"{place}.{name}")
        else:
            reason = mismatch(inner, others, f"{place}.*")
        if reason is not None:
            return reason
    return None


def _inner_schemas(schema: dict[str, Any]) -> list[tuple[str, object]]:
    inner = [(f"properties.{name}", value) for name, value in schema.get("properties", {}).items()]
    inner += [(keyword, schema[keyword]) for keyword in ("items", "additionalProperties", "not") if keyword in schema]
    for keyword in ("anyOf", "oneOf", "allOf"):
        inner += [(f"{keyword}[{index}]", value) for index, value in enumerate(schema.get(keyword, ()))]
    return inner


def _names(wanted: object) -> list[str]:
    if wanted is None:
        return []
    return [wanted] if isinstance(wanted, str) else list(wanted)  # type: ignore[call-overload]  # a list by JSON Schema


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: object, other: object) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _first(reasons: Any) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _matching(value: object, schemas: list[object]) -> int:
    return sum(mismatch(value, schema) is None for schema in schemas)


_STRUCTURE = frozenset(("properties", "items", "additionalProperties"))
_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, wanted: any(_TYPES[name](value) for name in _names(wanted)),
    "enum": lambda value, wanted: any(_same(value, item) for item in wanted),
    "const": _same,
    "required": lambda value, wanted: not isinstance(value, dict) or all(name in value for name in wanted),
    "minProperties": lambda value, wanted: not isinstance(value, dict) or len(value) >= wanted,
    "maxProperties": lambda value, wanted: not isinstance(value, dict) or len(value) <= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda value, wanted: not isinstance(value, str) or len(value) <= wanted,
    "pattern": lambda value, wanted: not isinstance(value, str) or re2.search(wanted, value) is not None,
    "minimum": lambda value, wanted: not _is_number(value) or value >= wanted,
    "maximum": lambda value, wanted: not _is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda value, wanted: not _is_number(value) or value > wanted,
    "exclusiveMaximum": lambda value, wanted: not _is_number(value) or value < wanted,
    "anyOf": lambda value, wanted: _matching(value, wanted) > 0,
    "oneOf": lambda value, wanted: _matching(value, wanted) == 1,
    "allOf": lambda value, wanted: _matching(value, wanted) == len(wanted),
    "not": lambda value, wanted: mismatch(value, wanted) is not None,
}
