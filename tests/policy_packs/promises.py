"""What every rule promises, asked of one rule: used by the tests of the rules and of their mutants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement, Rule
from policy_packs.view import UNKNOWN, View

Example: TypeAlias = Resource | tuple[Resource, ...]

# These judge that a resource exists, which is always known.
EXISTENCE_RULES = frozenset({"s3-bucket-require-policy", "iam-disallow-static-credentials"})


def judge(rule: AnyRule, example: Any) -> Judgement:  # Any: an example of the rule's own kind
    return rule.judge(example)


def broken(rule: AnyRule) -> Iterator[str]:
    """Every promise that the rule does not keep, told in a sentence."""
    yield from (f"refuses: {name}" for name, one in rule.obeys.items() if not judge(rule, one).is_compliant)
    yield from (f"lets pass: {name}" for name, one in rule.breaks.items() if not is_refused(rule, one))
    yield from (f"meddles with: {name}" for name, one in rule.neighbours.items() if not judge(rule, one).is_compliant)
    if isinstance(rule, Rule):
        yield from (f"does not wait for an unknown {one}" for one in rule.resource_types if not waits(rule, one))
    if rule.name not in EXISTENCE_RULES and not has_property_to_wait_for(rule):
        yield "waits for no property"


def is_refused(rule: AnyRule, example: Example) -> bool:
    violations = judge(rule, example).violations
    return bool(violations) and not any("could not be judged" in one.message for one in violations)


def waits(rule: Rule, resource_type: str) -> bool:
    """A resource of which nothing is known is neither compliant nor in violation."""
    judgement = rule.judge(Resource(resource_type, "r", "urn:r", View(UNKNOWN)))
    return bool(judgement.unclear) and not judgement.violations


def has_property_to_wait_for(rule: AnyRule) -> bool:
    """Some property's being unknown makes an obeying example wait."""
    variants = (variant for example in rule.obeys.values() for variant in unknown_variants(example))
    return any(judge(rule, variant).unclear for variant in variants)


def unknown_variants(example: Example) -> Iterator[Example]:
    """The example with each top-level property unknown in turn."""
    if isinstance(example, Resource):
        yield from (_with_unknown(example, key) for key in _content(example))
        return
    for index, resource in enumerate(example):
        for key in _content(resource):
            yield (*example[:index], _with_unknown(resource, key), *example[index + 1 :])


def _content(resource: Resource) -> Mapping[str, object]:
    content = resource.props.value
    return content if isinstance(content, dict) else {}


def _with_unknown(resource: Resource, key: str) -> Resource:
    return replace(resource, props=View({**_content(resource), key: UNKNOWN}))


def kept_by_all(rules: Iterable[AnyRule]) -> bool:
    return not any(fault for rule in rules for fault in broken(rule))
