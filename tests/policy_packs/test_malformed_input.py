"""Whatever stands in a resource, a policy answers: a finding or an unknown with its place, and never a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer

from policy_packs.packs import PACKS
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Rule
from policy_packs.serving import as_policies
from policy_packs.view import UNKNOWN, View
from tests.policy_packs.test_packs_served import ask_resource, ask_stack, struct

RULES: tuple[AnyRule, ...] = tuple(rule for rules in PACKS.values() for rule in rules)
PLANTED = "hunter2-do-not-repeat"  # invented: looks for values in messages
EXAMPLES = 8  # of every rule, anew in every run
URN = "urn:pulumi:prod::platform::aws:any/thing:Thing::subject"
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True)
class Served:
    """One rule as Pulumi serves it."""

    rule: AnyRule

    @cached_property
    def analyzer(self) -> Any:
        servicer: Any = _PolicyAnalyzerServicer("p", "1.0.0", as_policies([self.rule]), EnforcementLevel.MANDATORY)
        values = struct({**self.rule.settings, "on_unknown": "deny"})  # an unknown then comes with its URN
        configured = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.MANDATORY, properties=values)
        servicer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={self.rule.name: configured}), None)
        return _Called(servicer)

    def diagnostics(self, resources: tuple[Resource, ...]) -> list[Any]:
        if isinstance(self.rule, Rule):
            return [*ask_resource(self.analyzer, resources[0]).diagnostics]
        return [*ask_stack(self.analyzer, resources).diagnostics]


class _Called:
    """The servicer, called as the stub is."""

    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Any:
        return lambda request: getattr(self._servicer, name)(request, None)


# --- what may stand anywhere ----------------------------------------------------------------------


def nested(value: object, depth: int) -> object:
    for level in range(depth):
        value = [value] if level % 2 else {"Statement": value}
    return value


def secret(value: object) -> dict[str, object]:
    return {SIGNATURE: SECRET, "value": value}


ODD_TEXTS = ["", " ", PLANTED, "*", "true", "null", "{", "[]", '"text"', "[" * 40, "\ufeff{}", "NaN", "::/0"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0.0, -1.0, 22.0, 22.5, 1e308, -0.0, 65536.0]),
    st.sampled_from(ODD_TEXTS),
    st.just(UNKNOWN),
)
malformed: st.SearchStrategy[Any] = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["", "a", "*", "Statement", "value", "__defaults"]), scalars, max_size=3),
    st.builds(nested, scalars, st.integers(1, 30)),
    st.lists(st.lists(scalars, max_size=2) | st.dictionaries(st.just("Effect"), scalars), max_size=2),
)


def as_document(value: object) -> Any:
    """The object that a text holds as JSON, or None."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return None
    return None


def places(value: object) -> Iterator[tuple[Any, ...]]:
    """Every place of a value, in documents too: `None` steps into one."""
    yield ()
    document = as_document(value)
    inner = {None: document} if document is not None else value
    if isinstance(inner, Mapping | list):
        for key, held in inner.items() if isinstance(inner, Mapping) else enumerate(inner):
            yield from ((key, *rest) for rest in places(held))


def changed(value: Any, place: tuple[Any, ...], new: object) -> Any:
    if not place:
        return new
    key, *rest = place
    if key is None:
        return json.dumps(changed(as_document(value), tuple(rest), new), default=lambda one: str(one))
    held = changed(value[key], tuple(rest), new)
    if isinstance(value, Mapping):
        return {**value, key: held}
    return [*value[:key], held, *value[key + 1 :]]


def examples(rule: AnyRule) -> list[tuple[Resource, ...]]:
    given_examples = [*rule.obeys.values(), *rule.breaks.values(), *rule.neighbours.values()]
    return [(one,) if isinstance(one, Resource) else one for one in given_examples]


@st.composite
def broken_examples(draw: st.DrawFn, rule: AnyRule) -> tuple[Resource, ...]:
    """One of the rule's own examples with a malformed value somewhere, or with a property it does not have."""
    example = draw(st.sampled_from(examples(rule)))
    index = draw(st.integers(0, len(example) - 1))
    subject = example[index]
    content: Any = subject.props.value
    place = draw(st.sampled_from([*places(content)][1:] or [("tags",)]))
    content = changed({"tags": {}, **content}, place, draw(malformed))
    subject = replace(subject, props=View(content), urn=URN if isinstance(rule, Rule) else subject.urn)
    return (*example[:index], subject, *example[index + 1 :])


# --- what is promised -----------------------------------------------------------------------------


def assert_answered(diagnostics: list[Any], urns: set[str]) -> None:
    for one in diagnostics:
        said = one.message.partition("\n")[2]
        assert "the rule failed" not in said, said
        assert PLANTED not in said, said
        assert "04da6b54" not in said, said
        assert said.strip()
        assert one.enforcementLevel == analyzer_pb2.MANDATORY
        assert one.urn in urns, one.urn


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
@given(data=st.data())
def test_a_malformed_value_anywhere_is_answered(rule: AnyRule, data: st.DataObject) -> None:
    resources = data.draw(broken_examples(rule))
    urns = {one.urn for one in resources} | ({""} if not isinstance(rule, Rule) else set())
    assert_answered(Served(rule).diagnostics(resources), urns)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_secret_is_judged_as_what_it_holds(rule: AnyRule, data: st.DataObject) -> None:
    """An example's finding does not depend on which part of it Pulumi keeps secret."""
    example = data.draw(st.sampled_from(examples(rule)))
    index = data.draw(st.integers(0, len(example) - 1))
    content: Any = example[index].props.value
    in_properties = [place for place in places(content) if place and None not in place]
    if not in_properties:
        return
    place = data.draw(st.sampled_from(in_properties))
    held = content
    for key in place:
        held = held[key]
    hidden = replace(example[index], props=View(changed(content, place, secret(held))))
    concealed = (*example[:index], hidden, *example[index + 1 :])
    served = Served(rule)
    assert told(served.diagnostics(concealed)) == told(served.diagnostics(example))


def told(diagnostics: list[Any]) -> list[tuple[str, str]]:
    return [(one.urn, one.message) for one in diagnostics]


DEEP = "[" * 100_000
HOSTILE = {
    "a document nested without end": DEEP,
    "an object nested without end": '{"Statement":' * 50_000,
    "a statement nested without end": '{"Statement": [{"Effect": "Allow", "Action": ' + DEEP + "]}",
    "a document of another encoding": "\ufeff{}",
    "half a document": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow"',
    "a number as long as a book": '{"Statement": [{"Effect": ' + "9" * 10_000 + "}]}",
    "a text that ends within a character": '{"Statement": "\\ud800"}',
    "a document with a value that no JSON knows": '{"Statement": [{"Effect": NaN, "Action": Infinity}]}',
    "the same key twice": '{"Statement": [], "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
}


def with_texts(value: object, text: str) -> Any:
    """The same with every document replaced."""
    if isinstance(value, Mapping):
        return {key: with_texts(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_texts(inner, text) for inner in value]
    return text if as_document(value) is not None else value


READS_DOCUMENTS = [
    rule
    for rule in RULES
    if any(with_texts(one.props.value, "") != one.props.value for example in examples(rule) for one in example)
]


@pytest.mark.parametrize("rule", READS_DOCUMENTS, ids=lambda rule: rule.name)
def test_a_hostile_document_is_answered(rule: AnyRule) -> None:
    served = Served(rule)
    for text in HOSTILE.values():
        example = examples(rule)[0]
        resources = tuple(replace(one, props=View(with_texts(one.props.value, text))) for one in example)
        assert_answered(served.diagnostics(resources), {"", *(one.urn for one in resources)})


SHAPES: tuple[object, ...] = (None, 22.0, PLANTED, [], {}, [PLANTED], {"a": PLANTED}, nested(PLANTED, 30))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_one_shape_in_every_property_is_answered(rule: AnyRule) -> None:
    served, example = Served(rule), examples(rule)[0]
    for value in SHAPES:
        resources = tuple(replace(one, props=View(dict.fromkeys(names(one), value))) for one in example)
        assert_answered(served.diagnostics(resources), {"", *(one.urn for one in resources)})


def names(resource: Resource) -> list[str]:
    content: Any = resource.props.value
    return [*content]


@pytest.mark.parametrize("rule", [rule for rule in RULES if isinstance(rule, Rule)], ids=lambda rule: rule.name)
def test_a_finding_names_the_property_it_is_about(rule: Rule) -> None:
    """The URN is Pulumi's to show beside it."""
    for example in rule.breaks.values():
        for one in Served(rule).diagnostics((example,)):
            said = one.message.partition("\n")[2]
            assert re.match(r"[A-Za-z][\w.\[\]/*-]*( |: )", said), said
            assert one.urn == example.urn
