"""Pods: closed by default, never led to everything or to instance metadata, models asked through one door."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stacks.local import engine
from stacks.local.reachability.firewall import passed_hosts
from stacks.local.reachability.pods import NAMESPACE, POLICY, pod_breaches
from stacks.local.reachability.promises import EXPECTED_TIERS
from stacks.local.reachability.reading import Unjudgeable, read
from tests.contracts.programs import CLUSTERS, captured

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
Spec = dict[str, Any]  # Any: plain JSON
HTTPS = [{"protocol": "TCP", "port": 443}]


def planted(spec: Spec, room: str = "models", kind: str = POLICY) -> tuple[engine.Resource, ...]:
    """What is inside the production cluster, with one more network policy."""
    inside = captured("cluster", "prod").resources
    like = next(one for one in inside if one.type == kind)
    metadata = {"name": room} if kind == NAMESPACE else {"name": "hole", "namespace": room}
    more = dataclasses.replace(
        like, name="hole", urn=f"{like.urn}-hole", inputs={**like.inputs, "metadata": metadata, "spec": spec}
    )
    return (*inside, more)


def broken(resources: tuple[engine.Resource, ...], stack: str = "prod") -> list[str]:
    network = read(captured("platform", stack).resources, expected=EXPECTED_TIERS)
    return [str(breach) for breach in pod_breaches(resources, network)]


def egress(cidr: str, port: int = 443) -> Spec:
    rule = {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": port}]}
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}


def ingress(peer: Spec) -> Spec:
    return {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer], "ports": HTTPS}]}


@pytest.mark.parametrize("stack", CLUSTERS)
def test_every_promise_holds_inside_every_cluster(stack: str) -> None:
    assert broken(captured("cluster", stack).resources, stack) == []


WIDE = "no network policy names everything"
DOOR = "model servers are reached only through their load balancer, and by who reads their metrics"
HOLES = {
    "to everywhere": (egress("0.0.0.0/0"), WIDE),
    "to metadata": (egress("169.254.169.254/32", 80), "no pod reaches the instance metadata of its node"),
    "to a block around metadata": (egress("169.254.0.0/16", 80), "no pod reaches the instance metadata of its node"),
    "outside on any port": (egress("203.0.113.0/24", 22), "out of the network pods reach 443 and the pod identity"),
    "without peers": ({"podSelector": {}, "egress": [{"ports": HTTPS}]}, WIDE),
    "without ports": ({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.28.0.0/18"}}]}]}, WIDE),
    "to every namespace": (
        {"podSelector": {}, "egress": [{"to": [{"namespaceSelector": {}}], "ports": HTTPS}]},
        WIDE,
    ),
    "models from the app tier": (ingress({"ipBlock": {"cidr": "10.28.64.0/18"}}), DOOR),
    "models from another room": (
        ingress({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}),
        DOOR,
    ),
    "models from each other": (ingress({"podSelector": {}}), DOOR),
}


@pytest.mark.parametrize("hole", HOLES)
def test_planted_hole_is_found_and_told_hop_by_hop(hole: str) -> None:
    spec, promise = HOLES[hole]
    [told] = broken(planted(spec))

    assert told.startswith(f"broken: {promise}")
    assert "→ network policy hole: " in told
    assert "pods of models" in told


def test_namespace_without_a_wall_is_found() -> None:
    told = broken(planted({}, "stray", NAMESPACE))

    assert told == [
        "broken: every namespace denies all connections that no policy allows\n"
        "  pods of stray\n"
        "  → no network policy denies both directions\n"
        "  → anything their nodes reach"
    ]


@pytest.mark.parametrize(
    "ports", [[{"protocol": "TCP", "port": "web"}], [{"protocol": "TCP", "port": 1, "endPort": 9}], [{}]]
)
def test_ports_that_cannot_be_judged_are_refused(ports: list[Spec]) -> None:
    spec = egress("10.28.0.0/18")
    spec["egress"][0]["ports"] = ports
    with pytest.raises(Unjudgeable, match="a port must be one number"):
        broken(planted(spec))


CLOSED = {
    "statelessDefaultActions": ["aws:forward_to_sfe"],
    "statefulEngineOptions": {"ruleOrder": "STRICT_ORDER"},
    "statefulDefaultActions": ["aws:drop_established"],
}
LISTED = {"generatedRulesType": "ALLOWLIST", "targetTypes": ["TLS_SNI"], "targets": ["api.example.com"]}


def group(**changes: Any) -> Spec:
    return {"ruleGroup": {"rulesSource": {"rulesSourceList": {**LISTED, **changes}}}}


def test_a_closed_firewall_passes_the_hosts_of_its_lists() -> None:
    groups = [group(), group(targets=["b.example.com"])]

    assert passed_hosts(CLOSED, groups) == frozenset({"api.example.com", "b.example.com"})
    assert passed_hosts(CLOSED, []) == frozenset()


@pytest.mark.parametrize(
    ("policy", "groups"),
    [
        ({**CLOSED, "statelessDefaultActions": ["aws:pass"]}, [group()]),
        ({**CLOSED, "statefulEngineOptions": {}}, [group()]),
        ({**CLOSED, "statefulDefaultActions": ["aws:alert_established"]}, [group()]),
        ({**CLOSED, "statelessRuleGroupReferences": [{"resourceArn": "arn"}]}, [group()]),
        (CLOSED, [group(generatedRulesType="DENYLIST")]),
        (CLOSED, [group(targetTypes=["TLS_SNI", "HTTP_HOST"])]),
        (CLOSED, [group(targets=[".example.com"])]),
        (CLOSED, [group(), {"rules": "pass tcp any any -> any any (sid:1;)"}]),
    ],
)
def test_a_firewall_with_any_other_rule_is_taken_to_be_open(policy: Spec, groups: list[Spec]) -> None:
    assert passed_hosts(policy, groups) is None
