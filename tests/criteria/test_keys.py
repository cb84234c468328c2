"""Keys: separate by purpose, rotating, slow to go, and in the place of every key that AWS would choose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from stacks.local import engine, schema
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Request, evaluate
from tests.contracts.programs import TARGETS, captured, of_type, statements
from tests.criteria.holes import changed, with_hole
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
Statement = dict[str, Any]  # Any: JSON


def _policy(key: engine.Resource) -> list[Statement]:
    found: list[Statement] = json.loads(key.inputs["policy"])["Statement"]
    return found


def _principals(statement: Statement) -> list[str]:
    named = statement["Principal"]
    values = named.values() if isinstance(named, dict) else [named]
    return [name for value in values for name in ([value] if isinstance(value, str) else value)]


# --- C-5, graph 5 and 6: rotation, window, roots, separation ---------------------------------------


def rotation_faults(deployment: engine.Deployment) -> list[str]:
    """Keys that do not rotate, go too fast, or may be deleted in prod by a mistake."""
    return [f"{key.name}: {fault}" for key in of_type(deployment, "Key") for fault in _rotation_faults(key, deployment)]


def _rotation_faults(key: engine.Resource, deployment: engine.Deployment) -> Iterator[str]:
    symmetric = key.inputs["keyUsage"] == "ENCRYPT_DECRYPT"
    if key.inputs.get("enableKeyRotation") is not symmetric:
        yield "rotation"
    if symmetric and not 90 <= key.inputs.get("rotationPeriodInDays", 0) <= 365:
        yield "rotation period"
    if key.inputs.get("deletionWindowInDays") != 30:
        yield "deletion window"
    if key.inputs.get("bypassPolicyLockoutSafetyCheck"):
        yield "lock-out check"
    if deployment.stack == "prod" and not key.protect:
        yield "not protected"


def policy_faults(deployment: engine.Deployment) -> list[str]:
    """Key policies without the account, with a bare star, or where administration can use the key."""
    return [f"{key.name}: {fault}" for key in of_type(deployment, "Key") for fault in _policy_faults(key)]


def _policy_faults(key: engine.Resource) -> Iterator[str]:
    found = _policy(key)
    roots = [one for one in found if any(name.endswith(":root") for name in _principals(one))]
    if not any("kms:PutKeyPolicy" in one["Action"] for one in roots):
        yield "no root statement"
    for statement in found:
        named = statement.get("Condition", {})
        if "*" in _principals(statement) and not {"StringEquals", "ArnEquals"} <= set(named):
            yield f"{statement['Sid']}: bare star"
        actions = statement["Action"]
        if "kms:PutKeyPolicy" in actions and any(re.search(_CRYPTOGRAPHY, action) for action in actions):
            yield f"{statement['Sid']}: administration with use"
        if not actions or not statement.get("Resource"):
            yield f"{statement['Sid']}: no effect"


_CRYPTOGRAPHY = r":(\*|.*Encrypt|.*Decrypt|GenerateDataKey|GenerateMac|Sign|CreateGrant)"


@EVERY_TARGET
def test_graph_6_kms_rotation_protect(program: str, stack: str) -> None:
    assert rotation_faults(captured(program, stack)) == []


@EVERY_TARGET
def test_graph_5_kms_root_statement_and_no_bare_star(program: str, stack: str) -> None:
    assert policy_faults(captured(program, stack)) == []


@EVERY_TARGET
def test_c_5_each_purpose_has_one_key(program: str, stack: str) -> None:
    purposes = [key.inputs["tags"]["purpose"] for key in of_type(captured(program, stack), "Key")]

    assert purposes
    assert len(set(purposes)) == len(purposes)


def _add(statement: Statement) -> Any:
    def plant(inputs: dict[str, Any]) -> None:
        document = json.loads(inputs["policy"])
        document["Statement"].append(statement)
        inputs["policy"] = json.dumps(document)

    return plant


def _statement(principal: str, action: str, **more: Any) -> Statement:
    return {
        "Sid": "Planted",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": [action],
        "Resource": "*",
        **more,
    }


POLICY_HOLES = {
    "everybody": _add(_statement("*", "kms:Decrypt")),
    "everybody, through one service only": _add(
        _statement("*", "kms:Decrypt", Condition={"StringEquals": {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}})
    ),
    "administration that decrypts": _add(
        {**_statement("arn:aws:iam::1:root", "kms:PutKeyPolicy"), "Action": ["kms:PutKeyPolicy", "kms:Decrypt"]}
    ),
    "administration that hands out grants": _add(
        {**_statement("arn:aws:iam::1:root", "kms:PutKeyPolicy"), "Action": ["kms:PutKeyPolicy", "kms:CreateGrant"]}
    ),
    "nothing at all": _add({**_statement("arn:aws:iam::1:root", ""), "Action": []}),
}


@pytest.mark.parametrize("hole", POLICY_HOLES)
def test_c_5_a_hole_in_a_key_policy_is_found(hole: str) -> None:
    deployment = captured("platform", "prod")

    found = policy_faults(with_hole(deployment, "Key", POLICY_HOLES[hole]))
    assert len(found) == len(of_type(deployment, "Key"))


ROTATION_HOLES: dict[str, dict[str, Any]] = {
    "never rotated": {"enableKeyRotation": None},
    "gone within a week": {"deletionWindowInDays": 7},
    "no check of a lock-out": {"bypassPolicyLockoutSafetyCheck": True},
}


@pytest.mark.parametrize("hole", ROTATION_HOLES)
def test_c_5_a_key_that_does_not_last_is_found(hole: str) -> None:
    deployment = captured("platform", "prod")

    assert rotation_faults(with_hole(deployment, "Key", lambda inputs: inputs.update(ROTATION_HOLES[hole])))
    assert rotation_faults(changed(deployment, "Key", protect=False))


# --- C-12: who may destroy ------------------------------------------------------------------------


def destroyers(key: engine.Resource, account: str) -> set[str]:
    """Of every role that exists here or is named: who may schedule this key's deletion, whatever else it may."""
    deployed = captured("platform", _environment_of(account))
    roles = {str(role.outputs["arn"]) for role in of_type(deployed, "Role")}
    for name in ("deployer", "break-glass", "document-assistant-deployer", "somebody"):
        roles.add(f"arn:aws:iam::{account}:role/llm-pipelines-{_environment_of(account)}-{name}")
    arn = str(key.outputs["arn"])
    return {
        role.rpartition("/")[2]
        for role in roles
        if evaluate(
            Request(role, "kms:ScheduleKeyDeletion", arn, {"kms:CallerAccount": account}, resource_account=account),
            identity=[FULL_AWS_ACCESS],
            resource=[json.loads(key.inputs["policy"])],
        ).allowed
    }


def _environment_of(account: str) -> str:
    accounts: dict[str, str] = environment_values("prod")["accounts"]
    return next(name for name, number in accounts.items() if number == account)


@pytest.mark.parametrize("program", ["platform", "document_assistant"])
def test_c_12_exactly_one_role_schedules_the_deletion_of_a_key(program: str) -> None:
    account = environment_values("prod")["accounts"]["prod"]
    keys = of_type(captured(program, "prod"), "Key")

    assert keys
    assert {key.name: destroyers(key, account) for key in keys} == {
        key.name: {"llm-pipelines-prod-break-glass"} for key in keys
    }


def test_c_12_a_second_destroyer_is_found() -> None:
    account = environment_values("prod")["accounts"]["prod"]
    planted = _statement(f"arn:aws:iam::{account}:root", "kms:ScheduleKeyDeletion")
    [key] = of_type(with_hole(captured("document_assistant", "prod"), "Key", _add(planted)), "Key")

    assert "llm-pipelines-prod-deployer" in destroyers(key, account)


def test_c_12_no_role_of_ours_holds_the_permission_either() -> None:
    for stack in ENVIRONMENTS:
        for resource, statement in statements(captured("platform", stack)):
            if resource.type.endswith(":RolePolicy") and statement["Effect"] == "Allow":
                assert "kms:ScheduleKeyDeletion" not in statement["Action"], resource.name


# --- C-6: an own key wherever one fits ------------------------------------------------------------

_OF_A_KEY = re.compile(r"kms|(^|\.)keyArn$|(^|\.)keyId$|keyIdentifier$", re.IGNORECASE)
# What takes a key and needs none here, and why.
NO_KEY_NEEDED = {
    "aws:ecs/cluster:Cluster": "tasks have a read-only root and write nothing; nobody opens a shell in them",
    "aws:ecs/service:Service": "no volumes, no service connect",
    "aws:kms/alias:Alias": "names a key",
    "aws:kms/ciphertext:Ciphertext": "is a ciphertext",
    "aws:s3/bucket:Bucket": "the settings stand in a resource of their own",
    "aws:s3/bucketObject:BucketObject": "the bucket's default applies, and its policy refuses every other key",
    "aws:s3/bucketObjectv2:BucketObjectv2": "the bucket's default applies, and its policy refuses every other key",
}
# Options that are not used; each becomes a fault when what needs the key is switched on.
OPTIONS = {
    "aws:rds/cluster:Cluster": {"performanceInsightsKmsKeyId": "performanceInsightsEnabled"},
    "aws:rds/clusterInstance:ClusterInstance": {"performanceInsightsKmsKeyId": "performanceInsightsEnabled"},
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": {
        "productionVariants.coreDumpConfig.kmsKeyId": "productionVariants.coreDumpConfig",
        "shadowProductionVariants.coreDumpConfig.kmsKeyId": "shadowProductionVariants",
        "asyncInferenceConfig.outputConfig.kmsKeyId": "asyncInferenceConfig",
        "dataCaptureConfig.kmsKeyId": "dataCaptureConfig",
    },
}
AMAZONS_KEY_CLASSES = ("load-balancer-logs", "access-logs")
NVME_FAMILIES = tuple(f"ml.{family}." for family in ("g4dn", "g5", "g6", "g6e", "p4d", "p4de", "p5", "p5e", "p5en"))


def key_faults(deployment: engine.Deployment) -> list[str]:
    """Resources that could have a key of ours and do not."""
    return [
        f"{one.type} {one.name}: {path}"
        for one in deployment.resources
        if one.custom and one.type.startswith("aws:") and one.type not in NO_KEY_NEEDED
        for path in _key_places(one.type)
        if _needs_key(deployment, one, path) and not _is_ours(_at(one.inputs, path))
    ]


def _key_places(token: str) -> list[str]:
    paths = sorted(path for path in schema.property_paths(token) if _OF_A_KEY.search(path))
    return [path for path in paths if "sseKms" not in path and not path.endswith("ReusePeriodSeconds")]


def _needs_key(deployment: engine.Deployment, resource: engine.Resource, path: str) -> bool:
    if resource.type.endswith(":BucketServerSideEncryptionConfiguration"):
        return not _under_amazons_key(deployment, resource)
    if resource.type.endswith(":EndpointConfiguration") and path == "kmsKeyArn":
        types = _at(resource.inputs, "productionVariants.instanceType")
        return not all(str(one).startswith(NVME_FAMILIES) for one in types)  # their local disks encrypt themselves
    switch = OPTIONS.get(resource.type, {}).get(path)
    return switch is None or any(_at(resource.inputs, switch))


def _under_amazons_key(deployment: engine.Deployment, encryption: engine.Resource) -> bool:
    [bucket] = [one for one in of_type(deployment, "Bucket") if one.id == encryption.inputs["bucket"]]
    return bucket.inputs["tags"]["bucket-class"] in AMAZONS_KEY_CLASSES


def _is_ours(values: list[Any]) -> bool:
    return bool(values) and all(re.match(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/", str(value)) for value in values)


def _at(inputs: Any, path: str) -> list[Any]:
    """What is at a path; of a list, every element."""
    if isinstance(inputs, list):
        return [value for one in inputs for value in _at(one, path)]
    if not path:
        return [inputs]
    name, _, rest = path.partition(".")
    return _at(inputs[name], rest) if isinstance(inputs, dict) and name in inputs else []


@EVERY_TARGET
def test_c_6_whatever_can_have_an_own_key_has_one(program: str, stack: str) -> None:
    assert key_faults(captured(program, stack)) == []


CAN_HAVE_A_KEY = {
    "LogGroup": "kmsKeyId",
    "Cluster": "kmsKeyId",
    "ServerlessCache": "kmsKeyId",
    "Guardrail": "kmsKeyArn",
    "Topic": "kmsMasterKeyId",
    "Queue": "kmsMasterKeyId",
    "Repository": "encryptionConfigurations",
    "LaunchTemplate": "blockDeviceMappings",
    "DefaultKmsKey": "keyArn",
    "BucketServerSideEncryptionConfiguration": "rules",
}


@pytest.mark.parametrize("kind", CAN_HAVE_A_KEY)
def test_c_6_a_missing_key_is_found(kind: str) -> None:
    deployment = captured("platform", "prod")
    found = key_faults(with_hole(deployment, kind, lambda inputs: inputs.pop(CAN_HAVE_A_KEY[kind], None)))

    assert found
    assert {fault.split(" ")[0].rpartition(":")[2] for fault in found} == {kind}


def test_c_6_amazons_own_key_is_found() -> None:
    deployment = captured("platform", "dev")
    planted = with_hole(deployment, "Trail", lambda inputs: inputs.update(kmsKeyId="alias/aws/s3"))

    assert key_faults(planted) == ["aws:cloudtrail/trail:Trail trail-trail: kmsKeyId"]


# --- keys only where something needs them ---------------------------------------------------------

ELSEWHERE_ONLY = {
    "cluster-secrets": "dev",
    "sagemaker": "staging",
    "redaction": "dev",
    "redaction-mac": "staging",
}


@pytest.mark.parametrize("purpose", ELSEWHERE_ONLY)
def test_a_key_that_nothing_needs_is_not_made(purpose: str) -> None:
    def purposes(stack: str) -> set[str]:
        return {key.inputs["tags"]["purpose"] for key in of_type(captured("platform", stack), "Key")}

    assert purpose in purposes("prod")
    assert purpose not in purposes(ELSEWHERE_ONLY[purpose])


@EVERY_ENVIRONMENT
def test_a_secret_can_be_called_back_for_a_while(stack: str) -> None:
    """Only in dev and local may a secret go at once: its name would stay reserved for a month."""
    for program in ("platform", "document_assistant"):
        for secret in of_type(captured(program, stack), "Secret"):
            assert secret.inputs.get("kmsKeyId"), secret.name
            if stack in ("staging", "prod"):
                assert secret.inputs.get("recoveryWindowInDays", 30) >= 7, secret.name
