"""Key policies as tables: the purpose's users get in with the right context, nobody else, and no bare star."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stacks.environment import Environment
from stacks.local.policy_evaluator import Request, evaluate
from stacks.names import Names
from stacks.platform.keys import Purpose, key_policies
from stacks.workloads.workload import Workload
from stacks.workloads.workload_key import workload_key_policy
from tests.stacks.configurations import environment_values, workload_values

ACCOUNT, REGION = "333344445555", "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
NAMES = Names("prod", ACCOUNT, REGION)
POLICIES = {
    purpose: json.loads(policy)
    for purpose, policy in key_policies(Environment.load(environment_values("prod")), NAMES).items()
}
WORKLOAD_POLICY = json.loads(
    workload_key_policy(
        Workload.load(workload_values("prod")), NAMES, "llm-pipelines-prod-gateway", "llm-pipelines-prod-gateway-ingest"
    )
)
DEPLOYER = "llm-pipelines-prod-document-assistant-deployer"
FULL_KMS = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "FullKms", "Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
}


def _allowed(policy: dict[str, Any], role: str, action: str, **context: str) -> bool:
    """Even with every right of its own, the caller needs the key policy."""
    known = {
        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
        "kms:CallerAccount": ACCOUNT,
        **{name.replace("__", ":"): value for name, value in context.items()},
    }
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session"
    request = Request(caller, action, KEY, known, resource_account=ACCOUNT)
    return evaluate(request, identity=[FULL_KMS], resource=[policy]).allowed


def _context(**pairs: str) -> dict[str, str]:
    return {f"kms:EncryptionContext:{key}": value for key, value in pairs.items()}


SIGNED = _context(purpose="registration", workload="document-assistant", environment="prod")


def test_a_deployer_signs_for_its_own_workload_and_the_gateway_verifies() -> None:
    policy = POLICIES[Purpose.REGISTRATION]

    assert _allowed(policy, DEPLOYER, "kms:Encrypt", **SIGNED)
    assert _allowed(policy, "llm-pipelines-prod-gateway", "kms:Decrypt", **SIGNED)
    assert _allowed(policy, "llm-pipelines-prod-gateway-ingest", "kms:Decrypt", **SIGNED)


@pytest.mark.parametrize(
    ("role", "action", "changes"),
    [
        (DEPLOYER, "kms:Encrypt", _context(workload="another")),
        (DEPLOYER, "kms:Encrypt", _context(environment="dev")),
        (DEPLOYER, "kms:Encrypt", _context(purpose="documents")),
        (DEPLOYER, "kms:Decrypt", {}),
        ("llm-pipelines-prod-gateway", "kms:Encrypt", {}),
        ("llm-pipelines-prod-deployer", "kms:Encrypt", {}),
    ],
)
def test_nobody_signs_for_another_workload(role: str, action: str, changes: dict[str, str]) -> None:
    assert not _allowed(POLICIES[Purpose.REGISTRATION], role, action, **{**SIGNED, **changes})


TENANT = _context(tenant="acme", workload="document-assistant", environment="prod", purpose="documents")


def test_a_tenants_data_key_is_made_by_ingestion_and_opened_by_the_gateway() -> None:
    assert _allowed(WORKLOAD_POLICY, "llm-pipelines-prod-gateway-ingest", "kms:GenerateDataKey", **TENANT)
    assert _allowed(WORKLOAD_POLICY, "llm-pipelines-prod-gateway", "kms:Decrypt", **TENANT)


@pytest.mark.parametrize(
    ("role", "action", "changes"),
    [
        ("llm-pipelines-prod-gateway", "kms:Decrypt", _context(tenant="stranger")),
        ("llm-pipelines-prod-gateway", "kms:Decrypt", _context(workload="another")),
        ("llm-pipelines-prod-gateway", "kms:Decrypt", _context(environment="dev")),
        ("llm-pipelines-prod-gateway", "kms:GenerateDataKey", {}),
        ("llm-pipelines-prod-gateway-migrate", "kms:Decrypt", {}),
        (DEPLOYER, "kms:Decrypt", {}),
    ],
)
def test_a_tenants_data_key_opens_for_nobody_else(role: str, action: str, changes: dict[str, str]) -> None:
    assert not _allowed(WORKLOAD_POLICY, role, action, **{**TENANT, **changes})


def test_heads_are_signed_by_whoever_keeps_a_chain_with_one_algorithm() -> None:
    policy = POLICIES[Purpose.AUDIT_SIGNING]
    right = {"kms:SigningAlgorithm": "ECDSA_SHA_384"}

    assert _allowed(policy, "llm-pipelines-prod-gateway", "kms:Sign", **right)
    assert _allowed(policy, "llm-pipelines-prod-gateway-ingest", "kms:Sign", **right)
    assert not _allowed(policy, "llm-pipelines-prod-gateway", "kms:Sign")
    assert not _allowed(policy, "llm-pipelines-prod-gateway-migrate", "kms:Sign", **right)
    assert not _allowed(policy, "llm-pipelines-prod-deployer", "kms:Sign", **right)


EVERY = [(purpose.value, policy) for purpose, policy in POLICIES.items()] + [("workload", WORKLOAD_POLICY)]


@pytest.mark.parametrize(("purpose", "policy"), EVERY, ids=[purpose for purpose, _ in EVERY])
def test_whoever_administers_a_key_cannot_use_it_and_one_role_destroys_it(purpose: str, policy: dict[str, Any]) -> None:
    assert _allowed(policy, "llm-pipelines-prod-deployer", "kms:PutKeyPolicy"), purpose
    for use in ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:Sign", "kms:GenerateMac"):
        assert not _allowed(policy, "llm-pipelines-prod-deployer", use)
    assert _allowed(policy, "llm-pipelines-prod-break-glass", "kms:ScheduleKeyDeletion")
    assert not _allowed(policy, "llm-pipelines-prod-deployer", "kms:ScheduleKeyDeletion")


@pytest.mark.parametrize(("purpose", "policy"), EVERY, ids=[purpose for purpose, _ in EVERY])
def test_everybody_is_never_let_in_but_by_account_and_role(purpose: str, policy: dict[str, Any]) -> None:
    """CreateKey refuses a policy without the account; a star without both conditions would be the whole world."""
    assert any(f"arn:aws:iam::{ACCOUNT}:root" in _principals(one) for one in policy["Statement"]), purpose
    for statement in policy["Statement"]:
        if "*" in _principals(statement):
            assert statement["Condition"]["StringEquals"]["kms:CallerAccount"] == ACCOUNT
            assert all(arn.count("*") == 0 for arn in statement["Condition"]["ArnEquals"]["aws:PrincipalArn"])


def _principals(statement: dict[str, Any]) -> list[str]:
    return [
        name for value in statement["Principal"].values() for name in ([value] if isinstance(value, str) else value)
    ]


SCALING = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
SCALING_PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "RunInstances", "Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*"}],
}


def _scaling(action: str, role: str = SCALING, account: str = ACCOUNT, **context: str) -> bool:
    """What a service-linked role may do is AWS's own list, and no KMS action is on it."""
    known = {"kms:CallerAccount": account, **{name.replace("__", ":"): value for name, value in context.items()}}
    request = Request(f"arn:aws:iam::{account}:role/{role}", action, KEY, known, resource_account=ACCOUNT)
    return evaluate(request, identity=[SCALING_PERMISSIONS], resource=[POLICIES[Purpose.EBS]]).allowed


def test_b_5_auto_scaling_starts_nodes_with_encrypted_volumes() -> None:
    assert _scaling("kms:GenerateDataKeyWithoutPlaintext")
    assert _scaling("kms:Decrypt")
    assert _scaling("kms:CreateGrant", kms__GrantIsForAWSResource="true")


def test_b_5_nobody_else_gets_in_that_way() -> None:
    assert not _scaling("kms:CreateGrant")
    assert not _scaling("kms:CreateGrant", kms__GrantIsForAWSResource="false")
    assert not _scaling("kms:Decrypt", role="AWSServiceRoleForAutoScaling")
    assert not _scaling("kms:Decrypt", account="999988887777")
    assert not _scaling("kms:PutKeyPolicy")
