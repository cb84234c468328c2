"""Records have one byte form, and it is the form anybody's JSON library gives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.audit.record import (
    BODY_BYTES_MAX,
    NO_HASH,
    RecordError,
    Row,
    Value,
    entry,
    leaf_hash,
    parse,
    row,
    timestamp,
)

CHAIN = UUID("00000000-0000-4000-8000-000000000001")
NOW = datetime(2026, 11, 22, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8"))
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts | st.lists(texts, max_size=3)
bodies = st.dictionaries(texts, values, max_size=6)


def written(body: dict[str, Value], request_id: str = "request-1") -> Row:
    return row(str(CHAIN), 3, NO_HASH, entry("intent", request_id, body), timestamp(NOW))


@given(bodies)
def test_a_record_is_the_sorted_compact_json_of_its_parts(body: dict[str, Value]) -> None:
    added = written(body)

    parts = json.loads(added.record)
    assert parts["body"] == body
    assert added.record == json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert added.hash == leaf_hash(added.record.encode())


@given(names, names)
def test_whatever_a_kind_and_a_request_are_called_a_record_is_canonical(kind: str, request_id: str) -> None:
    added = row(str(CHAIN), 3, NO_HASH, entry(kind, request_id, {"text": request_id}), timestamp(NOW))

    fields = parse(added.record)
    assert (fields.kind, fields.request_id, fields.body) == (kind, request_id, {"text": request_id})


@given(bodies)
def test_a_written_record_parses_to_what_was_written(body: dict[str, Value]) -> None:
    fields = parse(written(body).record)

    assert (fields.body, fields.seq, fields.chain, fields.previous_hash) == (body, 3, str(CHAIN), "00" * 32)


@given(bodies, st.sampled_from([" ", "\n", "\t"]))
def test_white_space_between_parts_is_not_canonical(body: dict[str, Value], space: str) -> None:
    record = written(body).record

    with pytest.raises(RecordError):
        parse(record[:-1] + space + "}")


@pytest.mark.parametrize(
    ("body", "request_id", "reason"),
    [
        ({"score": float("nan")}, "request-1", "finite"),
        ({"score": float("inf")}, "request-1", "finite"),
        ({"absent": None, "null": "null", "score": -float("inf")}, "request-1", "body.score must be a finite"),
        ({"text": "\ud800"}, "request-1", "canonical"),
        ({"text": "x" * BODY_BYTES_MAX}, "request-1", "at most"),
        ({}, "request\x001", "NUL"),
        ({}, "r" * 201, "200"),
        ({}, "\udfff", "canonical"),
    ],
)
def test_what_has_no_canonical_form_is_refused(body: dict[str, Value], request_id: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        entry("intent", request_id, body)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"body":{},"unknown":1}', "\ufeff{}"],
)
def test_what_is_not_a_record_does_not_parse(text: str) -> None:
    with pytest.raises(RecordError):
        parse(text)


def test_a_part_given_twice_is_not_canonical() -> None:
    record = written({}).record

    with pytest.raises(RecordError):
        parse(record.replace('"seq":3', '"seq":2,"seq":3'))
