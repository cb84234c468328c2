"""The schema check agrees with the JSON Schema library on every keyword it knows, and refuses the others."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs in the lock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stages.json_schema import mismatch, require_supported

SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 1.5]) | st.sampled_from(["", "a", "ab"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
        | st.lists(st.sampled_from(["object", "string", "null"]), min_size=1, unique=True),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "const": SCALARS,
        "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "minProperties": st.integers(0, 2),
        "maxProperties": st.integers(0, 2),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minimum": st.integers(-2, 2),
        "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "pattern": st.sampled_from(["^a", "b$", "^$"]),
        "description": st.just("x"),
    },
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_it_agrees_with_the_library(schema: Any, value: Any) -> None:
    require_supported(schema)
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (mismatch(value, schema) is None) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"a": {"if": {}}}},
        {"items": {"anyOf": [{"patternProperties": {}}]}},
        {"type": "date"},
        7,
    ],
)
def test_a_keyword_that_would_not_be_checked_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"\$"):
        require_supported(schema)


def test_a_reason_names_the_place_and_not_the_value() -> None:
    schema = {"properties": {"city": {"type": "string"}}}
    assert mismatch({"city": 471_1}, schema) == "$.city: violates type"
