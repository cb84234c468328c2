"""One policy document in every shape AWS takes is one document; what AWS refuses passes no rule."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_packs.packs import PACKS
from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document
from policy_packs.resource import Resource
from policy_packs.rule import Rule
from policy_packs.tristate import Truth
from policy_packs.view import MISSING, UNKNOWN, View

RULES = tuple(rule for rules in PACKS.values() for rule in rules if isinstance(rule, Rule))
PROPERTIES = ("policy", "assumeRolePolicy", "inlinePolicy")

ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::documents/*"}


def read(document: object) -> Document:
    return Document.read(View(document, "policy"))


def written(*statements: object, **more: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements, **more})


# --- every shape ----------------------------------------------------------------------------------


def _readers() -> list[Any]:
    """Every rule beside each example of its own that holds a document as text."""
    return [
        pytest.param(rule, example, name, id=f"{rule.name}: {sentence}")
        for rule in RULES
        for sentence, example in (*rule.obeys.items(), *rule.breaks.items(), *rule.neighbours.items())
        for name in PROPERTIES
        if _is_document(example.at(name).text)
    ]


def _is_document(text: str) -> bool:
    return text.startswith("{") and not read(text).problem


def _one_or_list(value: object, as_list: bool) -> object:
    if as_list:
        return value if isinstance(value, list) else [value]
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _respelled(name: str, how: str) -> str:
    return {"lower": name.lower(), "upper": name.upper()}.get(how, name)


def _reshaped(statement: Any, as_list: bool, spelling: str) -> dict[str, object]:
    shaped: dict[str, object] = {}
    for name, value in statement.items():
        if name in ("Action", "NotAction", "Resource", "NotResource") and value is not None:
            value = _one_or_list(value, as_list)
        elif name in ("Principal", "NotPrincipal") and isinstance(value, dict):
            value = {_respelled(kind, spelling): _one_or_list(one, as_list) for kind, one in value.items()}
        elif name == "Condition" and value:
            value = {
                _respelled(operator, spelling): {
                    _respelled(key, spelling): _one_or_list(one, as_list) for key, one in keys.items()
                }
                for operator, keys in value.items()
            }
        shaped[_respelled(name, spelling)] = value
    return shaped


def reshaped(text: str, as_list: bool, as_text: bool, spelling: str) -> object:
    document = json.loads(text)
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    statements: Any = [_reshaped(one, as_list, spelling) for one in listed]
    if not as_list and len(statements) == 1:
        statements = statements[0]
    shaped = {**document, "Statement": statements}
    return json.dumps(shaped, indent=2) if as_text else shaped


@pytest.mark.parametrize(("rule", "example", "name"), _readers())
def test_all_shapes_of_one_document_are_judged_alike(rule: Rule, example: Resource, name: str) -> None:
    expected = rule.judge(example)
    for as_list in (True, False):
        for as_text in (True, False):
            for spelling in ("as written", "lower", "upper"):
                shape = reshaped(example.at(name).text, as_list, as_text, spelling)
                props: Any = example.props.value
                judged = rule.judge(replace(example, props=View({**props, name: shape})))
                assert bool(judged.violations) == bool(expected.violations), (as_list, as_text, spelling)
                assert bool(judged.unclear) == bool(expected.unclear), (as_list, as_text, spelling)


@given(statements=st.permutations([ALLOW, {**ALLOW, "Effect": "Deny"}, {**ALLOW, "Action": ["s3:PutObject"]}]))
def test_the_order_of_statements_is_of_no_account(statements: list[object]) -> None:
    found = [(one.allows(), one.covers("s3:GetObject")) for one in read(written(*statements)).statements]
    assert sorted(map(str, found)) == sorted(
        map(str, [(Truth.YES, Truth.YES), (Truth.NO, Truth.YES), (Truth.YES, Truth.NO)])
    )


# --- what AWS refuses -----------------------------------------------------------------------------

MALFORMED: dict[str, object] = {
    "text that is no JSON": "allow",
    "nothing": "",
    "a list": "[]",
    "a number": "1",
    "a number as it is": 1.0,
    "no statement": "{}",
    "a statement that is a text": written("Allow"),
    "a statement in a list of lists": written([ALLOW]),
    "an Effect in another case": written({**ALLOW, "Effect": "allow"}),
    "an Effect that is a list": written({**ALLOW, "Effect": ["Allow"]}),
    "no Effect": written({"Action": "*", "Resource": "*"}),
    "no Action": written({"Effect": "Allow", "Resource": "*"}),
    "Action and NotAction": written({**ALLOW, "NotAction": "iam:*"}),
    "Resource and NotResource": written({**ALLOW, "NotResource": "*"}),
    "Principal and NotPrincipal": written({**ALLOW, "Principal": "*", "NotPrincipal": "*"}),
    "an Action that is an object": written({**ALLOW, "Action": {"s3": "*"}}),
    "an Action that is a number": written({**ALLOW, "Action": [1]}),
    "a Resource that is a list of lists": written({**ALLOW, "Resource": [["*"]]}),
    "a principal that is an ARN": written({**ALLOW, "Principal": "arn:aws:iam::111122223333:root"}),
    "a principal of no kind": written({**ALLOW, "Principal": {"Google": "*"}}),
    "a principal that is a number": written({**ALLOW, "Principal": {"AWS": 111122223333}}),
    "a Condition that is a list": written({**ALLOW, "Condition": []}),
    "an operator without keys": written({**ALLOW, "Condition": {"StringEquals": "a"}}),
    "a condition on an object": written({**ALLOW, "Condition": {"StringEquals": {"a": {"b": "c"}}}}),
    "an element that AWS does not know": written({**ALLOW, "Actions": "*"}),
    "a document's element that AWS does not know": written(ALLOW, Statements=[]),
    "a name that stands twice": '{"Statement": [], "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}',
    "a statement's name that stands twice": '{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*"}}',
    "a name in two cases": written({**ALLOW, "action": "*"}),
    "a condition's key in two cases": written(
        {**ALLOW, "Condition": {"StringEquals": {"aws:SourceVpc": "a", "AWS:sourcevpc": "b"}}}
    ),
    "an operator in two cases": written({**ALLOW, "Condition": {"Bool": {"a": "b"}, "bool": {"a": "c"}}}),
    "a number that JSON does not know": '{"Statement": {"Effect": "Allow", "Action": "*", "Condition": NaN}}',
    "a nest too deep": "[" * 100_000,
    "a nest too deep inside": '{"Statement": {"Condition": ' + '{"a": ' * 100_000 + "1" + "}" * 100_000 + "}}",
}


@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_aws_refuses_is_a_violation_without_its_text(document: object) -> None:
    found = read(document)
    assert found.problem
    assert found.statements == ()
    assert [one for one in found.outcomes() if "policy" in str(one)]


ON_PERMISSIONS = [rule for rule in RULES if set(IDENTITY_POLICY_TYPES) <= set(rule.resource_types)]


@pytest.mark.parametrize("rule", ON_PERMISSIONS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED.keys())
def test_no_rule_on_permissions_passes_what_aws_refuses(rule: Rule, document: object) -> None:
    judged = rule.judge(Resource("aws:iam/rolePolicy:RolePolicy", "r", "urn:r", View({"policy": document})))
    assert judged.violations
    assert not any("the rule failed" in one.message for one in judged.violations)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=6) | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
elements = st.sampled_from(["Effect", "Action", "NotAction", "Resource", "Principal", "Condition", "Sid", "action"])


@settings(max_examples=200)
@given(statement=st.dictionaries(elements, json_values | st.sampled_from(["Allow", "Deny", "*"]), max_size=5))
def test_whatever_stands_in_a_statement_it_is_read_or_refused(statement: dict[str, object]) -> None:
    found = read({"Statement": [statement]})
    assert found.problem or len(found.statements) == 1
    for one in found.statements:
        assert {one.allows(), one.covers("s3:GetObject"), one.names_everybody(), one.is_conditional()} <= set(Truth)
        assert one.condition("aws:SourceVpc", "StringEquals") is not None


def test_a_huge_document_is_read() -> None:
    assert len(read(written(*[ALLOW] * 20_000)).statements) == 20_000


# --- what is not known yet, and what each element says --------------------------------------------


@pytest.mark.parametrize("element", ["Effect", "Action", "Resource", "Condition", "Principal"])
def test_an_element_that_is_not_known_yet_is_neither_yes_nor_no(element: str) -> None:
    (found,) = read({"Statement": [{**ALLOW, "Principal": "*", element: UNKNOWN}]}).statements
    asked = {
        "Effect": found.allows(),
        "Action": found.covers("s3:GetObject"),
        "Resource": found.reaches(View("arn:aws:s3:::documents/a")),
        "Condition": found.is_conditional(),
        "Principal": found.names_everybody(),
    }
    assert {name for name, truth in asked.items() if truth is Truth.UNKNOWN} == {element}


def test_a_statement_that_is_not_known_yet_keeps_its_place() -> None:
    known, unknown = read({"Statement": [ALLOW, UNKNOWN]}).statements
    assert known.allows() is Truth.YES
    assert unknown.allows() is Truth.UNKNOWN
    assert [one.allows() for one in read({"Statement": UNKNOWN}).statements] == [Truth.UNKNOWN]


@pytest.mark.parametrize(
    ("pattern", "target", "reached"),
    [
        ("arn:a/*", "arn:a/b", True),
        ("*", "arn:a/*", True),
        ("arn:a/?", "arn:a/b", True),
        ("arn:a/?", "arn:a/*", False),
        ("arn:a/[b]", "arn:a/b", False),
        ("arn:a/b", "arn:a/*", False),
    ],
)
def test_a_pattern_reaches_what_it_includes(pattern: str, target: str, reached: bool) -> None:
    (found,) = read(written({**ALLOW, "Resource": pattern})).statements
    assert found.reaches(View(target)) is Truth.of(reached)


def test_of_a_deny_that_leaves_something_out_nothing_is_certain() -> None:
    allow, deny = read(
        written(*({"Effect": effect, "Action": "*", "NotResource": "arn:a"} for effect in ("Allow", "Deny")))
    ).statements
    assert allow.reaches(View("arn:b")) is Truth.YES
    assert deny.reaches(View("arn:b")) is Truth.NO


@pytest.mark.parametrize("operator", ["StringEqualsIfExists", "ForAllValues:StringEquals", "StringLike"])
def test_an_operator_is_told_from_its_kin(operator: str) -> None:
    (found,) = read(written({**ALLOW, "Condition": {operator: {"aws:SourceVpc": "vpc-1"}}})).statements
    assert found.condition("aws:sourcevpc", "StringEquals").value is MISSING
    assert found.condition("aws:sourcevpc", operator.lower()).value == "vpc-1"
