"""Life cycle: nothing that holds state is lost by an update, and what is taken down goes in an order that works."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.lifecycle.preview_gate import (
    DESTRUCTIVE,
    HARMLESS,
    REMADE,
    UnreadablePreview,
    dangers,
    is_stateful,
    main,
    unplanned,
)
from stacks.local import engine
from tests.contracts.programs import TARGETS, captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
KEY = "urn:pulumi:prod::llm-pipelines::llm-pipelines:components:DataKey$aws:kms/key:Key::evidence-key"
RULE = "urn:pulumi:prod::llm-pipelines::aws:lb/listenerRule:ListenerRule::gateway-public-paths"
Step = dict[str, Any]  # Any: as the CLI writes it


def preview(*steps: Step) -> Step:
    return {"steps": list(steps), "changeSummary": {}}


# --- the gate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", sorted(DESTRUCTIVE))
def test_a_preview_that_destroys_state_is_stopped(operation: str) -> None:
    [danger] = dangers(preview({"op": operation, "urn": KEY, "replaceReasons": ["description"]}))

    assert (danger.urn, danger.does, danger.because) == (KEY, operation, "description")


@pytest.mark.parametrize("operation", sorted(HARMLESS))
def test_a_preview_that_leaves_state_alone_passes(operation: str) -> None:
    assert dangers(preview({"op": operation, "urn": KEY})) == []


@pytest.mark.parametrize("operation", sorted(DESTRUCTIVE))
def test_what_holds_no_state_may_be_replaced(operation: str) -> None:
    assert dangers(preview({"op": operation, "urn": RULE})) == []


def test_taking_protection_away_is_stopped_before_the_deletion_that_follows() -> None:
    step = {"op": "update", "urn": KEY, "oldState": {"protect": True}, "newState": {"protect": False}}

    assert [danger.does for danger in dangers(preview(step))] == ["unprotect"]
    assert dangers(preview({**step, "newState": {"protect": True}})) == []


def test_a_planned_deletion_is_named_and_a_stale_plan_stops_too() -> None:
    found = dangers(preview({"op": "delete", "urn": KEY}))

    assert unplanned(found, [KEY]) == []
    assert unplanned(found, []) == [f"delete {KEY}"]
    assert unplanned([], [KEY]) == [f"planned, but not in this preview: {KEY}"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"steps": None},
        {"steps": [{"op": "obliterate", "urn": KEY}]},
        {"steps": [{"op": "delete"}]},
        {"steps": [{"op": "delete", "urn": "not a urn"}]},
    ],
)
def test_what_cannot_be_read_is_refused(content: Step) -> None:
    with pytest.raises(UnreadablePreview):
        dangers(content)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (json.dumps(preview({"op": "update", "urn": KEY})), 0),
        (json.dumps(preview({"op": "replace", "urn": KEY})), 1),
        ("error: no stack selected", 2),
        ("[]", 2),
    ],
)
def test_the_command_says_yes_no_or_unreadable(text: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], io.StringIO(text)) == code
    assert bool(capsys.readouterr().err) is (code != 0)


@given(st.sampled_from(sorted(DESTRUCTIVE | HARMLESS)), st.lists(st.sampled_from([KEY, RULE]), max_size=6))
def test_the_gate_stops_exactly_the_destructive_steps_on_state(operation: str, urns: list[str]) -> None:
    found = dangers(preview(*({"op": operation, "urn": urn} for urn in urns)))

    assert len(found) == (urns.count(KEY) if operation in DESTRUCTIVE else 0)


@pytest.mark.parametrize("program", ["platform", "document_assistant"])
def test_the_gate_stops_the_loss_of_whatever_a_program_protects(program: str) -> None:
    protected = [one for one in captured(program, "prod").resources if one.protect and one.custom]
    steps = [{"op": "delete", "urn": one.urn, "oldState": {"protect": True}} for one in protected]

    assert len(steps) >= 2
    assert {danger.urn for danger in dangers(preview(*steps))} == {one.urn for one in protected}


@EVERY_TARGET
def test_the_gate_knows_what_holds_state_without_being_told_that_it_is_protected(program: str, stack: str) -> None:
    holding = [one for one in captured(program, stack).resources if one.type in STATE]

    assert holding
    assert [one.type for one in holding if not is_stateful(one.type)] == []
    assert not is_stateful("aws:lb/listenerRule:ListenerRule")
    assert not any(is_stateful(kind) for kind in REMADE)


# --- graph 28 -------------------------------------------------------------------------------------

# What cannot be made again from these programs; the rest of a service's types are settings of these.
STATE = {
    "aws:acmpca/certificateAuthority:CertificateAuthority",
    "aws:ecr/repository:Repository",
    "aws:kms/key:Key",
    "aws:rds/cluster:Cluster",
    "aws:s3/bucket:Bucket",
}


def unprotected(deployment: engine.Deployment) -> list[str]:
    return [one.name for one in deployment.resources if one.type in STATE and not one.protect]


@pytest.mark.parametrize("program", ["platform", "document_assistant"])
def test_graph_28_stateful_protected_in_prod(program: str) -> None:
    deployment = captured(program, "prod")

    assert [one for one in deployment.resources if one.type in STATE]
    assert unprotected(deployment) == []


def test_graph_28_a_key_without_protection_is_found() -> None:
    deployment = captured("platform", "prod")
    key = of_type(deployment, "Key")[0]
    bare = tuple(replace(one, protect=False) if one is key else one for one in deployment.resources)

    assert unprotected(replace(deployment, resources=bare)) == [key.name]


@EVERY_ENVIRONMENT
def test_graph_28_nothing_is_protected_where_everything_must_go_again(stack: str) -> None:
    kept = [one.name for one in captured("platform", stack).resources if one.protect and one.type in STATE]

    assert bool(kept) is (stack == "prod")


@EVERY_ENVIRONMENT
def test_graph_28_evidence_outlives_its_stack(stack: str) -> None:
    """A locked bucket cannot be emptied: a destroy that tried would fail half-way."""
    deployment = captured("platform", stack)
    locked = [one for one in of_type(deployment, "Bucket") if one.inputs.get("objectLockEnabled")]

    assert any(one.name == "evidence-bucket" for one in locked)
    assert [one.name for one in locked if not one.retain_on_delete] == []
    assert not any(one.inputs.get("forceDestroy") for one in of_type(deployment, "Bucket"))


# --- the order of deletion ------------------------------------------------------------------------


def edges(deployment: engine.Deployment) -> dict[str, set[str]]:
    """Of every resource all that it stands on, by URN: parents, dependencies, and through whom."""
    direct = {
        one.urn: {
            *one.dependencies,
            *(urn for urns in one.property_dependencies.values() for urn in urns),
        }
        for one in deployment.resources
    }
    children: dict[str, set[str]] = {}
    for one in deployment.resources:
        children.setdefault(one.parent, set()).add(one.urn)
    return {urn: _closed(urn, direct, children) for urn in direct}


def _closed(urn: str, direct: dict[str, set[str]], children: dict[str, set[str]]) -> set[str]:
    """Depending on a component is depending on all that is inside."""
    found: set[str] = set()
    waiting = list(direct[urn])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [*direct.get(one, ()), *children.get(one, ())]
    return found


def stands_on(deployment: engine.Deployment, upper: engine.Resource, lower: engine.Resource) -> bool:
    """True when `upper` is deleted before `lower`."""
    return lower.urn in edges(deployment)[upper.urn]


ORDER = {
    "a task keeps its permissions until it is gone": (("Service", "gateway"), ("RolePolicy", "gateway-permissions")),
    "ingestion keeps its permissions": (("Service", "gateway-ingest"), ("RolePolicy", "gateway-ingest-permissions")),
    "scaling goes before the service": (("Target", "gateway-target"), ("Service", "gateway")),
    "the service goes before the rule that leads to it": (
        ("Service", "gateway"),
        ("ListenerRule", "gateway-public-paths"),
    ),
    "the rule goes before the listener": (("ListenerRule", "gateway-public-paths"), ("Listener", "gateway-listener")),
    "the load balancer logs until the end": (
        ("LoadBalancer", "gateway-load-balancer"),
        ("BucketPolicy", "load-balancer-logs-policy"),
    ),
    "the database goes before its log group": (
        ("Cluster", "database-cluster"),
        ("LogGroup", "database-logs-log-group"),
    ),
    "instances go before the cluster": (
        ("ClusterInstance", "database-instance-1"),
        ("Cluster", "database-cluster"),
    ),
    "roles go before their boundary": (("Role", "gateway-role"), ("Policy", "boundary-policy")),
}


def named(deployment: engine.Deployment, kind: str, name: str) -> engine.Resource:
    found = [one for one in of_type(deployment, kind) if one.custom and one.name.startswith(name)]
    assert found, f"{kind} {name}: {[one.name for one in of_type(deployment, kind)]}"
    return found[0]


@pytest.mark.parametrize("pair", ORDER.values(), ids=ORDER.keys())
def test_t_e4_what_stands_on_something_goes_first(pair: tuple[tuple[str, str], tuple[str, str]]) -> None:
    deployment = captured("platform", "prod")
    upper, lower = (named(deployment, *one) for one in pair)

    assert stands_on(deployment, upper, lower)
    assert not stands_on(deployment, lower, upper)


def cut_off(deployment: engine.Deployment) -> list[str]:
    """Cluster and nodes whose role would lose its permissions while they are still being deleted."""
    found, below = [], edges(deployment)
    attachments = [one for one in deployment.resources if one.type.startswith("aws:iam/rolePolicyAttachment")]
    for one in deployment.resources:
        if one.type not in ("aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"):
            continue
        arn = one.inputs.get("roleArn") or one.inputs.get("nodeRoleArn")
        [role] = [role for role in of_type(deployment, "Role") if role.outputs["arn"] == arn]
        own = {attached.urn for attached in attachments if attached.inputs["role"] == role.inputs["name"]}
        if not own or not own <= below[one.urn]:
            found.append(one.name)
    return found


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_t_e4_role_policies_outlive_cluster_and_nodes(stack: str) -> None:
    deployment = captured("platform", stack)

    assert [one for one in deployment.resources if one.type == "aws:eks/nodeGroup:NodeGroup"]
    assert cut_off(deployment) == []


def test_t_e4_a_node_group_that_does_not_wait_is_found() -> None:
    deployment = captured("platform", "prod")
    node = next(one for one in deployment.resources if one.type == "aws:eks/nodeGroup:NodeGroup")
    alone = replace(node, dependencies=(), property_dependencies={})
    resources = tuple(alone if one is node else one for one in deployment.resources)

    assert node.name in cut_off(replace(deployment, resources=resources))


@EVERY_ENVIRONMENT
def test_t_e4_an_update_does_not_undo_what_scaling_did(stack: str) -> None:
    deployment = captured("platform", stack)

    assert only(deployment, "Service", "gateway").ignore_changes == ("desiredCount",)
    nodes = [one for one in deployment.resources if one.type == "aws:eks/nodeGroup:NodeGroup"]
    assert all(any("desiredSize" in path for path in node.ignore_changes) for node in nodes)


# --- permissions that have not spread yet ---------------------------------------------------------

# Types whose creation tries a role or a bucket policy out.
TRIES_PERMISSIONS_OUT = {
    "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration",
    "aws:ec2/flowLog:FlowLog",
}


def impatient(deployment: engine.Deployment) -> list[str]:
    """Resources that would fail the first `up` in a new account, because IAM takes its time."""
    return [
        one.name
        for one in deployment.resources
        if (one.type in TRIES_PERMISSIONS_OUT or one.inputs.get("podIdentityAssociations")) and not one.error_hooks
    ]


@EVERY_ENVIRONMENT
def test_t_k6_what_tries_permissions_out_is_tried_again(stack: str) -> None:
    deployment = captured("platform", stack)

    assert [one for one in deployment.resources if one.error_hooks]
    assert impatient(deployment) == []


def test_t_k6_a_resource_that_does_not_wait_for_permissions_is_found() -> None:
    deployment = captured("platform", "prod")
    logging = only(deployment, "InvocationLoggingConfiguration")
    hasty = tuple(replace(one, error_hooks=()) if one is logging else one for one in deployment.resources)

    assert impatient(replace(deployment, resources=hasty)) == [logging.name]
