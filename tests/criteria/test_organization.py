"""The organization's policies: every deny that is promised, decided for the worst case, an administrator.

Each table has its twin: what the same policies let through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from components import resource_control_policies as rcp
from components import service_control_policies as scp
from components.organization_policies import (
    OrganizationPolicy,
    PolicyType,
    TooManyPolicies,
    guardrail_policy,
    require_room,
)
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.governance import Governance
from stacks.local import engine
from stacks.local.iam.document import parse_document
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import Decision, Request, evaluate
from stacks.organization.policies import organization_policies
from tests.contracts.governed import ANYTHING, ELSEWHERE, attached, governance, organization_layer
from tests.contracts.programs import captured, of_type, only
from tests.criteria.iam_reference import services
from tests.stacks.configurations import ORGANIZATION, changed, environment_values, governance_values

ENVIRONMENTS = ("dev", "staging", "prod")
ACCOUNTS = {"dev": "111122223333", "staging": "222233334444", "prod": "333344445555"}
GUARDRAIL = "arn:aws:bedrock:us-east-1:333344445555:guardrail/abc123:4"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
OTHER_MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
Keys = dict[str, ContextValue]
# A resource whose own policy lets everybody in: what is left are the organization's policies.
OPEN = [{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}]


def role(environment: str, name: str) -> str:
    return f"arn:aws:iam::{ACCOUNTS[environment]}:role/{name}"


def profile(environment: str, kind: str = "application-inference-profile") -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNTS[environment]}:{kind}/x"


def by(caller: str, environment: str, action: str, resource: str, keys: Mapping[str, ContextValue]) -> Decision:
    """An allowed identity under nothing but the service control policies of its environment."""
    context: Keys = {"aws:RequestedRegion": "us-east-1", **keys}
    principal = role(environment, caller.format(env=environment))
    request = Request(principal, action, resource, context, resource_account=ACCOUNTS[environment])
    bound = organization_layer(environment, PolicyType.SERVICE_CONTROL)
    return evaluate(request, identity=ANYTHING, resource=OPEN, scp=bound)


# sentence → (Sid, action, resource, context keys)
Row = tuple[str, str, str, Keys]
ADMINISTRATOR = "administrator"
DENIED: dict[str, Row] = {
    "a call past the invocation log": ("DenyMantle", "bedrock-mantle:CreateInference", "*", {}),
    "a model called past the gateway": (
        "DenyOtherCallers",
        "bedrock:InvokeModel",
        NOVA,
        {"bedrock:InferenceProfileArn": profile("prod")},
    ),
    "a model without a profile": ("DenyModelsWithoutProfile", "bedrock:InvokeModel", NOVA, {}),
    "a model through AWS's own profile": (
        "DenyModelsWithoutProfile",
        "bedrock:InvokeModelWithResponseStream",
        NOVA,
        {"bedrock:InferenceProfileArn": profile("prod", "inference-profile")},
    ),
    "a model off the list": (
        "DenyModelsOffTheList",
        "bedrock:InvokeModel",
        OTHER_MODEL,
        {"bedrock:InferenceProfileArn": profile("prod")},
    ),
    "an imported model": (
        "DenyModelsOffTheList",
        "bedrock:InvokeModel",
        "arn:aws:bedrock:us-east-1:333344445555:imported-model/x",
        {},
    ),
    "a bearer token of long life": (
        "DenyBearerTokens",
        "bedrock:CallWithBearerToken",
        "*",
        {"bedrock:BearerTokenType": "LONG_TERM"},
    ),
    "a bearer token of short life": (
        "DenyBearerTokens",
        "bedrock:CallWithBearerToken",
        "*",
        {"bedrock:BearerTokenType": "SHORT_TERM"},
    ),
    "a bearer token past the log": ("DenyBearerTokens", "bedrock-mantle:CallWithBearerToken", "*", {}),
    "an API key": ("DenyApiKeys", "iam:CreateServiceSpecificCredential", "arn:aws:iam::333344445555:user/x", {}),
    "a user": ("DenyUsers", "iam:CreateUser", "arn:aws:iam::333344445555:user/x", {}),
    "data kept by the provider": (
        "DenyDataRetention",
        "bedrock:PutAccountDataRetention",
        "*",
        {"bedrock:DataRetentionMode": "provider_data_share"},
    ),
    "data kept for whoever says nothing": ("DenyDataRetention", "bedrock:PutAccountDataRetention", "*", {}),
    "data kept past the log": (
        "DenyMantleDataRetention",
        "bedrock-mantle:PutAccountDataRetention",
        "*",
        {"bedrock-mantle:DataRetentionMode": "default"},
    ),
    "the invocation log switched off": (
        "DenyChangesOfInvocationLog",
        "bedrock:DeleteModelInvocationLoggingConfiguration",
        "*",
        {},
    ),
    "the invocation log sent elsewhere": (
        "DenyChangesOfInvocationLog",
        "bedrock:PutModelInvocationLoggingConfiguration",
        "*",
        {},
    ),
    "a guardrail deleted": ("DenyChangesOfGuardrails", "bedrock:DeleteGuardrail", GUARDRAIL.rpartition(":")[0], {}),
    "the enforced guardrail lifted": (
        "DenyChangesOfGuardrails",
        "bedrock:DeleteEnforcedGuardrailConfiguration",
        "*",
        {},
    ),
    "a model in another Region": (
        "DenyModelsElsewhere",
        "bedrock:InvokeModel",
        NOVA,
        {"aws:RequestedRegion": "ap-south-1"},
    ),
    "a global profile": (
        "DenyModelsElsewhere",
        "bedrock:InvokeModel",
        "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0",
        {"aws:RequestedRegion": "unspecified"},
    ),
    "a machine in another Region": (
        "DenyRegions",
        "ec2:RunInstances",
        "arn:aws:ec2:eu-north-1:333344445555:instance/*",
        {"aws:RequestedRegion": "eu-north-1", "aws:RequestTag/env": "prod"},
    ),
    "the trail stopped": ("DenyDestructionOfRecords", "cloudtrail:StopLogging", "*", {}),
    "the trail deleted": ("DenyDestructionOfRecords", "cloudtrail:DeleteTrail", "*", {}),
    "a lock bypassed": ("DenyDestructionOfRecords", "s3:BypassGovernanceRetention", "arn:aws:s3:::evidence/x", {}),
    "a key deleted": (
        "DenyDestructionOfKeys",
        "kms:ScheduleKeyDeletion",
        "arn:aws:kms:us-east-1:333344445555:key/x",
        {},
    ),
    "a lock shortened": (
        "DenyChangesOfRecords",
        "s3:PutBucketObjectLockConfiguration",
        "arn:aws:s3:::evidence",
        {},
    ),
    "an account that leaves": ("DenyLeaving", "organizations:LeaveOrganization", "*", {}),
    "a snapshot shared": (
        "DenySharing",
        "rds:ModifyDBClusterSnapshotAttribute",
        "arn:aws:rds:us-east-1:333344445555:cluster-snapshot:x",
        {},
    ),
    "a volume's snapshot shared": ("DenySharing", "ec2:ModifySnapshotAttribute", "*", {}),
    "an image shared": ("DenySharing", "ec2:ModifyImageAttribute", "*", {}),
    "a resource shared": ("DenySharing", "ram:CreateResourceShare", "*", {}),
    "logs streamed away": ("DenySharing", "logs:PutSubscriptionFilter", "*", {}),
    "public access unblocked": ("DenyPublicAccess", "s3:PutBucketPublicAccessBlock", "arn:aws:s3:::content", {}),
    "a bucket policy": ("DenyResourcePolicies", "s3:PutBucketPolicy", "arn:aws:s3:::content", {}),
    "a bucket replicated": ("DenyResourcePolicies", "s3:PutReplicationConfiguration", "arn:aws:s3:::content", {}),
    "networks peered": ("DenyPeering", "ec2:CreateVpcPeeringConnection", "*", {}),
    "hubs peered": ("DenyPeering", "ec2:CreateTransitGatewayPeeringAttachment", "*", {}),
    "a way out": ("DenyWaysOut", "ec2:CreateNatGateway", "*", {}),
    "an object written to somebody else": (
        "DenyWritingOutside",
        "s3:PutObject",
        "arn:aws:s3:::collector/a",
        {"aws:ResourceAccount": ELSEWHERE},
    ),
    "a database without its environment": (
        "DenyWithoutEnv",
        "rds:CreateDBCluster",
        "arn:aws:rds:us-east-1:333344445555:cluster:x",
        {"aws:RequestTag/data-class": "restricted"},
    ),
    "a database without its data class": (
        "DenyWithoutDataClass",
        "rds:CreateDBCluster",
        "arn:aws:rds:us-east-1:333344445555:cluster:x",
        {"aws:RequestTag/env": "prod"},
    ),
    "a key said to be of another environment": (
        "DenyTagOfAnother",
        "kms:CreateKey",
        "*",
        {"aws:RequestTag/env": "local", "aws:RequestTag/data-class": "public"},
    ),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("row", DENIED.values(), ids=DENIED.keys())
def test_a_19_an_administrator_is_denied(row: Row, environment: str) -> None:
    sid, action, resource, keys = row
    decision = by(ADMINISTRATOR, environment, action, resource, keys)

    assert decision.refused_by == ("scp",)
    assert sid in decision.statements


ALLOWED: dict[str, tuple[str, str, str, Keys]] = {
    "the gateway calls its profile": ("llm-pipelines-{env}-gateway", "bedrock:InvokeModel", "{profile}", {}),
    "the gateway calls the model behind it": (
        "llm-pipelines-{env}-gateway",
        "bedrock:InvokeModel",
        NOVA,
        {"bedrock:InferenceProfileArn": "{profile}"},
    ),
    "retention is set to none": (
        "llm-pipelines-{env}-deployer",
        "bedrock:PutAccountDataRetention",
        "*",
        {"bedrock:DataRetentionMode": "none"},
    ),
    "the deployer sets up the invocation log": (
        "llm-pipelines-{env}-deployer",
        "bedrock:PutModelInvocationLoggingConfiguration",
        "*",
        {},
    ),
    "the deployer writes a bucket policy": (
        "llm-pipelines-{env}-deployer",
        "s3:PutBucketPolicy",
        "arn:aws:s3:::content",
        {},
    ),
    "a workload's deployer writes its key's policy": (
        "llm-pipelines-{env}-document-assistant-deployer",
        "kms:PutKeyPolicy",
        "*",
        {},
    ),
    "the deployer joins the hub": (
        "llm-pipelines-{env}-deployer",
        "ec2:CreateTransitGatewayVpcAttachment",
        "*",
        {},
    ),
    "a tagged database": (
        "llm-pipelines-{env}-deployer",
        "rds:CreateDBCluster",
        "*",
        {"aws:RequestTag/env": "{env}", "aws:RequestTag/data-class": "internal"},
    ),
    "a secret that the database service makes for the deployer": (
        "llm-pipelines-{env}-deployer",
        "secretsmanager:CreateSecret",
        "*",
        {"aws:ViaAWSService": True},
    ),
    "break-glass deletes a key": ("llm-pipelines-{env}-break-glass", "kms:ScheduleKeyDeletion", "*", {}),
    "break-glass stops a trail": ("llm-pipelines-{env}-break-glass", "cloudtrail:StopLogging", "*", {}),
    "a role is read in the Region where IAM answers": (ADMINISTRATOR, "iam:GetRole", "*", {}),
    "an object written at home": (
        ADMINISTRATOR,
        "s3:PutObject",
        "arn:aws:s3:::own/a",
        {"aws:ResourceOrgID": "o-a1b2c3d4e5"},
    ),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("row", ALLOWED.values(), ids=ALLOWED.keys())
def test_graph_27_deployer_not_locked_out_by_the_organization(row: Row, environment: str) -> None:
    caller, action, resource, keys = row
    words = {"env": environment, "profile": profile(environment)}
    filled = {key: value.format(**words) if isinstance(value, str) else value for key, value in keys.items()}
    decision = by(caller, environment, action, resource.format(**words), filled)

    assert decision.allowed, decision.reason


@pytest.mark.parametrize(
    ("instance", "allowed"),
    [
        ("p5.48xlarge", False),
        ("p4d.24xlarge", False),
        ("g6e.xlarge", False),
        ("trn1.2xlarge", False),
        ("g6.xlarge", True),
        ("m7i.large", True),
    ],
)
def test_d_13_dev_runs_no_large_accelerator(instance: str, *, allowed: bool) -> None:
    machine = "arn:aws:ec2:us-east-1:{account}:instance/*"
    keys: Keys = {"ec2:InstanceType": instance}

    def run(environment: str) -> Decision:
        tagged = {**keys, "aws:RequestTag/env": environment}
        return by(ADMINISTRATOR, environment, "ec2:RunInstances", machine.format(account=ACCOUNTS[environment]), tagged)

    assert run("dev").allowed is allowed
    assert run("prod").allowed


def test_d_13_dev_buys_no_capacity() -> None:
    assert by(ADMINISTRATOR, "dev", "ec2:PurchaseCapacityBlock", "*", {}).statements == ("DenyCapacityBlocks",)
    assert by(ADMINISTRATOR, "prod", "ec2:PurchaseCapacityBlock", "*", {}).allowed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("action", ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:DeleteImportedKeyMaterial"])
def test_c_12_nobody_but_break_glass_destroys_a_key(action: str, environment: str) -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNTS[environment]}:key/x"
    callers = [
        ADMINISTRATOR,
        *(f"llm-pipelines-{environment}-{name}" for name in ("deployer", "break-glass", "gateway")),
    ]

    able = [caller for caller in callers if by(caller, environment, action, key, {}).allowed]
    assert able == [f"llm-pipelines-{environment}-break-glass"]


def test_c_12_break_glass_of_one_environment_is_nobody_in_another() -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNTS['prod']}:key/x"

    assert not by("llm-pipelines-dev-break-glass", "prod", "kms:ScheduleKeyDeletion", key, {}).allowed


# --- documents ------------------------------------------------------------------------------------

JUDGED = [policy for policy in organization_policies(governance()) if policy.kind is not PolicyType.BEDROCK]
every_policy = pytest.mark.parametrize("policy", JUDGED, ids=lambda policy: policy.name)


@every_policy
def test_a_19_a_policy_fits_and_only_denies(policy: OrganizationPolicy) -> None:
    statements = parse_document(policy.content, policy.name)

    assert len(policy.content) <= 5120 == scp.CHARACTERS_MAX == rcp.CHARACTERS_MAX
    assert not any(statement.allows for statement in statements)
    assert len(policy.name) < 100


@every_policy
def test_a_8_every_action_of_an_organization_policy_exists(policy: OrganizationPolicy) -> None:
    named = [
        action
        for statement in parse_document(policy.content, policy.name)
        for action in (*(statement.action or ()), *(statement.not_action or ()))
    ]

    assert named
    assert [action for action in named if not exists(action)] == []


def exists(pattern: str) -> bool:
    if pattern == "*":
        return True
    service, _, name = pattern.lower().partition(":")
    known = services().get(service, {"Actions": {}})["Actions"]
    return any(one.startswith(name.rstrip("*")) if name.endswith("*") else one == name for one in known)


def test_a_8_a_misspelt_action_would_be_found() -> None:
    assert not exists("bedrock:PutDataRetention")
    assert not exists("s3:PutObjects")


@pytest.mark.parametrize(
    "policy", [one for one in JUDGED if one.kind is PolicyType.RESOURCE_CONTROL], ids=lambda one: one.name
)
def test_a_resource_control_policy_uses_only_what_aws_accepts(policy: OrganizationPolicy) -> None:
    """Principal "*" and nothing else, no NotAction, no action "*" alone, services that AWS covers."""
    covered = {action.partition(":")[0] for action in rcp.COVERED}
    for statement in json.loads(policy.content)["Statement"]:
        assert statement["Principal"] == {"AWS": "*"}, statement["Sid"]
        assert "NotAction" not in statement, statement["Sid"]
        assert {action.partition(":")[0] for action in statement["Action"]} <= covered, statement["Sid"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_target_has_room_for_its_policies(environment: str) -> None:
    require_room(attached(environment))

    more = [
        OrganizationPolicy(f"more-{n}", PolicyType.SERVICE_CONTROL, "", "{}", ["ou-ab12-40000000"]) for n in range(5)
    ]
    with pytest.raises(TooManyPolicies, match="more-4: ou-ab12-40000000 would carry more than 5"):
        require_room(more)


def test_the_guardrail_of_the_organization_lets_callers_choose_nothing() -> None:
    written = json.loads(guardrail_policy({"us-east-1": GUARDRAIL}))

    assert written["bedrock"]["guardrail_inference"]["us-east-1"]["config_1"] == {
        "identifier": {"@@assign": GUARDRAIL},
        "input_tags": {"@@assign": "ignore"},
    }


# --- resource control: outsiders, networks, services ----------------------------------------------

EVIDENCE = "arn:aws:s3:::llm-pipelines-prod-evidence-333344445555/heads/1.json"
PROD_PATH = "o-a1b2c3d4e5/r-ab12/ou-ab12-10000000/ou-ab12-40000000/"
DEV_PATH = "o-a1b2c3d4e5/r-ab12/ou-ab12-10000000/ou-ab12-20000000/"
PROD_NETWORK, DEV_NETWORK = "vpc-00000000000000003", "vpc-00000000000000001"


def reaches(
    principal: str, keys: Mapping[str, ContextValue], resource: str = EVIDENCE, action: str = "s3:GetObject"
) -> Decision:
    """A bucket whose own policy lets everybody in: what is left are the resource control policies."""
    request = Request(principal, action, resource, keys, resource_account=ACCOUNTS["prod"])
    return evaluate(
        request, identity=ANYTHING, resource=OPEN, rcp=organization_layer("prod", PolicyType.RESOURCE_CONTROL)
    )


KEPT_OUT: dict[str, tuple[str, Keys, str]] = {
    "a role of dev": (role("dev", "administrator"), {"aws:PrincipalOrgPaths": (DEV_PATH,)}, "DenyOtherPrincipals"),
    "a role outside any organization": (f"arn:aws:iam::{ELSEWHERE}:role/x", {}, "DenyOtherPrincipals"),
    "nobody in particular": ("", {}, "DenyOtherPrincipals"),
    "a path that only begins like ours": (
        role("dev", "administrator"),
        {"aws:PrincipalOrgPaths": ("o-a1b2c3d4e5/r-ab12/ou-ab12-10000000/ou-ab12-400000001/",)},
        "DenyOtherPrincipals",
    ),
    "our role from the network of dev": (
        role("prod", "llm-pipelines-prod-gateway"),
        {"aws:PrincipalOrgPaths": (PROD_PATH,), "aws:SourceVpc": DEV_NETWORK},
        "DenyOtherNetworks",
    ),
    "a service for an account outside": (
        "delivery.logs.amazonaws.com",
        {"aws:SourceAccount": ELSEWHERE, "aws:SourceOrgID": "o-zzzzzzzzzz"},
        "DenyServicesForOthers",
    ),
    "a service for an account of no organization": (
        "delivery.logs.amazonaws.com",
        {"aws:SourceAccount": ELSEWHERE},
        "DenyServicesForOthers",
    ),
}
LET_IN: dict[str, tuple[str, Keys]] = {
    "our role from our network": (
        role("prod", "llm-pipelines-prod-gateway"),
        {"aws:PrincipalOrgPaths": (PROD_PATH,), "aws:SourceVpc": PROD_NETWORK},
    ),
    "our deployer from where it runs": (
        role("prod", "llm-pipelines-prod-deployer"),
        {"aws:PrincipalOrgPaths": (PROD_PATH,), "aws:SourceVpc": "vpc-0000000000000ffff"},
    ),
    "our role, asked for by a service": (
        role("prod", "llm-pipelines-prod-gateway"),
        {"aws:PrincipalOrgPaths": (PROD_PATH,), "aws:ViaAWSService": True},
    ),
    "a log service for our account": (
        "delivery.logs.amazonaws.com",
        {"aws:SourceAccount": ACCOUNTS["prod"], "aws:SourceOrgID": "o-a1b2c3d4e5"},
    ),
}


@pytest.mark.parametrize(("principal", "keys", "sid"), KEPT_OUT.values(), ids=KEPT_OUT.keys())
def test_production_is_closed_even_where_a_bucket_is_open(principal: str, keys: Keys, sid: str) -> None:
    decision = reaches(principal, keys)

    assert decision.refused_by == ("rcp",)
    assert sid in decision.statements


@pytest.mark.parametrize(("principal", "keys"), LET_IN.values(), ids=LET_IN.keys())
def test_production_serves_its_own(principal: str, keys: Keys) -> None:
    decision = reaches(principal, keys)

    assert decision.allowed, decision.reason


def test_a_negated_condition_on_any_value_would_let_outsiders_in() -> None:
    """The planted hole: ForAnyValue is false for a key without values, and a Deny that it guards is none."""
    [policy] = [one for one in attached("prod") if one.name == "prod-principals"]
    holed = policy.content.replace("ForAllValues:StringNotLike", "ForAnyValue:StringNotLike")
    request = Request(f"arn:aws:iam::{ELSEWHERE}:role/x", "s3:GetObject", EVIDENCE, {}, ACCOUNTS["prod"])

    assert evaluate(request, identity=ANYTHING, resource=OPEN, rcp=[holed]).allowed
    assert not evaluate(request, identity=ANYTHING, resource=OPEN, rcp=[policy.content]).allowed


# --- the program ----------------------------------------------------------------------------------


def organization_resources(deployment: engine.Deployment, kind: str) -> list[engine.Resource]:
    return [one for one in of_type(deployment, kind) if one.type.startswith("aws:organizations/")]


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_the_program_deploys_every_policy_and_attaches_it(*, preview: bool) -> None:
    deployment = captured("organization", "organization", preview=preview)
    listed = organization_policies(Governance.load(governance_values()))
    made = {one.name: one.inputs["content"] for one in organization_resources(deployment, "Policy")}
    attachments = [
        (one.name.rpartition("-")[0], one.inputs["targetId"])
        for one in organization_resources(deployment, "PolicyAttachment")
    ]

    assert deployment.messages == ()
    assert made == {policy.name: policy.content for policy in listed}
    assert sorted(attachments) == sorted((policy.name, target) for policy in listed for target in policy.targets)
    assert len(made) == 4 + 3 * 5


def test_policies_do_not_depend_on_the_order_of_the_configuration() -> None:
    values = governance_values()
    turned = {**values, "environments": dict(reversed(values["environments"].items()))}

    assert organization_policies(Governance.load(turned)) == organization_policies(Governance.load(values))


def test_a_policy_is_protected_and_acts_in_the_management_account_only() -> None:
    deployment = captured("organization", "organization")
    provider = only(deployment, "aws", "aws")
    made = [one for kind in ("Policy", "PolicyAttachment") for one in organization_resources(deployment, kind)]

    assert json.loads(provider.inputs["allowedAccountIds"]) == ["444455556666"]
    assert all(one.protect and one.provider.startswith(provider.urn) for one in made)


def test_networks_and_guardrails_come_when_they_are_known() -> None:
    known = {
        "environments.prod.vpc_ids": [PROD_NETWORK],
        "environments.prod.guardrails": {"us-east-1": GUARDRAIL},
    }
    before = {one.name for one in organization_policies(Governance.load(governance_values()))}
    after = {one.name: one for one in organization_policies(Governance.load(changed(governance_values(), known)))}

    assert set(after) - before == {"prod-networks", "prod-guardrails"}
    assert after["prod-guardrails"].kind is PolicyType.BEDROCK


REFUSED: dict[str, tuple[str, Any, str]] = {
    "an organization misspelt": ("organization_id", "org-1", "the id of an AWS organization"),
    "a root that is a unit": ("root_id", "ou-ab12-10000000", "the id of an organization's root"),
    "a unit that is none": ("workloads_unit_id", "workloads", "the id of an organizational unit"),
    "a management account of eleven digits": ("management_account_id", "44445555666", "12 digits"),
    "the management account as an environment": ("management_account_id", "333344445555", "must differ"),
    "a Region where the organization does not answer": ("region", "eu-west-1", "'us-east-1'"),
    "a trail kept by the management account": (
        "trail.key_arn",
        "arn:aws:kms:us-east-1:444455556666:key/00000000-0000-4000-8000-000000000000",
        "must be of the log archive's account",
    ),
    "a trail kept by an environment": (
        "trail.key_arn",
        "arn:aws:kms:us-east-1:333344445555:key/00000000-0000-4000-8000-000000000000",
        "must be of the log archive's account",
    ),
    "a trail under an alias": ("trail.key_arn", "alias/trail", "not an alias"),
    "a trail in a bucket of capitals": ("trail.bucket_name", "Trail", "the name of a bucket"),
    "a trail's log kept for a year and a day": ("trail.log_days", 366, "365, 400"),
    "a break-glass role with a path": ("break_glass_role", "admin/break-glass", "no path"),
    "an owner with spaces": ("owner", "Security Team", "lower-case name"),
    "a cost center with spaces": ("cost_center", "AI Platform", "lower-case name"),
    "no Region": ("allowed_regions", [], "must not be empty"),
    "a Region nobody approved": ("allowed_regions", ["unspecified"], "'us-east-1'"),
    "no model": ("allowed_models", [], "must not be empty"),
    "every model": ("allowed_models", ["*"], "a Bedrock model id"),
    "an account misspelt": ("environments.prod.account_id", "x", "12 digits"),
    "two environments in one account": ("environments.prod.account_id", "111122223333", "must differ"),
    "two environments in one unit": ("environments.prod.unit_id", "ou-ab12-20000000", "must differ"),
    "nobody who deploys": ("environments.prod.deployer_roles", [], "would lock everybody out"),
    "a deployer of another environment": (
        "environments.prod.deployer_roles",
        ["llm-pipelines-dev-deployer"],
        "must not name a role of another environment",
    ),
    "break-glass of another environment": (
        "environments.prod.break_glass_role",
        "llm-pipelines-staging-break-glass",
        "must not name a role of another environment",
    ),
    "a network that is none": ("environments.prod.vpc_ids", ["subnet-1"], "the id of a VPC"),
    "a network of two environments": ("environments.prod.vpc_ids", [PROD_NETWORK, PROD_NETWORK], "name a network once"),
    "a draft guardrail": (
        "environments.prod.guardrails",
        {"us-east-1": "arn:aws:bedrock:us-east-1:333344445555:guardrail/abc:DRAFT"},
        "never DRAFT",
    ),
    "a guardrail of another account": (
        "environments.prod.guardrails",
        {"us-east-1": "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc:1"},
        "of account 333344445555",
    ),
    "a guardrail of another Region": (
        "environments.prod.guardrails",
        {"us-east-1": "arn:aws:bedrock:us-west-2:333344445555:guardrail/abc:1"},
        "in us-east-1",
    ),
    "a local environment": ("environments", {}, "dev, staging, prod"),
    "an unknown field": ("allowed_region", ["us-east-1"], "unknown field (allowed: "),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_value_is_refused_with_field_and_allowed_values(what: str) -> None:
    field, value, allowed = REFUSED[what]

    with pytest.raises(ConfigurationError) as refusal:
        Governance.load(changed(governance_values(), {field: value}))

    assert allowed in str(refusal.value)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_organization_and_environments_are_configured_alike(environment: str) -> None:
    """Two files of two owners: what differs between them would lock somebody out, or nobody."""
    own = Environment.load(environment_values(environment))
    governed = Governance.load(governance_values())
    around = governed.environments[own.name]

    assert own.organization.id == governed.organization_id
    assert own.account_id == around.account_id
    assert own.break_glass_role == around.break_glass_role
    assert set(around.deployer_roles) == {own.deployer_role, *own.workload_deployers.values()}
    assert {model.foundation_model for model in own.bedrock_models} <= set(governed.allowed_models)
    assert {region for model in own.bedrock_models for region in model.destination_regions} | {own.region} <= set(
        governed.allowed_regions
    )


def test_the_program_refuses_any_other_stack() -> None:
    config = {"llm-pipelines-organization:governance": json.dumps(governance_values())}

    with pytest.raises(engine.EngineError, match="the stack must be organization"):
        engine.run(ORGANIZATION, "prod", config=config)


def test_c_8_the_organizations_trail_is_whole_and_kept_by_another_account() -> None:
    [trail] = [one for one in of_type(captured("organization", "organization"), "Trail") if one.custom]
    selectors = {one["name"] for one in trail.inputs["advancedEventSelectors"]}
    whole = ("isOrganizationTrail", "isMultiRegionTrail", "enableLogFileValidation", "includeGlobalServiceEvents")

    assert all(trail.inputs[key] is True for key in whole)
    assert trail.inputs["kmsKeyId"].split(":")[4] == "555566667777"
    assert {"management", "data-s3-object", "data-bedrock-guardrail", "network-kms", "network-sts"} <= selectors
    assert trail.protect


def test_c_8_no_trail_is_made_where_the_organization_has_one() -> None:
    config = {"llm-pipelines-organization:governance": json.dumps({**governance_values(), "trail": None})}
    deployment = engine.run(ORGANIZATION, "organization", config=config)

    assert of_type(deployment, "Trail") == []
    assert len(of_type(deployment, "PolicyAttachment")) == 19


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("mode", ["default", "aws_review", "provider_data_share", "inherit"])
def test_a_20_nobody_lets_a_provider_keep_data(mode: str, environment: str) -> None:
    """The setting itself is read back live; here: whoever sets it can set `none` only, the deployer included."""

    def put(value: str) -> Decision:
        keys: Keys = {"bedrock:DataRetentionMode": value}
        caller = "llm-pipelines-{env}-deployer"
        return by(caller, environment, "bedrock:PutAccountDataRetention", "*", keys)

    assert put("none").allowed
    assert put(mode).statements == ("DenyDataRetention",)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_account_is_bootstrapped_by_break_glass_and_with_tags(environment: str) -> None:
    """As the runbook says: the bucket and the key of the state are made before any deployer is."""
    tags: Keys = {"aws:RequestTag/env": environment, "aws:RequestTag/data-class": "internal"}
    bucket = "arn:aws:s3:::llm-pipelines-state"
    steps = [
        ("s3:CreateBucket", bucket, {}),
        ("s3:PutBucketPublicAccessBlock", bucket, {}),
        ("s3:PutBucketPolicy", bucket, {}),
        ("kms:CreateKey", "*", tags),
        ("iam:CreateRole", "*", {}),
    ]
    break_glass = f"llm-pipelines-{environment}-break-glass"

    assert [step for step in steps if not by(break_glass, environment, *step).allowed] == []
    assert not by(break_glass, environment, "kms:CreateKey", "*", {}).allowed
    assert not by(ADMINISTRATOR, environment, "s3:PutBucketPolicy", bucket, {}).allowed
