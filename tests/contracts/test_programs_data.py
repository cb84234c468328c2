"""What holds state or judges content: keys, buckets, logs, stores, the guardrail; encrypted, kept, protected."""

from __future__ import annotations

import json

import pytest

from stacks.environment import Environment
from stacks.local import engine
from stacks.platform.purposes import purposes
from tests.contracts.programs import TARGETS, captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)


@EVERY_ENVIRONMENT
def test_evidence_is_locked_for_as_long_as_its_environment_says(stack: str) -> None:
    deployment = captured("platform", stack)
    evidence = only(deployment, "Bucket", "evidence-bucket")
    default = only(deployment, "BucketObjectLockConfiguration", "evidence-object-lock").inputs["rule"][
        "defaultRetention"
    ]

    assert evidence.inputs["objectLockEnabled"] is True
    assert evidence.retain_on_delete
    assert default["mode"] == ("COMPLIANCE" if stack == "prod" else "GOVERNANCE")
    assert default["days"] >= 400 if stack == "prod" else default["days"] <= 7


@EVERY_TARGET
def test_every_bucket_is_private_versioned_encrypted_and_has_one_policy(program: str, stack: str) -> None:
    deployment = captured(program, stack)
    buckets = of_type(deployment, "Bucket")

    assert buckets
    for bucket in buckets:
        assert not bucket.inputs.get("forceDestroy")
        parts = [one for one in deployment.resources if one.inputs.get("bucket") == bucket.id]
        kinds = [one.type.rpartition(":")[2] for one in parts]
        for kind in ("BucketVersioning", "BucketPublicAccessBlock", "BucketOwnershipControls", "BucketPolicy"):
            assert kinds.count(kind) == 1, f"{bucket.name}: {kind}"
        encryption = only(
            deployment, "BucketServerSideEncryptionConfiguration", bucket.name.replace("-bucket", "-encryption")
        )
        default = encryption.inputs["rules"][0]["applyServerSideEncryptionByDefault"]
        own_key = bucket.inputs["tags"]["bucket-class"] not in ("load-balancer-logs", "access-logs")
        assert default["sseAlgorithm"] == ("aws:kms" if own_key else "AES256")
        assert ("kmsMasterKeyId" in default) is own_key


@EVERY_TARGET
def test_every_bucket_refuses_old_tls_plain_text_and_destruction(program: str, stack: str) -> None:
    policies = [json.loads(one.inputs["policy"]) for one in of_type(captured(program, stack), "BucketPolicy")]

    assert policies
    for policy in policies:
        sids = {statement["Sid"] for statement in policy["Statement"]}
        assert {"DenyPlainText", "DenyOldTls", "DenyDestruction", "DenyAdministration"} <= sids
        # Released data sets have one reader in another account, and everybody else is kept out.
        assert sids & {"DenyOtherAccounts", "DenyOtherAccountsButReader"}


@EVERY_TARGET
def test_keys_rotate_and_are_slow_to_delete(program: str, stack: str) -> None:
    keys = of_type(captured(program, stack), "Key")

    wanted = len(purposes(Environment.load(environment_values(stack)))) if program == "platform" else 1
    assert len(keys) == wanted
    for key in keys:
        symmetric = key.inputs["keyUsage"] == "ENCRYPT_DECRYPT"
        assert key.inputs["enableKeyRotation"] is symmetric
        assert key.inputs["deletionWindowInDays"] == 30
    assert len({key.inputs["tags"]["purpose"] for key in keys}) == len(keys)


@EVERY_ENVIRONMENT
def test_the_audit_keys_sign_and_hash(stack: str) -> None:
    deployment = captured("platform", stack)
    signing, mac = (only(deployment, "Key", f"audit-{name}-key").inputs for name in ("signing", "mac"))

    assert (signing["keyUsage"], signing["customerMasterKeySpec"]) == ("SIGN_VERIFY", "ECC_NIST_P384")
    assert (mac["keyUsage"], mac["customerMasterKeySpec"]) == ("GENERATE_VERIFY_MAC", "HMAC_256")


@EVERY_ENVIRONMENT
def test_log_groups_are_named_encrypted_kept_for_a_time_and_there_before_whoever_writes(stack: str) -> None:
    deployment = captured("platform", stack)
    groups = of_type(deployment, "LogGroup")
    custom = [one for one in groups if one.custom]
    database = only(deployment, "Cluster", "database-cluster")

    assert len(custom) >= 5
    for group in custom:
        assert group.inputs["name"].startswith("/")
        assert group.inputs["kmsKeyId"].startswith("arn:aws:kms:")
        assert group.inputs["retentionInDays"] > 0
    assert any("database-logs" in urn for urn in database.dependencies)
    for task in of_type(deployment, "TaskDefinition"):
        assert any("LogGroup" in urn for urn in task.property_dependencies["containerDefinitions"])


@EVERY_ENVIRONMENT
def test_the_database_is_encrypted_and_knows_identities_not_passwords(stack: str) -> None:
    deployment = captured("platform", stack)
    cluster = only(deployment, "Cluster", "database-cluster").inputs
    parameters = {one["name"]: one["value"] for one in only(deployment, "ClusterParameterGroup").inputs["parameters"]}

    assert cluster["storageEncrypted"] is True
    assert cluster["kmsKeyId"].startswith("arn:aws:kms:")
    assert cluster["manageMasterUserPassword"] is True
    assert "masterPassword" not in cluster
    assert cluster["iamDatabaseAuthenticationEnabled"] is True
    assert "availabilityZones" not in cluster
    assert parameters["rds.force_ssl"] == "1"
    assert parameters["log_statement"] == "ddl"
    instances = of_type(deployment, "ClusterInstance")
    assert instances
    assert not any(instance.inputs["publiclyAccessible"] for instance in instances)


@EVERY_ENVIRONMENT
def test_the_cache_is_encrypted_and_its_user_is_an_identity(stack: str) -> None:
    deployment = captured("platform", stack)
    cache, user = only(deployment, "ServerlessCache").inputs, only(deployment, "User").inputs

    assert cache["engine"] == user["engine"] == "valkey"
    assert cache["kmsKeyId"].startswith("arn:aws:kms:")
    assert cache["userGroupId"]
    assert user["authenticationMode"] == {"type": "iam"}
    assert user["userId"] == user["userName"]
    assert "+@all" not in user["accessString"]


@EVERY_ENVIRONMENT
def test_images_are_named_by_digest_in_a_registry_whose_tags_never_move(stack: str) -> None:
    repositories = of_type(captured("platform", stack), "Repository")

    assert repositories
    assert {one.inputs["imageTagMutability"] for one in repositories} == {"IMMUTABLE"}
    assert {one.inputs["encryptionConfigurations"][0]["encryptionType"] for one in repositories} == {"KMS"}


@EVERY_ENVIRONMENT
def test_the_guardrail_is_whole_and_used_by_number(stack: str) -> None:
    deployment = captured("platform", stack)
    guardrail = only(deployment, "Guardrail").inputs
    filters = {one["type"]: one for one in guardrail["contentPolicyConfig"]["filtersConfigs"]}
    personal = {
        one["type"]: one["action"] for one in guardrail["sensitiveInformationPolicyConfig"]["piiEntitiesConfigs"]
    }
    version = only(deployment, "GuardrailVersion").inputs

    assert set(filters) == {"SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK"}
    assert (filters["PROMPT_ATTACK"]["inputStrength"], filters["PROMPT_ATTACK"]["outputStrength"]) == ("HIGH", "NONE")
    assert personal["AWS_ACCESS_KEY"] == personal["AWS_SECRET_KEY"] == personal["PASSWORD"] == "BLOCK"
    assert guardrail["topicPolicyConfig"]["topicsConfigs"]
    assert version["skipDestroy"] is True
    assert version["description"].startswith("content ")


@EVERY_ENVIRONMENT
def test_what_models_are_asked_is_logged_once_and_after_its_permissions(stack: str) -> None:
    deployment = captured("platform", stack)
    logging = only(deployment, "InvocationLoggingConfiguration")

    assert logging.inputs["loggingConfig"]["textDataDeliveryEnabled"] is True
    assert any("content-policy" in urn for urn in logging.dependencies)
    assert any("invocation-logging-permissions" in urn for urn in logging.dependencies)


STATEFUL = ("Key", "Bucket", "Cluster", "Repository")


@EVERY_TARGET
def test_what_holds_state_is_protected_in_production_only(program: str, stack: str) -> None:
    stateful = [
        one
        for one in captured(program, stack).resources
        if one.type.rpartition(":")[2] in STATEFUL and not one.type.startswith("aws:ecs")
    ]

    assert len(stateful) > 1
    assert {one.protect for one in stateful} == {stack == "prod"}


@EVERY_ENVIRONMENT
def test_policies_of_keys_and_networks_are_known_before_anything_exists(stack: str) -> None:
    preview = captured("platform", stack, preview=True)

    assert all(key.inputs["policy"] != engine.UNKNOWN for key in of_type(preview, "Key"))
    later = [one.name for one in of_type(preview, "VpcEndpoint") if one.inputs["policy"] == engine.UNKNOWN]
    assert sorted(later) == ["bedrock-endpoint", "bedrock-runtime-endpoint"]  # the two that name models
