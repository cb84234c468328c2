"""Every rule keeps its promise: what obeys passes, what breaks is named, what is unknown is neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_packs.packs import BASELINE_SECURITY, LLM_GUARDRAILS, PACKS
from policy_packs.resource import Resource, Stack
from policy_packs.rule import AnyRule, Controls, Outcome, Rule, Severity, StackRule, Violation, demand
from policy_packs.view import UNKNOWN, View, plain
from tests.policy_packs.promises import (
    EXISTENCE_RULES,
    Example,
    has_property_to_wait_for,
    has_subject_first,
    is_refused,
    judge,
    passed_too_early,
    refused_too_early,
    unknown_variants,
    waits,
)

RULES = (*BASELINE_SECURITY, *LLM_GUARDRAILS)


def examples(kind: str) -> list[Any]:
    return [
        pytest.param(rule, example, id=f"{rule.name}: {sentence}")
        for rule in RULES
        for sentence, example in getattr(rule, kind).items()
    ]


@pytest.mark.parametrize(("rule", "example"), examples("obeys"))
def test_what_obeys_is_compliant(rule: AnyRule, example: object) -> None:
    assert judge(rule, example).is_compliant


@pytest.mark.parametrize(("rule", "example"), examples("breaks"))
def test_what_breaks_is_a_certain_violation(rule: AnyRule, example: Example) -> None:
    assert is_refused(rule, example)


@pytest.mark.parametrize(("rule", "example"), examples("neighbours"))
def test_a_neighbour_of_the_subject_is_left_alone(rule: AnyRule, example: object) -> None:
    """What stands beside the subject, or looks like it, is neither a violation nor kept waiting."""
    assert judge(rule, example).is_compliant


def test_every_rule_has_a_neighbour() -> None:
    assert [rule.name for rule in RULES if not rule.neighbours] == []


def test_the_first_example_of_what_obeys_has_the_subject() -> None:
    """The plainest example is one that the rule judges; what does not apply stands behind it."""
    assert [rule.name for rule in RULES if not has_subject_first(rule)] == []


def test_an_empty_stack_has_no_subject_and_is_told_so() -> None:
    about_stacks = [rule for rule in RULES if isinstance(rule, StackRule) and rule.name not in EXISTENCE_RULES]
    assert [rule.name for rule in about_stacks if not rule.judge(()).not_applicable] == []


# --- unknown is never compliant, and never hides what is certain ----------------------------------


@pytest.mark.parametrize("rule", [rule for rule in RULES if isinstance(rule, Rule)], ids=lambda rule: rule.name)
def test_a_resource_of_which_nothing_is_known_is_unclear(rule: Rule) -> None:
    """A wholly unknown resource is neither compliant nor in violation."""
    assert [one for one in rule.resource_types if not waits(rule, one)] == []


@pytest.mark.parametrize(("rule", "example"), examples("obeys"))
def test_an_unknown_value_never_turns_obedience_into_a_crash(rule: AnyRule, example: Any) -> None:
    for variant in unknown_variants(example):
        messages = [one.message for one in judge(rule, variant).violations]
        assert not any("the rule failed" in message for message in messages)


@pytest.mark.parametrize("rule", [r for r in RULES if r.name not in EXISTENCE_RULES], ids=lambda rule: rule.name)
def test_unknown_is_never_compliant(rule: AnyRule) -> None:
    """Each rule has a property whose being unknown makes an obeying example wait: it does not pass."""
    assert has_property_to_wait_for(rule)


@pytest.mark.parametrize("rule", [r for r in RULES if r.name not in EXISTENCE_RULES], ids=lambda rule: rule.name)
def test_what_may_still_obey_is_no_violation(rule: AnyRule) -> None:
    """Whichever value of an obeying example is unknown, however deep it stands."""
    assert list(refused_too_early(rule)) == []


@pytest.mark.parametrize("rule", [r for r in RULES if r.name not in EXISTENCE_RULES], ids=lambda rule: rule.name)
def test_what_may_still_break_the_rule_does_not_pass(rule: AnyRule) -> None:
    """Whichever value of a breaking example is unknown, however deep it stands."""
    assert list(passed_too_early(rule)) == []


@pytest.mark.parametrize(
    "order", [(UNKNOWN, "0.0.0.0/0"), ("0.0.0.0/0", UNKNOWN)], ids=["unknown first", "unknown last"]
)
def test_a_certain_fault_beside_an_unknown_is_found_in_any_order(order: tuple[object, object]) -> None:
    rule = next(one for one in BASELINE_SECURITY if one.name == "ec2-security-group-disallow-open-cidr")
    assert isinstance(rule, Rule)
    group_rule = Resource("aws:ec2/securityGroupRule:SecurityGroupRule", "r", "urn:r", View({"cidrBlocks": [*order]}))
    assert rule.judge(group_rule).violations
    waiting = replace(group_rule, props=View({"cidrBlocks": [UNKNOWN, "10.0.0.0/8"]}))
    assert rule.judge(waiting).unclear
    assert not rule.judge(waiting).violations


def test_satellites_are_joined_by_dependency_while_ids_are_unknown() -> None:
    rule = next(one for one in BASELINE_SECURITY if one.name == "s3-bucket-require-public-access-block")
    four = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
    bucket = Resource("aws:s3/bucket:Bucket", "b", "urn:b", View({"id": UNKNOWN}))
    kind = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    joined = Resource(kind, "p", "urn:p", View({**four, "bucket": UNKNOWN}), {"bucket": ("urn:b",)})
    elsewhere = replace(joined, joined={"bucket": ("urn:other",)})
    from_nowhere = replace(joined, joined={})
    assert judge(rule, (bucket, joined)).is_compliant
    assert judge(rule, (bucket, elsewhere)).violations
    assert judge(rule, (bucket, from_nowhere)).unclear


# --- whatever comes, a rule answers ---------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SECRET = "hunter2-do-not-repeat"  # invented: looks for values in messages


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_value_crashes_a_rule(rule: AnyRule, data: st.DataObject) -> None:
    """Every property that the rule's own examples use gets whatever JSON holds."""
    example: Any = data.draw(st.sampled_from([*rule.obeys.values(), *rule.breaks.values()]))
    one = example if isinstance(example, Resource) else data.draw(st.sampled_from(example))
    props: Any = one.props.value
    keys = sorted(props) or ["tags"]
    changed = replace(one, props=View({**props, data.draw(st.sampled_from(keys)): data.draw(json_values)}))
    judged = judge(rule, changed if isinstance(example, Resource) else (*(r for r in example if r is not one), changed))
    assert not any("the rule failed" in violation.message for violation in judged.violations)


def secretive(value: object) -> object:
    """The same shape with a secret in every text that a rule does not need to read a document."""
    if isinstance(value, Mapping):
        return {key: secretive(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [secretive(inner) for inner in value]
    return SECRET if isinstance(value, str) else value


@pytest.mark.parametrize(("rule", "example"), examples("breaks"))
def test_messages_never_repeat_a_value(rule: AnyRule, example: Any) -> None:
    resources = (example,) if isinstance(example, Resource) else example
    hidden = tuple(replace(one, props=View(secretive(one.props.value))) for one in resources)
    judgement = judge(rule, hidden[0] if isinstance(example, Resource) else hidden)
    assert all(SECRET not in one.message for one in judgement.violations)
    assert all(SECRET not in one.path for one in judgement.unclear)


# --- what a rule is made of -----------------------------------------------------------------------


def never(_resource: Resource) -> Iterator[Outcome]:
    return iter(())


def make(**changes: Any) -> Rule:
    parts: dict[str, Any] = {
        "name": "kms-key-require-nothing",
        "description": "Nothing.",
        "severity": Severity.LOW,
        "controls": Controls(soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12",)),
        "remediation": "None.",
        "resource_types": ("aws:kms/key:Key",),
        "check": never,
        "obeys": {"anything": Resource.example("aws:kms/key:Key")},
        "breaks": {"anything": Resource.example("aws:kms/key:Key")},
    }
    return Rule(**{key: value for key, value in {**parts, **changes}.items() if value is not None})


@pytest.mark.parametrize("missing", ["obeys", "breaks"])
def test_a_rule_without_its_examples_cannot_be_made(missing: str) -> None:
    with pytest.raises(TypeError, match=missing):
        make(**{missing: None})
    with pytest.raises(ValueError, match="obeys and breaks each need an example"):
        make(**{missing: {}})
    assert make().name == "kms-key-require-nothing"


@pytest.mark.parametrize(
    ("framework", "code"),
    [
        ("owasp_llm", "LLM01"),
        ("owasp_llm", "LLM01:2025"),
        ("owasp_llm", "LLM11:2026"),
        ("atlas", "T0051"),
        ("soc2", "6.1"),
    ],
)
def test_a_control_that_is_not_written_as_its_framework_writes_it_is_refused(framework: str, code: str) -> None:
    given_controls: dict[str, Any] = {"soc2": (), "iso27001_2022": (), "nist_800_53_r5": (), framework: (code,)}
    with pytest.raises(ValueError, match=framework):
        Controls(**given_controls)


def test_a_rule_that_fails_is_a_violation_without_the_value() -> None:
    def breaks_down(resource: Resource) -> Iterator[Outcome]:
        yield from demand(resource.at("a").equals(1), "wrong", resource.at("a"))
        raise KeyError(SECRET)

    judgement = make(check=breaks_down).judge(Resource.example("aws:kms/key:Key", {"a": 2}))
    assert [one.message for one in judgement.violations] == [
        "a: wrong",
        "the rule failed with KeyError: the resource could not be judged",
    ]


def test_a_rule_says_nothing_about_other_types() -> None:
    assert make(check=lambda _: iter([Violation("x")])).judge(Resource.example("aws:s3/bucket:Bucket")).is_compliant
    assert not make(check=lambda _: iter([Violation("x")])).judge(Resource.example("aws:kms/key:Key")).is_compliant


def test_settings_of_the_pack_reach_the_check() -> None:
    rule = next(one for one in BASELINE_SECURITY if one.name == "cloudwatch-log-group-require-key-and-retention")
    assert isinstance(rule, Rule)
    group = rule.obeys["both given"]
    assert rule.judge(group).is_compliant
    assert rule.judge(group, {"retention_days_min": 400}).violations


# --- the packs, literally: a rule that goes missing shows in review --------------------------------


def test_the_rules_of_each_pack() -> None:
    assert {name: [rule.name for rule in rules] for name, rules in PACKS.items()} == {
        "baseline-security": [
            "s3-bucket-require-public-access-block",
            "s3-bucket-require-policy",
            "s3-bucket-policy-require-tls",
            "s3-bucket-policy-disallow-public",
            "s3-bucket-policy-disallow-lockout",
            "s3-bucket-disallow-public-acl",
            "s3-bucket-require-acls-off",
            "s3-access-point-require-public-access-block",
            "s3-bucket-require-customer-key",
            "s3-bucket-require-versioning",
            "s3-lifecycle-require-abort-of-uploads",
            "kms-key-require-rotation",
            "kms-key-disallow-disabled",
            "kms-key-require-own-policy",
            "kms-key-policy-disallow-public",
            "rds-database-require-customer-key",
            "rds-database-disallow-public-address",
            "rds-database-require-iam-authentication",
            "rds-database-require-backups",
            "rds-database-require-deletion-protection",
            "rds-instance-require-minor-upgrades",
            "rds-database-require-tags-on-snapshots",
            "rds-database-require-log-exports",
            "rds-instance-require-performance-insights",
            "rds-performance-insights-require-customer-key",
            "rds-postgresql-require-statement-log",
            "rds-parameter-group-require-tls",
            "rds-snapshot-disallow-public",
            "lb-listener-require-tls13",
            "lb-load-balancer-require-access-logs",
            "lb-load-balancer-disallow-invalid-headers",
            "lb-load-balancer-require-desync-mitigation",
            "lb-load-balancer-require-deletion-protection",
            "lb-target-group-disallow-plain-http",
            "lb-target-group-require-health-check",
            "waf-web-acl-require-rules",
            "waf-web-acl-require-known-bad-inputs",
            "waf-rule-require-action",
            "waf-web-acl-require-logging",
            "waf-require-web-acl-before-public-endpoints",
            "apigateway-method-require-authorization",
            "apigateway-method-require-request-validator",
            "apigateway-stage-require-access-logs",
            "apigateway-stage-disallow-data-trace",
            "apigateway-stage-require-execution-logs",
            "apigateway-domain-require-tls12",
            "apigateway-stage-require-client-certificate",
            "ec2-security-group-disallow-open-cidr",
            "ec2-security-group-require-description",
            "ec2-security-group-https-require-inspected-way-out",
            "vpc-require-flow-log",
            "vpc-require-closed-default-security-group",
            "vpc-endpoint-service-require-acceptance",
            "ec2-subnet-disallow-public-ip",
            "ec2-network-acl-disallow-open-admin-ports",
            "ec2-network-acl-disallow-every-port",
            "ec2-route-disallow-nat-instance",
            "ec2-route-disallow-everything-over-peering",
            "ec2-instance-require-encrypted-volumes",
            "ec2-instance-require-imdsv2",
            "ec2-instance-disallow-public-ip",
            "ec2-instance-require-role",
            "ec2-instance-disallow-secrets-in-user-data",
            "ebs-volume-require-encryption",
            "ebs-volume-require-customer-key",
            "networkfirewall-firewall-require-delete-protection",
            "networkfirewall-require-customer-key",
            "networkfirewall-firewall-require-logging",
            "cloudwatch-log-group-require-key-and-retention",
            "secretsmanager-secret-require-customer-key",
            "secretsmanager-secret-require-rotation",
            "secretsmanager-rotation-require-90-days",
            "ssm-parameter-require-secure-string",
            "ssm-parameter-require-customer-key",
            "dynamodb-table-require-customer-key",
            "dynamodb-table-require-point-in-time-recovery",
            "guardduty-detector-disallow-suspended",
            "config-recorder-require-every-resource",
            "ecs-task-definition-require-hardened-containers",
            "ecs-task-definition-disallow-host-namespaces",
            "ecs-task-definition-require-separate-roles",
            "ecs-task-definition-require-encrypted-efs-mounts",
            "ecs-service-disallow-public-address",
            "ecs-service-require-current-platform",
            "ecs-cluster-require-container-insights",
            "ecs-cluster-require-session-log",
            "ecs-cluster-require-encrypted-sessions",
            "elasticache-cache-require-encryption",
            "elasticache-user-require-iam",
            "elasticache-replication-group-require-failover",
            "opensearch-domain-require-customer-key",
            "opensearch-domain-require-node-to-node-encryption",
            "opensearch-domain-require-https",
            "opensearch-domain-require-tls12",
            "opensearch-domain-require-vpc",
            "opensearch-domain-require-audit-log",
            "opensearch-domain-require-fine-grained-access",
            "opensearch-domain-require-dedicated-masters",
            "eks-cluster-require-private-endpoint",
            "eks-cluster-require-control-plane-logs",
            "eks-cluster-require-own-key-for-secrets",
            "eks-cluster-require-api-authentication",
            "eks-cluster-require-supported-version",
            "eks-node-group-disallow-open-ssh",
            "kubernetes-container-disallow-privileged",
            "kubernetes-container-disallow-privilege-escalation",
            "kubernetes-container-disallow-capabilities",
            "kubernetes-container-require-read-only-root",
            "kubernetes-container-disallow-root-user",
            "kubernetes-container-require-high-user-id",
            "kubernetes-container-require-seccomp",
            "kubernetes-container-disallow-host-port",
            "kubernetes-container-require-image-digest",
            "kubernetes-container-require-resources",
            "kubernetes-container-require-probes",
            "kubernetes-container-disallow-secrets-in-variables",
            "kubernetes-pod-disallow-host-namespaces",
            "kubernetes-pod-disallow-runtime-socket",
            "kubernetes-pod-disallow-unneeded-token",
            "kubernetes-disallow-default-namespace",
            "kubernetes-role-disallow-wildcards",
            "kubernetes-role-disallow-escalation",
            "kubernetes-role-disallow-admission-control",
            "kubernetes-role-disallow-certificate-approval",
            "kubernetes-role-disallow-exec",
            "kubernetes-role-disallow-service-status",
            "kubernetes-role-disallow-reading-all-secrets",
            "kubernetes-disallow-default-service-account",
            "kubernetes-binding-disallow-built-in-administrators",
            "kubernetes-pod-require-network-policy",
            "kubernetes-ingress-disallow-snippets",
            "ec2-launch-template-require-imdsv2",
            "ec2-launch-template-require-encrypted-volumes",
            "cloudtrail-trail-require-every-region",
            "cloudtrail-trail-require-log-file-validation",
            "cloudtrail-trail-require-own-key",
            "cloudtrail-trail-require-reads-and-writes",
            "cloudtrail-trail-require-log-group",
            "iam-policy-disallow-service-wide-allow",
            "iam-policy-disallow-every-action",
            "iam-disallow-broad-managed-policies",
            "iam-disallow-static-credentials",
            "iam-role-trust-disallow-everybody",
            "iam-role-trust-disallow-whole-account",
            "iam-role-trust-require-bound-oidc-subject",
            "iam-policy-disallow-privilege-escalation",
            "iam-policy-disallow-unbounded-credentials",
            "iam-policy-disallow-unbounded-data-reads",
            "iam-policy-disallow-unbounded-permissions-management",
            "iam-policy-disallow-unbounded-writes",
            "lambda-function-disallow-secrets-in-environment",
            "lambda-function-require-vpc",
            "lambda-function-require-customer-key",
            "lambda-function-require-code-signing",
            "lambda-function-require-supported-runtime",
            "sns-topic-require-customer-key",
            "sns-topic-policy-disallow-public",
            "sns-topic-policy-disallow-other-accounts",
            "sns-topic-require-policy",
            "sns-topic-policy-require-tls",
            "sqs-queue-require-customer-key",
            "sqs-queue-require-policy",
            "sqs-queue-policy-require-tls",
            "sqs-queue-policy-disallow-public",
            "sqs-queue-policy-disallow-all-actions",
            "ecr-repository-require-immutable-tags",
            "ecr-repository-require-scan-on-push",
            "ecr-repository-require-customer-key",
            "ecr-repository-disallow-public",
        ],
        "llm-guardrails": [
            "bedrock-invoke-require-named-model",
            "bedrock-invoke-require-allowed-model",
            "bedrock-require-allowed-geography",
            "stack-require-allowed-regions",
            "bedrock-invoke-require-guardrail",
            "bedrock-disallow-api-keys-and-mantle",
            "bedrock-invoke-require-gateway-role",
            "bedrock-invoke-require-own-network",
            "iam-role-trust-require-one-service-account",
            "eks-node-role-disallow-model-access",
            "bedrock-guardrail-require-strength",
            "bedrock-guardrail-require-numbered-version",
            "bedrock-require-invocation-logging",
            "bedrock-agent-require-guardrail",
            "agentcore-require-vpc",
            "agentcore-gateway-require-authorizer",
            "agentcore-gateway-require-enforced-policy",
            "agentcore-gateway-disallow-debug",
            "agentcore-browser-require-recording",
            "agentcore-runtime-require-pinned-code",
            "agentcore-require-role-of-its-own",
            "bedrock-artifact-require-customer-key",
            "agentcore-artifact-require-customer-key",
            "sagemaker-artifact-require-customer-key",
            "vpc-endpoint-require-scoped-model-policy",
            "vpc-require-private-model-endpoints",
            "stack-disallow-opaque-resources",
            "vpc-disallow-internet-beside-models",
            "dns-firewall-require-block-and-fail-closed",
            "kubernetes-model-disallow-internet",
            "kubernetes-model-require-named-callers",
            "kubernetes-model-require-device-quota",
            "kubernetes-model-require-image-from-own-registry",
            "kubernetes-vllm-require-pinned-model",
            "kubernetes-vllm-require-safe-loader",
            "kubernetes-vllm-require-bounds",
            "ec2-accelerator-disallow-public-subnet",
            "sagemaker-model-require-network-isolation",
            "sagemaker-model-require-vpc",
            "sagemaker-model-require-image-digest",
            "sagemaker-model-require-private-registry",
            "sagemaker-endpoint-config-require-own-key",
            "sagemaker-endpoint-config-require-encrypted-capture",
            "sagemaker-job-require-encrypted-traffic",
            "sagemaker-job-require-network-isolation",
            "sagemaker-notebook-disallow-direct-internet",
            "sagemaker-notebook-require-vpc",
            "sagemaker-notebook-disallow-root",
            "sagemaker-notebook-require-imdsv2",
            "sagemaker-notebook-require-narrow-role",
            "s3-log-archive-require-object-lock",
            "bedrock-log-require-end",
            "bedrock-log-bucket-require-access-log",
            "bedrock-caller-disallow-logs",
            "stack-disallow-production-data",
            "kms-key-require-single-tenant",
            "bedrock-data-source-disallow-public-connector",
            "bedrock-data-source-require-versioned-bucket",
            "bedrock-data-source-require-single-writer",
            "llm-endpoint-require-rate-limit",
            "llm-accelerated-instances-require-cap",
            "opensearch-serverless-policy-disallow-public",
            "opensearch-serverless-policy-require-customer-key",
            "vector-store-require-retrieval-tier",
        ],
    }


def test_rule_names_are_unique() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert "all" not in names  # reserved by Pulumi


def test_every_llm_rule_names_an_owasp_risk() -> None:
    assert all(rule.controls.owasp_llm for rule in LLM_GUARDRAILS)


def test_plain_keeps_only_what_a_program_wrote() -> None:
    raw = {"a": {"__defaults": [], "b": 22.0}, "c": "04da6b54-80e4-46f7-96ec-b56ff0331ba9", "d": None}
    view = View(plain(raw))
    assert view.value == {"a": {"b": 22.0}, "c": UNKNOWN, "d": None}
    assert view.at("d", absent=1).value == 1
    assert view.at("c.e").is_unknown


def test_a_stack_rule_sees_every_resource() -> None:
    seen: list[int] = []

    def count(stack: Stack) -> Iterator[Outcome]:
        seen.append(len(stack.resources))
        return iter(())

    example = (Resource.example("aws:kms/key:Key"),)
    parts = {key: getattr(make(), key) for key in ("name", "description", "severity", "controls", "remediation")}
    rule = StackRule(check=count, obeys={"one": example}, breaks={"one": example}, **parts)
    rule.judge([*example, *example])
    assert seen == [2]
