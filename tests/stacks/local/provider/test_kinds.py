"""What is read back must be what was sent; only differences of spelling are forgiven."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.local.provider.kinds import NotKept, camel, difference, pascal, refuse_differences, tag_list, tag_map

JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_value_never_differs_from_itself_or_from_its_text(value: object) -> None:
    assert difference(value, value, "x") == ""
    if isinstance(value, (dict, list)):
        assert difference(json.dumps(value), value, "x") == ""


def test_order_of_names_is_forgiven_and_a_missing_name_is_not() -> None:
    assert difference(["b", "a"], ["a", "b"], "subnets") == ""
    assert difference(["a", "b"], ["a"], "subnets") == "subnets: sent ['a', 'b'], read ['a']"


def test_changed_value_is_named_with_its_path() -> None:
    sent = {"policy": json.dumps({"Statement": [{"Effect": "Deny"}]})}
    read = {"policy": json.dumps({"Statement": [{"Effect": "Allow"}]})}

    with pytest.raises(NotKept, match=r"policy\.Statement\[0\]\.Effect: sent 'Deny', read 'Allow'"):
        refuse_differences(sent, read)


def test_property_that_cannot_be_read_is_not_compared() -> None:
    refuse_differences({"a": 1, "b": 2}, {"a": 1, "c": 3})
    with pytest.raises(NotKept, match="a: sent 1, read 2"):
        refuse_differences({"a": 1, "b": 2}, {"a": 2})


@given(st.dictionaries(st.from_regex(r"[a-z][A-Za-z]{0,6}", fullmatch=True), st.integers(), max_size=4))
def test_names_survive_the_way_to_the_api_and_back(properties: dict[str, int]) -> None:
    assert camel(pascal(properties)) == properties


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=4))
def test_tags_survive_the_way_to_the_api_and_back(tags: dict[str, str]) -> None:
    for names in (("Key", "Value"), ("key", "value"), ("TagKey", "TagValue")):
        assert tag_map(tag_list({"tagsAll": tags}, *names)) == tags
