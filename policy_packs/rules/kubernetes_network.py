"""Networks inside a cluster: every pod stands behind a policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.kubernetes_workload import POD, WORKLOADS, Pod, deployment, is_same_namespace, selects
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


def guards(policy: Resource, workload: Resource) -> Truth:
    """Whether the policy is about the workload's pods."""
    chosen = selects(policy.at("spec.podSelector"), Pod.of(workload).labels)
    return all_of(is_same_namespace(policy, workload), chosen)


def _every_pod_guarded(stack: Stack) -> Iterator[Outcome]:
    policies = stack.of_type(NETWORK_POLICY)
    workloads = stack.of_type(*WORKLOADS)
    if not workloads:
        yield NotApplicable("no pod")
    for workload in workloads:
        found = any_of(*(guards(policy, workload) for policy in policies))
        yield from demand(found, "no network policy selects its pods", View("", "spec"), workload.urn)


def network_policy(namespace: str = "examples", /, **spec: object) -> Resource:
    """An example: a policy for every pod of a namespace, or for those that a podSelector names."""
    return Resource.example(
        NETWORK_POLICY, {"metadata": {"namespace": namespace}, "spec": {"podSelector": {}, **spec}}, "policy"
    )


def _expression(operator: str, *values: str, key: str = "app") -> dict[str, object]:
    listed = {"values": [*values]} if values else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **listed}]}


_APP: Final = deployment({"containers": [{"name": "main"}]})

EVERY_POD_GUARDED = StackRule(
    name="kubernetes-pod-require-network-policy",
    description="Every pod is selected by a network policy of its namespace.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Add a NetworkPolicy to the namespace; an empty podSelector selects every pod.",
    checkov=("CKV2_K8S_6",),
    check=_every_pod_guarded,
    obeys={
        "all pods of the namespace": (_APP, network_policy()),
        "by label": (_APP, network_policy(podSelector={"matchLabels": {"app": "example"}})),
        "by one of several": (_APP, network_policy(podSelector=_expression("In", "other", "example"))),
        "by none of several": (_APP, network_policy(podSelector=_expression("NotIn", "other"))),
        "by having the label": (_APP, network_policy(podSelector=_expression("Exists"))),
        "by lacking one": (_APP, network_policy(podSelector=_expression("DoesNotExist", key="tier"))),
        "a bare pod": (
            Resource.example(POD, {"metadata": {"namespace": "examples", "labels": {"app": "example"}}, "spec": {}}),
            network_policy(podSelector={"matchLabels": {"app": "example"}}),
        ),
        "the second of two": (_APP, network_policy("others"), network_policy()),
        "both in the default namespace": (deployment({}, namespace="default"), network_policy("default")),
    },
    breaks={
        "none": (_APP,),
        "of another namespace": (_APP, network_policy("others")),
        "for others": (_APP, network_policy(podSelector={"matchLabels": {"app": "other"}})),
        "for some of them": (_APP, network_policy(podSelector={"matchLabels": {"app": "example", "tier": "web"}})),
        "by another of several": (_APP, network_policy(podSelector=_expression("In", "other"))),
        "by none of several": (_APP, network_policy(podSelector=_expression("NotIn", "example"))),
        "by having another label": (_APP, network_policy(podSelector=_expression("Exists", key="tier"))),
        "by lacking the label": (_APP, network_policy(podSelector=_expression("DoesNotExist"))),
        "by an operator that is none": (_APP, network_policy(podSelector=_expression("Near", "example"))),
        "one of two workloads": (_APP, deployment({}, namespace="others"), network_policy()),
    },
    neighbours={"no pod": (network_policy(),)},
)
