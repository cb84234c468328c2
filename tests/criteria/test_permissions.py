"""Permissions are honest: every action and resource exists, every wildcard has a reason, no role is unbounded."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from components.permissions_boundary import boundary
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Decision, Request, evaluate
from tests.contracts.programs import TARGETS, captured, of_type
from tests.contracts.rendered_policies import Policies, policies
from tests.criteria.iam_linting import HOLDERS, findings
from tests.criteria.iam_reference import actions, arn_formats, is_about
from tests.criteria.rendered_documents import EVERYWHERE, Document, deployments, documents, documents_of, listed
from tests.criteria.reviewed_wildcards import WILDCARDS, names_many, wildcards
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
Statement = Mapping[str, Any]  # Any: JSON


def example(**changes: object) -> Document:
    """A document of one statement, for what must be found."""
    statement = {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"}
    content = {"Version": "2012-10-17", "Statement": [{**statement, **changes}]}
    return Document("planted", "prod", "RolePolicy", "hole", content)


# --- names -----------------------------------------------------------------------------------


def unknown_names(document: Document) -> list[str]:
    """Actions that do not exist, and resources that none of the statement's actions can be about."""
    found = []
    for statement in document.statements():
        named = listed(statement.get("Action", statement.get("NotAction", [])))
        found += [action for action in named if not actions(action)]
        found += [resource for resource in listed(statement.get("Resource", [])) if not _fits(resource, named)]
    return [f"{document}: {name}" for name in found]


def _fits(resource: str, named: list[str]) -> bool:
    every = [action for pattern in named for action in actions(pattern)]
    return resource == "*" or "*" in every or any(is_about(action, resource) for action in every)


def test_a_8_every_action_and_resource_in_every_policy_exists() -> None:
    everything = documents()

    assert len(everything) > 150
    assert [sentence for document in everything for sentence in unknown_names(document)] == []


@pytest.mark.parametrize(
    "hole",
    [
        {"Action": ["s3:GetObjects"]},
        {"Action": ["bedrock:Converse"]},
        {"Action": ["nosuchservice:Get"]},
        {"Action": ["kms:Decrypt"], "Resource": "arn:aws:s3:::b/*"},
        {"Action": ["bedrock:InvokeModel"], "Resource": "arn:aws:bedrock:us-east-1:111122223333:foundation-model/x"},
        {"Action": ["sqs:SendMessage"], "Resource": "arn:aws:sqs:::queue"},
    ],
)
def test_a_8_a_name_that_aws_does_not_know_is_found(hole: dict[str, object]) -> None:
    assert unknown_names(example()) == []
    assert unknown_names(example(**hole))


def test_a_8_the_reference_tells_calls_about_nothing_from_calls_about_something() -> None:
    assert arn_formats("ecr:getauthorizationtoken") == ()
    assert is_about("kms:decrypt", "arn:aws:kms:eu-west-1:111122223333:key/x")
    assert not is_about("kms:decrypt", "arn:aws:kms:eu-west-1:111122223333:alias/x")


def test_a_8_the_linter_has_nothing_to_say_about_any_policy() -> None:
    # Organization policies have a grammar of their own: test_a_8_every_action_and_resource… reads those too.
    judged = [document for document in documents() if document.program != "organization"]

    assert {document.kind for document in judged} <= set(HOLDERS)
    assert findings(judged) == []


@pytest.mark.parametrize(
    "hole",
    [
        {"Effect": "Permit"},
        {"Action": ["s3:GetObjects"]},
        {"Actions": ["s3:GetObject"]},
        {"Condition": {"StringEqual": {"aws:PrincipalAccount": "111122223333"}}},
        {"Principal": {"AWS": "*"}},
        {"Action": ["kms:Decrypt"]},
    ],
)
def test_a_8_the_linter_finds_a_planted_mistake(hole: dict[str, object]) -> None:
    assert findings([example()]) == []
    assert findings([example(**hole)])


# --- wildcards ------------------------------------------------------------------------------------


def unreviewed(document: Document) -> list[str]:
    return [
        f"{document}: {statement.get('Sid')}: {value}"
        for statement in document.statements()
        for value in _wildcards(statement)
        if not any(entry.covers(document.kind, str(statement.get("Sid")), value) for entry in WILDCARDS)
    ]


def _wildcards(statement: Statement) -> list[str]:
    named, resources = listed(statement.get("Action", [])), listed(statement.get("Resource", []))
    return wildcards(str(statement["Effect"]), named, resources)


@functools.cache
def found_wildcards() -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (document.kind, str(statement.get("Sid")), value)
        for document in documents()
        for statement in document.statements()
        for value in _wildcards(statement)
    )


def test_a_8_every_wildcard_is_on_the_reviewed_list() -> None:
    assert [sentence for document in documents() for sentence in unreviewed(document)] == []


@pytest.mark.parametrize(
    "hole",
    [
        {"Action": ["s3:*"]},
        {"Action": ["*"]},
        {"Resource": "*"},
        {"Resource": "arn:aws:s3:::*"},
        {"Resource": "arn:aws:s3:::other-*"},
        {"Resource": "arn:aws:sqs:us-east-1:111122223333:*"},
        {"Resource": "arn:aws:kms:us-east-1:111122223333:key/*"},
        {"Resource": "arn:aws:logs:*:111122223333:log-group:/a:*"},
    ],
)
def test_a_8_a_wildcard_without_a_reason_is_found(hole: dict[str, object]) -> None:
    assert unreviewed(example()) == []
    assert unreviewed(example(**hole))


@pytest.mark.parametrize("entry", WILDCARDS, ids=lambda entry: f"{entry.kind}-{entry.sid}-{entry.value}")
def test_a_8_every_entry_of_the_reviewed_list_is_used_and_has_a_reason(entry: Any) -> None:  # Any: a list entry
    used = [value for kind, sid, value in found_wildcards() if entry.covers(kind, sid, value)]

    assert used
    assert len(entry.reason) > 20


def test_a_8_what_lies_in_one_thing_of_ours_is_no_wildcard() -> None:
    assert not names_many("arn:aws:s3:::bucket/heads/*")
    assert not names_many("arn:aws:logs:us-east-1:111122223333:log-group:/llm/gateway:*")
    assert names_many("arn:aws:s3:::bucket-*")


# --- graph 3 --------------------------------------------------------------------------------------


def holes_in(value: object) -> bool:
    """None, or the text that a missing value or an Output leaves behind."""
    if isinstance(value, Mapping):
        return any(holes_in(inner) for inner in value.values())
    if isinstance(value, list):
        return any(holes_in(inner) for inner in value)
    return value is None or (isinstance(value, str) and ("None" in value or "Calling __str__" in value))


@pytest.mark.parametrize(("program", "stack"), EVERYWHERE)
def test_graph_3_no_none_in_policy_json(program: str, stack: str) -> None:
    assert [str(document) for document in documents_of(program, stack) if holes_in(document.content)] == []


@pytest.mark.parametrize("hole", ["arn:aws:s3:::None/*", None, ["a", None], "Calling __str__ on an Output[T]"])
def test_graph_3_a_missing_value_is_found(hole: object) -> None:
    assert holes_in(example(Resource=hole).content)


# --- the permissions boundary ---------------------------------------------------------------------


def unbounded(deployment: Any) -> list[str]:  # Any: engine.Deployment, or one changed
    [policy] = [one for one in of_type(deployment, "Policy") if one.name == "boundary-policy"]
    return [role.name for role in roles(deployment) if role.inputs.get("permissionsBoundary") != policy.outputs["arn"]]


def roles(deployment: Any) -> list[Any]:
    """IAM's; Kubernetes has roles too."""
    return [one for one in deployment.resources if one.type == "aws:iam/role:Role"]


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_t_k6_every_role_carries_the_permissions_boundary(stack: str) -> None:
    deployment = captured("platform", stack)

    assert len(roles(deployment)) >= 7
    assert unbounded(deployment) == []
    assert all(any("boundary-policy" in urn for urn in role.dependencies) for role in roles(deployment))


def test_t_k6_programs_above_the_platform_make_no_role_without_it() -> None:
    others = [one for program, _, one in deployments() if program != "platform"]
    made = [role for deployment in others for role in roles(deployment)]

    assert others
    assert [role.name for role in made if not role.inputs.get("permissionsBoundary")] == []


def test_t_k6_a_role_without_the_boundary_is_found() -> None:
    deployment = captured("platform", "prod")
    first = roles(deployment)[0]
    bare = replace(first, inputs={**first.inputs, "permissionsBoundary": ""})
    planted = replace(deployment, resources=tuple(bare if one is first else one for one in deployment.resources))

    assert unbounded(planted) == [first.name]


@pytest.mark.parametrize(("program", "stack"), TARGETS)
def test_t_k6_permissions_are_resources_of_their_own(program: str, stack: str) -> None:
    """Inline and managed policies on the role itself detach what others attached."""
    made = roles(captured(program, stack))

    assert not [role.name for role in made if {"inlinePolicies", "managedPolicyArns"} & set(role.inputs)]


ACCOUNT = "333344445555"
TASK = f"arn:aws:iam::{ACCOUNT}:role/llm-pipelines-prod-gateway"


def task(action: str, resource: str, owner: str = ACCOUNT) -> Decision:
    """A task whose own policy allows everything: what its boundary leaves of that."""
    request = Request(TASK, action, resource, resource_account=owner)
    return evaluate(request, identity=[FULL_AWS_ACCESS], boundary=[boundary(ACCOUNT)])


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/new"),
        ("iam:PutRolePolicy", TASK),
        ("iam:DeleteRolePermissionsBoundary", TASK),
        ("iam:PutRolePermissionsBoundary", TASK),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/llm-pipelines-prod-boundary"),
        ("iam:CreateServiceSpecificCredential", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("iam:PassRole", TASK),
        ("bedrock-mantle:CreateInference", f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/default"),
        ("bedrock:CallWithBearerToken", "*"),
        ("bedrock:DeleteModelInvocationLoggingConfiguration", "*"),
        ("cloudtrail:StopLogging", f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/x"),
        ("logs:DeleteLogGroup", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:x"),
        ("s3:BypassGovernanceRetention", "arn:aws:s3:::evidence/heads/1"),
        ("kms:ScheduleKeyDeletion", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/x"),
        ("organizations:LeaveOrganization", "*"),
    ],
)
def test_t_k6_whatever_a_task_may_it_may_not_do_this(action: str, resource: str) -> None:
    decision = task(action, resource)

    assert "boundary" in decision.refused_by, decision.reason


def test_t_k6_a_task_cannot_leave_its_account() -> None:
    decision = task("sts:AssumeRole", "arn:aws:iam::111122223333:role/admin", owner="111122223333")

    assert "DenyOtherAccounts" in decision.statements


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", "arn:aws:s3:::bucket/key"),
        ("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/x"),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:queue"),
    ],
)
def test_t_k6_the_boundary_leaves_a_task_its_work(action: str, resource: str) -> None:
    assert task(action, resource).allowed


# --- graph 27: nobody is locked out ---------------------------------------------------------------


DEPLOYERS = ("deployer", "document-assistant-deployer")  # of the platform, and of the workload's own bucket


def deployer_may(p: Policies, action: str, resource: str) -> bool:
    """A deployer from its own runner: no endpoint of ours, its own policy allows everything."""
    roles = [f"arn:aws:iam::{p.account}:role/llm-pipelines-prod-{name}" for name in DEPLOYERS]
    return any(p.decide(role, action, resource, identity=[FULL_AWS_ACCESS]).allowed for role in roles)


def locked_out(p: Policies) -> list[str]:
    """Each policy that denies, whose deployer could not change it any more."""
    changes = {"BucketPolicy": "s3:PutBucketPolicy", "Key": "kms:PutKeyPolicy", "QueuePolicy": "sqs:SetQueueAttributes"}
    found = []
    for one in p.resources:
        kind = one.type.rpartition(":")[2]
        if kind in changes and not deployer_may(p, changes[kind], _governed(one)):
            found.append(one.name)
    return found


def _governed(one: Any) -> str:  # Any: engine.Resource
    if one.type.endswith(":BucketPolicy"):
        return f"arn:aws:s3:::{one.inputs['bucket']}"
    if one.type.endswith(":QueuePolicy"):
        return str(json.loads(one.inputs["policy"])["Statement"][0]["Resource"])
    return str(one.outputs["arn"])


def test_graph_27_deployer_not_locked_out() -> None:
    """T-K7: whoever deploys can still change each policy that denies, from outside our network."""
    p = policies("prod")
    kinds = [one.type.rpartition(":")[2] for one in p.resources]

    assert min(kinds.count(kind) for kind in ("BucketPolicy", "Key", "QueuePolicy")) >= 1
    assert locked_out(p) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}},
        {"StringNotEquals": {"aws:PrincipalArn": TASK}},
    ],
)
def test_graph_27_a_policy_that_locks_the_deployer_out_is_found(condition: dict[str, Any]) -> None:
    p = policies("prod")
    first = next(one for one in p.resources if one.type.endswith(":BucketPolicy"))
    policy = json.loads(first.inputs["policy"])
    policy["Statement"].append(
        {
            "Sid": "LockOut",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{first.inputs['bucket']}",
            "Condition": condition,
        }
    )
    planted = replace(first, inputs={**first.inputs, "policy": json.dumps(policy)})
    resources = tuple(planted if one is first else one for one in p.resources)

    assert locked_out(replace(p, resources=resources)) == [first.name]


def test_graph_27_the_deployer_is_no_task_and_carries_no_boundary() -> None:
    names = {role.inputs["name"] for role in roles(captured("platform", "prod"))}

    assert "llm-pipelines-prod-deployer" not in names
