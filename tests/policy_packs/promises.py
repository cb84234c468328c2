"""What every rule promises, asked of one rule: used by the tests of the rules and of their mutants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from itertools import chain
from typing import Any, TypeAlias

from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement, Rule, StackRule
from policy_packs.view import UNKNOWN, View

Example: TypeAlias = Resource | tuple[Resource, ...]

# Whoever judges that a resource exists waits for nothing: it is always known.
EXISTENCE_RULES = frozenset({"iam-disallow-static-credentials"})
# Of these some example joins two resources by a plain name, or overrides one value by another that follows: while
# that is unknown they say what is certain of the rest.
REFUSE_BEFORE_ALL_IS_KNOWN = frozenset(
    {
        "apigateway-stage-require-execution-logs",
        "bedrock-require-invocation-logging",
        "config-recorder-require-every-resource",
        "ec2-security-group-https-require-inspected-way-out",
        "iam-policy-disallow-every-action",
        "iam-policy-disallow-service-wide-allow",
        "kubernetes-model-require-image-from-own-registry",
        "kubernetes-vllm-require-pinned-model",
        "llm-endpoint-require-rate-limit",
        "networkfirewall-firewall-require-logging",
        "s3-bucket-require-customer-key",
        "s3-bucket-require-public-access-block",
        "stack-require-allowed-regions",
        "vector-store-require-retrieval-tier",
        "vpc-disallow-internet-beside-models",
        "vpc-require-closed-default-security-group",
        "vpc-require-flow-log",
    }
)
# These follow several references in a row, and take one that leads to nobody yet for one that leads elsewhere.
REFUSE_BEFORE_REFERENCES_ARE_KNOWN = frozenset(
    {
        "apigateway-stage-require-execution-logs",
        "bedrock-data-source-require-single-writer",
        "bedrock-invoke-require-gateway-role",
        "bedrock-invoke-require-own-network",
        "dns-firewall-require-block-and-fail-closed",
        "ec2-accelerator-disallow-public-subnet",
        "ec2-security-group-https-require-inspected-way-out",
        "llm-endpoint-require-rate-limit",
        "vpc-disallow-internet-beside-models",
        "waf-require-web-acl-before-public-endpoints",
    }
)
PASS_BEFORE_REFERENCES_ARE_KNOWN = frozenset(
    {
        "bedrock-caller-disallow-logs",
        "bedrock-data-source-require-single-writer",
        "bedrock-data-source-require-versioned-bucket",
        "bedrock-log-bucket-require-access-log",
        "bedrock-log-require-end",
        "dns-firewall-require-block-and-fail-closed",
        "ec2-accelerator-disallow-public-subnet",
        "eks-node-role-disallow-model-access",
        "kms-key-require-single-tenant",
        "llm-accelerated-instances-require-cap",
        "llm-endpoint-require-rate-limit",
        "sagemaker-notebook-require-narrow-role",
        "vpc-disallow-internet-beside-models",
        "vpc-require-closed-default-security-group",
    }
)
PASS_BEFORE_ALL_IS_KNOWN = frozenset(
    {
        "bedrock-caller-disallow-logs",
        "bedrock-data-source-require-single-writer",
        "bedrock-data-source-require-versioned-bucket",
        "bedrock-log-bucket-require-access-log",
        "bedrock-log-require-end",
        "dns-firewall-require-block-and-fail-closed",
        "iam-policy-disallow-unbounded-writes",
        "kms-key-require-single-tenant",
        "kubernetes-model-require-device-quota",
        "kubernetes-vllm-require-pinned-model",
        "kubernetes-vllm-require-safe-loader",
        "llm-accelerated-instances-require-cap",
        "sagemaker-notebook-require-narrow-role",
        "stack-disallow-production-data",
        "vector-store-require-retrieval-tier",
        "vpc-disallow-internet-beside-models",
    }
)


def judge(rule: AnyRule, example: Any) -> Judgement:  # Any: an example of the rule's own kind
    return rule.judge(example)


def broken_by_examples(rule: AnyRule) -> Iterator[str]:
    """Every promise about the examples as they stand that the rule does not keep, told in a sentence."""
    yield from (f"refuses: {name}" for name, one in rule.obeys.items() if not judge(rule, one).is_compliant)
    yield from (f"lets pass: {name}" for name, one in rule.breaks.items() if not is_refused(rule, one))
    yield from (f"meddles with: {name}" for name, one in rule.neighbours.items() if not judge(rule, one).is_compliant)
    if isinstance(rule, Rule):
        yield from (f"does not wait for an unknown {one}" for one in rule.resource_types if not waits(rule, one))
    if rule.name not in EXISTENCE_RULES:
        yield from _of_subjects(rule)


def _of_subjects(rule: AnyRule) -> Iterator[str]:
    if not has_subject_first(rule):
        yield "its first obeying example has no subject"
    if isinstance(rule, StackRule) and not rule.judge(()).not_applicable:
        yield "does not tell that an empty stack has no subject"


def has_subject_first(rule: AnyRule) -> bool:
    """The plainest obeying example is one that the rule has judged."""
    return not judge(rule, next(iter(rule.obeys.values()))).not_applicable


def broken_by_the_unknown(rule: AnyRule) -> Iterator[str]:
    if rule.name in EXISTENCE_RULES:
        return
    if not has_property_to_wait_for(rule):
        yield "waits for no property"
    yield from (f"refuses before all is known: {name}" for name in refused_too_early(rule))
    yield from (f"lets pass before all is known: {name}" for name in passed_too_early(rule))


def refused_too_early(rule: AnyRule) -> Iterator[str]:
    """Obeying examples and neighbours in which something unknown, that may turn out to be right, is a violation."""
    vary = _varied(rule, REFUSE_BEFORE_ALL_IS_KNOWN, REFUSE_BEFORE_REFERENCES_ARE_KNOWN)
    for name, one in (*rule.obeys.items(), *rule.neighbours.items()):
        if any(judge(rule, variant).violations for variant in vary(one)):
            yield name


def _varied(rule: AnyRule, not_values: Set[str], not_references: Set[str]) -> Callable[[Example], Iterator[Example]]:
    """The variants of an example with a value or a reference unknown, but for rules that are not asked about them."""
    values = () if rule.name in not_values else (inner_unknown_variants,)
    references = () if rule.name in not_references else (unknown_reference_variants,)
    return lambda example: chain.from_iterable(vary(example) for vary in (*values, *references))


def passed_too_early(rule: AnyRule) -> Iterator[str]:
    """Breaking examples in which something unknown, that may turn out to break the rule, is compliant."""
    vary = _varied(rule, PASS_BEFORE_ALL_IS_KNOWN, PASS_BEFORE_REFERENCES_ARE_KNOWN)
    for name, one in rule.breaks.items():
        if any(judge(rule, variant).is_compliant for variant in vary(one)):
            yield name


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
    return _variants(example, lambda one: (_with_unknown(one, key) for key in _content(one)))


def inner_unknown_variants(example: Example) -> Iterator[Example]:
    """The example with each value unknown in turn, however deep it stands, inside its policy documents too."""
    return _variants(example, lambda one: (replace(one, props=View(props)) for props in _unknown_within(_content(one))))


def unknown_reference_variants(example: Example) -> Iterator[Example]:
    """The example with each reference unknown in turn, and nobody knows from where it comes."""
    return _variants(example, lambda one: (_from_nowhere(one, key) for key in one.joined))


def _from_nowhere(resource: Resource, key: str) -> Resource:
    joined = {name: urns for name, urns in resource.joined.items() if name != key}
    return replace(_with_unknown(resource, key), joined=joined)


def _variants(example: Example, vary: Callable[[Resource], Iterator[Resource]]) -> Iterator[Example]:
    if isinstance(example, Resource):
        yield from vary(example)
        return
    for index, resource in enumerate(example):
        yield from ((*example[:index], variant, *example[index + 1 :]) for variant in vary(resource))


def _unknown_within(given: object) -> Iterator[object]:
    value = _policy_read(given) if isinstance(given, str) else given
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from ({**value, key: one} for one in (UNKNOWN, *_unknown_within(inner)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from ([*value[:index], one, *value[index + 1 :]] for one in (UNKNOWN, *_unknown_within(inner)))


def _content(resource: Resource) -> Mapping[str, object]:
    content = resource.props.value
    return content if isinstance(content, dict) else {}


def _with_unknown(resource: Resource, key: str) -> Resource:
    return replace(resource, props=View({**_content(resource), key: UNKNOWN}))


def _policy_read(text: str) -> object:
    """A policy may be given as an object, which is then known in part."""
    try:
        read = json.loads(text)
    except ValueError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("Statement"), dict | list) else None


def kept_by_all(rules: Iterable[AnyRule]) -> bool:
    """What takes longest is asked last."""
    listed = list(rules)
    return not any(
        fault for ask in (broken_by_examples, broken_by_the_unknown) for rule in listed for fault in ask(rule)
    )
