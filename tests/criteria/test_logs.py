"""Logs: where each lands, how long it stays, what reaches evidence, and what the trail sees."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components.bucket_class import TREATMENTS, BucketClass
from components.private_bucket import ObjectLock
from stacks.local import engine
from tests.contracts.programs import TARGETS, captured, of_type, only
from tests.criteria.holes import Plant, changed, with_hole, without
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)

# What CloudWatch Logs accepts as retention, in days (PutRetentionPolicy).
CLOUDWATCH_DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922}
CLOUDWATCH_DAYS |= {3288, 3653}
# Said again, and apart from the components: class → algorithm, locked, expires, replicated.
CLASSES: Mapping[str, tuple[str, bool, bool, bool]] = {
    "evidence": ("aws:kms", True, False, False),
    "content": ("aws:kms", False, True, True),
    "content-evidence": ("aws:kms", True, True, False),
    "load-balancer-logs": ("AES256", False, True, True),
    "access-logs": ("AES256", False, True, True),
    "registrations": ("aws:kms", False, False, False),
    "documents": ("aws:kms", False, False, False),
    "models": ("aws:kms", True, False, False),
    "quarantine": ("aws:kms", False, True, False),
    "data-sets": ("aws:kms", False, False, False),
}


def bucket_class(bucket: engine.Resource) -> str:
    return str(bucket.inputs.get("tags", {}).get("bucket-class", ""))


def part(deployment: engine.Deployment, bucket: engine.Resource, kind: str) -> engine.Resource | None:
    """A bucket's one setting of a kind."""
    found = [one for one in of_type(deployment, kind) if one.inputs.get("bucket") == bucket.id]
    assert len(found) <= 1, f"{bucket.name}: two of {kind}"
    return found[0] if found else None


# --- C-1, C-2: classes ----------------------------------------------------------------------------


def bucket_faults(deployment: engine.Deployment) -> list[str]:
    """Buckets that are not as their class demands."""
    found = []
    for bucket in of_type(deployment, "Bucket"):
        wanted = CLASSES.get(bucket_class(bucket))
        if wanted is None:
            found.append(f"{bucket.name}: no class")
            continue
        found += [f"{bucket.name}: {fault}" for fault in _class_faults(deployment, bucket, *wanted)]
        found += [f"{bucket.name}: {fault}" for fault in _encryption_faults(deployment, bucket, wanted[0])]
    return found


def _class_faults(
    deployment: engine.Deployment, bucket: engine.Resource, _: str, locked: bool, expires: bool, replicated: bool
) -> Iterator[str]:
    settings = {
        "lock": (bool(bucket.inputs.get("objectLockEnabled")), locked),
        "default retention": (part(deployment, bucket, "BucketObjectLockConfiguration") is not None, locked),
        "lifecycle": (part(deployment, bucket, "BucketLifecycleConfiguration") is not None, expires),
        "replication": (part(deployment, bucket, "BucketReplicationConfig") is not None, replicated),
    }
    yield from (name for name, (is_so, wanted) in settings.items() if is_so is not wanted)
    if bucket.inputs.get("forceDestroy"):
        yield "force-destroyed"
    versions = part(deployment, bucket, "BucketVersioning")
    if versions is None or versions.inputs["versioningConfiguration"]["status"] != "Enabled":
        yield "versions"


def _encryption_faults(deployment: engine.Deployment, bucket: engine.Resource, algorithm: str) -> Iterator[str]:
    encryption = part(deployment, bucket, "BucketServerSideEncryptionConfiguration")
    [rule] = encryption.inputs["rules"] if encryption else [{}]
    default = rule.get("applyServerSideEncryptionByDefault", {})
    if default.get("sseAlgorithm") != algorithm:
        yield "algorithm"
    if algorithm == "aws:kms" and not str(default.get("kmsMasterKeyId", "")).startswith("arn:aws:kms:"):
        yield "key"
    if bool(rule.get("bucketKeyEnabled")) is not (algorithm == "aws:kms"):
        yield "bucket key"
    if rule.get("blockedEncryptionTypes") != ["SSE-C"]:
        yield "SSE-C"


@EVERY_TARGET
def test_c_1_each_bucket_is_as_its_class_demands(program: str, stack: str) -> None:
    assert bucket_faults(captured(program, stack)) == []


def test_c_1_the_table_names_every_class_and_says_what_the_components_do() -> None:
    said = {
        kind.value: ("aws:kms" if one.own_key else "AES256", one.locked, one.expires, one.replicated)
        for kind, one in TREATMENTS.items()
    }

    assert said == CLASSES
    assert set(TREATMENTS) == set(BucketClass)


BUCKET_HOLES: dict[str, tuple[str, Plant]] = {
    "no class": ("Bucket", lambda inputs: inputs.update(tags={})),
    "force-destroyed": ("Bucket", lambda inputs: inputs.update(forceDestroy=True)),
    "unversioned": ("BucketVersioning", lambda inputs: inputs.update(versioningConfiguration={"status": "Suspended"})),
    "SSE-C": (
        "BucketServerSideEncryptionConfiguration",
        lambda inputs: inputs["rules"][0].update(blockedEncryptionTypes=["NONE"]),
    ),
    "no bucket key": (
        "BucketServerSideEncryptionConfiguration",
        lambda inputs: inputs["rules"][0].update(bucketKeyEnabled=None),
    ),
    "Amazon's alias": (
        "BucketServerSideEncryptionConfiguration",
        lambda inputs: inputs["rules"][0]["applyServerSideEncryptionByDefault"].update(kmsMasterKeyId="alias/aws/s3"),
    ),
}


@pytest.mark.parametrize("hole", BUCKET_HOLES)
def test_c_1_a_bucket_that_is_not_is_found(hole: str) -> None:
    kind, plant = BUCKET_HOLES[hole]

    assert len(bucket_faults(with_hole(captured("platform", "prod"), kind, plant))) >= 7
    assert bucket_faults(without(captured("platform", "prod"), "BucketReplicationConfig"))


def evidence_faults(deployment: engine.Deployment) -> list[str]:
    """Evidence that can be deleted before its time, by the program or by anybody."""
    evidence = only(deployment, "Bucket", "evidence-bucket")
    lock = part(deployment, evidence, "BucketObjectLockConfiguration")
    default = lock.inputs["rule"]["defaultRetention"] if lock else {}
    production = deployment.stack == "prod"
    days = default.get("days", 0)
    checks = {
        "mode": default.get("mode") == ("COMPLIANCE" if production else "GOVERNANCE"),
        "days": days >= 400 if production else 1 <= days <= 7,
        "lock": evidence.inputs.get("objectLockEnabled") is True,
        "retained": evidence.retain_on_delete,
        "protected": evidence.protect or not production,
        "force-destroyed": not evidence.inputs.get("forceDestroy"),
    }
    return [name for name, holds in checks.items() if not holds]


@EVERY_ENVIRONMENT
def test_c_2_evidence_is_locked_kept_and_protected(stack: str) -> None:
    assert evidence_faults(captured("platform", stack)) == []


@EVERY_ENVIRONMENT
def test_graph_9_audit_bucket_lock_cmk_versioned_no_force_destroy(stack: str) -> None:
    deployment = captured("platform", stack)

    assert evidence_faults(deployment) == []
    assert [fault for fault in bucket_faults(deployment) if fault.startswith("evidence-bucket")] == []
    assert part(deployment, only(deployment, "Bucket", "evidence-bucket"), "BucketLifecycleConfiguration") is None


def _retention(**changes: Any) -> Plant:
    return lambda inputs: inputs["rule"]["defaultRetention"].update(changes)


def test_c_2_evidence_that_could_go_is_found() -> None:
    prod, dev = captured("platform", "prod"), captured("platform", "dev")
    lock = "BucketObjectLockConfiguration"

    assert evidence_faults(with_hole(prod, lock, _retention(mode="GOVERNANCE"))) == ["mode"]
    assert evidence_faults(with_hole(prod, lock, _retention(days=399))) == ["days"]
    assert evidence_faults(with_hole(dev, lock, _retention(days=8))) == ["days"]
    assert evidence_faults(changed(prod, "Bucket", protect=False, retain_on_delete=False)) == ["retained", "protected"]
    assert evidence_faults(without(prod, lock)) == ["mode", "days"]


# --- graph 7, 8: one policy, and the only bucket under Amazon's key -------------------------------


def policy_faults(deployment: engine.Deployment) -> list[str]:
    """Buckets without exactly one whole policy, or one that lets old TLS in or keeps AWS's own services out."""
    found = []
    for bucket in of_type(deployment, "Bucket"):
        policies = [one for one in of_type(deployment, "BucketPolicy") if one.inputs["bucket"] == bucket.id]
        if len(policies) != 1:
            found.append(f"{bucket.name}: {len(policies)} policies")
            continue
        found += [f"{bucket.name}: {fault}" for fault in _statement_faults(policies[0])]
        access = part(deployment, bucket, "BucketPublicAccessBlock")
        if access is None or not _comes_after(deployment, policies[0], access):
            found.append(f"{bucket.name}: policy before the block of public access")
    return found


def _statement_faults(policy: engine.Resource) -> Iterator[str]:
    text = policy.inputs["policy"]
    found = {one["Sid"]: one for one in json.loads(text)["Statement"]}
    if len(text) > 20_480:
        yield "longer than S3 takes"
    if found.get("DenyPlainText", {}).get("Condition") != {"Bool": {"aws:SecureTransport": "false"}}:
        yield "plain text"
    old = found.get("DenyOldTls", {}).get("Condition", {})
    if old.get("NumericLessThan") != {"s3:TlsVersion": "1.3"}:
        yield "TLS"
    if any("NotPrincipal" in one for one in found.values()):
        yield "NotPrincipal"
    exempt = {"aws:PrincipalIsAWSService": "false"}
    for sid in ("DenyOldTls", "DenyOtherAccounts", "DenyOutsideOrganization"):
        if sid in found and found[sid]["Condition"].get("BoolIfExists") != exempt:
            yield f"{sid}: services are kept out"


def _comes_after(deployment: engine.Deployment, later: engine.Resource, earlier: engine.Resource) -> bool:
    """Whether `later` waits for `earlier`, directly or through others."""
    by_urn = {one.urn: one for one in deployment.resources}
    waiting, seen = [later.urn], set[str]()
    while waiting:
        one = by_urn.get(waiting.pop())
        if one is None or one.urn in seen:
            continue
        if one.urn == earlier.urn:
            return True
        seen.add(one.urn)
        waiting += one.dependencies
    return False


@EVERY_TARGET
def test_graph_7_one_bucket_policy_per_bucket_tls_deny_service_exempt(program: str, stack: str) -> None:
    assert policy_faults(captured(program, stack)) == []


def _without_sid(sid: str) -> Plant:
    def plant(inputs: dict[str, Any]) -> None:
        document = json.loads(inputs["policy"])
        document["Statement"] = [one for one in document["Statement"] if one["Sid"] != sid]
        inputs["policy"] = json.dumps(document)

    return plant


def test_graph_7_one_bucket_policy_per_bucket_holes_are_found() -> None:
    prod = captured("platform", "prod")

    assert any(
        "plain text" in fault for fault in policy_faults(with_hole(prod, "BucketPolicy", _without_sid("DenyPlainText")))
    )
    assert any("TLS" in fault for fault in policy_faults(with_hole(prod, "BucketPolicy", _without_sid("DenyOldTls"))))
    assert any("0 policies" in fault for fault in policy_faults(without(prod, "BucketPolicy")))
    assert any("before" in fault for fault in policy_faults(changed(prod, "BucketPolicy", dependencies=())))


@EVERY_ENVIRONMENT
def test_graph_8_alb_log_bucket_is_sse_s3_and_only_that(stack: str) -> None:
    """And the one for S3's own access logs, which are delivered under Amazon's key only too."""
    deployment = captured("platform", stack)
    under_amazons_key = {
        bucket_class(bucket) for bucket in of_type(deployment, "Bucket") if CLASSES[bucket_class(bucket)][0] == "AES256"
    }
    assert under_amazons_key == {"load-balancer-logs", "access-logs"}
    balancers = [one.inputs for one in of_type(deployment, "LoadBalancer") if "accessLogs" in one.inputs]
    logs = only(deployment, "Bucket", "load-balancer-logs-bucket")
    assert balancers
    for balancer in balancers:
        assert balancer["accessLogs"]["bucket"] == logs.outputs["bucket"]
        assert "AWSLogs" not in balancer["accessLogs"].get("prefix", "")
    assert [one.inputs["targetBucket"] for one in of_type(deployment, "BucketLogging")] != []
    access = only(deployment, "Bucket", "access-logs-bucket").outputs["bucket"]
    assert {one.inputs["targetBucket"] for one in of_type(deployment, "BucketLogging")} == {access}


# --- C-11: how long -------------------------------------------------------------------------------


def retention_faults(deployment: engine.Deployment) -> list[str]:
    """Retention that AWS does not know, content that stays, evidence that goes before its lock ends."""
    groups = [one for one in of_type(deployment, "LogGroup") if one.custom]
    found = [f"{one.name}: retention" for one in groups if one.inputs.get("retentionInDays") not in CLOUDWATCH_DAYS]
    for bucket in of_type(deployment, "Bucket"):
        lifecycle = part(deployment, bucket, "BucketLifecycleConfiguration")
        rules = lifecycle.inputs["rules"] if lifecycle else []
        found += [f"{bucket.name}: {fault}" for fault in _lifecycle_faults(deployment, bucket, rules)]
    return found


def _lifecycle_faults(
    deployment: engine.Deployment, bucket: engine.Resource, rules: list[dict[str, Any]]
) -> Iterator[str]:
    expiry = [rule.get("expiration", {}).get("days") for rule in rules]
    replaced = [rule.get("noncurrentVersionExpiration", {}).get("noncurrentDays") for rule in rules]
    if bucket_class(bucket) in ("content", "content-evidence"):
        most = environment_values(deployment.stack)["retention"]["content_days"]
        if expiry != [most] or replaced != [1]:
            yield "content stays"
    lock = part(deployment, bucket, "BucketObjectLockConfiguration")
    if lock and rules and min(expiry) < lock.inputs["rule"]["defaultRetention"]["days"]:
        yield "expires under lock"
    if bucket_class(bucket) == "evidence" and rules:
        yield "evidence expires"


@EVERY_TARGET
def test_c_11_retention_is_known_content_expires_and_evidence_outlives_its_lock(program: str, stack: str) -> None:
    assert retention_faults(captured(program, stack)) == []


RETENTION_HOLES: dict[str, tuple[str, Plant]] = {
    "a retention that CloudWatch refuses": ("LogGroup", lambda inputs: inputs.update(retentionInDays=100)),
    "a log group kept for ever": ("LogGroup", lambda inputs: inputs.pop("retentionInDays")),
    "old versions of content that stay": (
        "BucketLifecycleConfiguration",
        lambda inputs: inputs["rules"][0].pop("noncurrentVersionExpiration"),
    ),
    "content that stays": (
        "BucketLifecycleConfiguration",
        lambda inputs: inputs["rules"][0]["expiration"].update(days=90),
    ),
    "a lock longer than content may stay": (
        "BucketObjectLockConfiguration",
        lambda inputs: inputs["rule"]["defaultRetention"].update(days=400),
    ),
}


@pytest.mark.parametrize("hole", RETENTION_HOLES)
def test_c_11_a_wrong_retention_is_found(hole: str) -> None:
    kind, plant = RETENTION_HOLES[hole]

    assert retention_faults(with_hole(captured("platform", "prod"), kind, plant))


@EVERY_ENVIRONMENT
def test_c_11_logged_prompts_can_always_be_erased_early(stack: str) -> None:
    """A right to erasure does not wait for a lock that nobody can lift."""
    deployment = captured("platform", stack)
    content = only(deployment, "BucketObjectLockConfiguration", "content-evidence-object-lock")

    assert content.inputs["rule"]["defaultRetention"]["mode"] == ObjectLock.GOVERNANCE.value
    assert not only(deployment, "Bucket", "content-bucket").inputs.get("objectLockEnabled")


# --- C-13: replicas -------------------------------------------------------------------------------


def replication_faults(deployment: engine.Deployment) -> list[str]:
    """Logs that stay where they cannot be locked."""
    found = []
    for bucket in of_type(deployment, "Bucket"):
        if bucket_class(bucket) not in ("load-balancer-logs", "access-logs", "content"):
            continue
        replication = part(deployment, bucket, "BucketReplicationConfig")
        if replication is None:
            found.append(f"{bucket.name}: stays")
            continue
        found += [f"{bucket.name}: {fault}" for fault in _rule_faults(deployment, bucket, replication)]
    return found


def _rule_faults(deployment: engine.Deployment, bucket: engine.Resource, replication: engine.Resource) -> Iterator[str]:
    [rule] = replication.inputs["rules"]
    destination = rule["destination"]
    by_arn = {one.outputs["arn"]: one for one in of_type(deployment, "Bucket")}
    target = by_arn.get(destination["bucket"])
    wanted = "content-evidence" if bucket_class(bucket) == "content" else "evidence"
    if target is None or bucket_class(target) != wanted or not target.inputs.get("objectLockEnabled"):
        yield "not into evidence"
    if not destination.get("encryptionConfiguration", {}).get("replicaKmsKeyId", "").startswith("arn:aws:kms:"):
        yield "key"
    if destination.get("accessControlTranslation") != {"owner": "Destination"} or not destination.get("account"):
        yield "owner"
    if rule.get("deleteMarkerReplication") != {"status": "Disabled"}:
        yield "deletions travel"
    if rule["status"] != "Enabled" or rule.get("filter") != {"prefix": ""}:
        yield "not everything"
    if not all(_comes_after(deployment, replication, one) for one in _versions(deployment, bucket, target)):
        yield "before versions"


def _versions(deployment: engine.Deployment, *buckets: engine.Resource | None) -> list[engine.Resource]:
    found = [part(deployment, bucket, "BucketVersioning") for bucket in buckets if bucket]
    return [one for one in found if one]


@EVERY_ENVIRONMENT
def test_c_13_logs_that_cannot_be_locked_are_replicated_into_evidence(stack: str) -> None:
    assert replication_faults(captured("platform", stack)) == []


REPLICATION_HOLES: dict[str, Plant] = {
    "not into evidence": lambda inputs: inputs["rules"][0]["destination"].update(bucket="arn:aws:s3:::elsewhere"),
    "key": lambda inputs: inputs["rules"][0]["destination"].pop("encryptionConfiguration"),
    "owner": lambda inputs: inputs["rules"][0]["destination"].pop("accessControlTranslation"),
    "deletions travel": lambda inputs: inputs["rules"][0].update(deleteMarkerReplication={"status": "Enabled"}),
    "not everything": lambda inputs: inputs["rules"][0].update(filter={"prefix": "some/"}),
}


@pytest.mark.parametrize("hole", REPLICATION_HOLES)
def test_c_13_a_log_that_stays_is_found(hole: str) -> None:
    prod = captured("platform", "prod")
    planted = with_hole(prod, "BucketReplicationConfig", REPLICATION_HOLES[hole])

    assert [fault.partition(": ")[2] for fault in replication_faults(planted)] == [hole] * 4
    assert len(replication_faults(without(prod, "BucketReplicationConfig"))) == 4
    assert len(replication_faults(changed(prod, "BucketReplicationConfig", dependencies=()))) == 4


def test_c_13_the_role_that_copies_reads_one_bucket_and_adds_to_another() -> None:
    policy = only(captured("platform", "prod"), "RolePolicy", "replicate-access-logs-permissions").inputs["policy"]
    actions = {action for one in json.loads(policy)["Statement"] for action in one["Action"]}

    assert not any(re.search(r"Delete|Put|\*", action) for action in actions)
    assert "s3:ReplicateObject" in actions


# --- graph 4: log groups --------------------------------------------------------------------------

# Who writes to a log group, and the property in which it is named.
PRODUCERS = {"TaskDefinition": "containerDefinitions", "InvocationLoggingConfiguration": "loggingConfig", "Trail": ""}


def log_group_faults(deployment: engine.Deployment) -> list[str]:
    """Log groups without name, key or retention, or that their writer would make first."""
    groups = [one for one in of_type(deployment, "LogGroup") if one.custom]
    found = []
    for group in groups:
        wanted = {
            "name": str(group.inputs.get("name", "")).startswith("/"),
            "key": str(group.inputs.get("kmsKeyId", "")).startswith("arn:aws:kms:"),
            "retention": group.inputs.get("retentionInDays", 0) > 0,
            "protection": bool(group.inputs.get("deletionProtectionEnabled")) is (deployment.stack == "prod"),
        }
        found += [f"{group.name}: {name}" for name, holds in wanted.items() if not holds]
    for kind in PRODUCERS:
        for producer in of_type(deployment, kind):
            if producer.custom and not any(_comes_after(deployment, producer, group) for group in groups):
                found.append(f"{producer.name}: before its log group")
    return found


@EVERY_TARGET
def test_graph_4_loggroups_named_encrypted_retained_before_producer(program: str, stack: str) -> None:
    assert log_group_faults(captured(program, stack)) == []


def test_graph_4_loggroups_holes_are_found() -> None:
    prod = captured("platform", "prod")
    groups = [one for one in of_type(prod, "LogGroup") if one.custom]

    for key in ("name", "kmsKeyId", "retentionInDays", "deletionProtectionEnabled"):
        faults = log_group_faults(with_hole(prod, "LogGroup", lambda inputs: inputs.pop(key)))  # noqa: B023 - used at once
        assert len(faults) == len(groups)


def test_graph_4_loggroups_after_their_producers_are_found_in_dev() -> None:
    """dev has a trail of its own; in prod the organization's covers it."""
    dev = captured("platform", "dev")

    assert log_group_faults(changed(dev, "TaskDefinition", dependencies=()))
    assert log_group_faults(changed(dev, "Trail", dependencies=())) == ["trail-trail: before its log group"]


# --- C-8: the trail -------------------------------------------------------------------------------

DATA_EVENTS = {
    "AWS::S3::Object",
    "AWS::Bedrock::AgentAlias",
    "AWS::Bedrock::AsyncInvoke",
    "AWS::Bedrock::Guardrail",
    "AWS::Bedrock::InlineAgent",
    "AWS::Bedrock::KnowledgeBase",
    "AWS::Bedrock::Model",
}
NETWORK_ACTIVITY = {f"{name}.amazonaws.com" for name in ("bedrock", "kms", "s3", "secretsmanager", "sts")}


def trail_faults(deployment: engine.Deployment) -> list[str]:
    """What the account's trail does not record, or records in a way that could be forged or lost."""
    [trail] = [one for one in of_type(deployment, "Trail") if one.custom]
    selected = [_fields(one) for one in trail.inputs["advancedEventSelectors"]]
    data = {one.get("resources.type") for one in selected if one["eventCategory"] == "Data" and len(one) == 2}
    network = {
        one.get("eventSource") for one in selected if one["eventCategory"] == "NetworkActivity" and len(one) == 2
    }
    checks = {
        "regions": trail.inputs.get("isMultiRegionTrail") is True,
        "global services": trail.inputs.get("includeGlobalServiceEvents") is True,
        "validation": trail.inputs.get("enableLogFileValidation") is True,
        "logging": trail.inputs.get("enableLogging") is True,
        "key": str(trail.inputs.get("kmsKeyId", "")).startswith("arn:aws:kms:"),
        "management": {"eventCategory": "Management"} in selected,
        "data": data == DATA_EVENTS,
        "network": network == NETWORK_ACTIVITY,
        "no narrow selector": all(len(one) <= 2 for one in selected),
        "not both kinds of selectors": "eventSelectors" not in trail.inputs,
        "no event data store": not of_type(deployment, "EventDataStore"),
    }
    return [name for name, holds in checks.items() if not holds]


def _fields(selector: dict[str, Any]) -> dict[str, Any]:
    fields: list[dict[str, Any]] = selector["fieldSelectors"]
    return {one["field"]: one["equals"][0] if len(one.get("equals", [])) == 1 else one for one in fields}


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_c_8_the_trail_records_management_data_and_network_activity(stack: str) -> None:
    assert trail_faults(captured("platform", stack)) == []


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_c_8_no_second_trail_where_the_organizations_covers_the_account(stack: str) -> None:
    deployment = captured("platform", stack)

    assert environment_values(stack)["organization"]["trail"] == "external"
    assert of_type(deployment, "Trail") == []
    assert of_type(deployment, "EventDataStore") == []
    policy = only(deployment, "BucketPolicy", "evidence-policy").inputs["policy"]
    assert "DeliverTrail" not in policy


def _narrowed(inputs: dict[str, Any]) -> None:
    for selector in inputs["advancedEventSelectors"]:
        selector["fieldSelectors"].append({"field": "resources.ARN", "startsWiths": ["arn:aws:s3:::evidence"]})


def _writes_only(inputs: dict[str, Any]) -> None:
    inputs["advancedEventSelectors"][0]["fieldSelectors"].append({"field": "readOnly", "equals": ["false"]})


TRAIL_HOLES: dict[str, Plant] = {
    "one region": lambda inputs: inputs.update(isMultiRegionTrail=None),
    "no digests": lambda inputs: inputs.update(enableLogFileValidation=None),
    "stopped": lambda inputs: inputs.update(enableLogging=False),
    "Amazon's key": lambda inputs: inputs.pop("kmsKeyId"),
    "writes only": _writes_only,
    "narrow selectors": _narrowed,
    "no network activity": lambda inputs: inputs.update(advancedEventSelectors=inputs["advancedEventSelectors"][:8]),
    "no data events": lambda inputs: inputs.update(advancedEventSelectors=inputs["advancedEventSelectors"][:1]),
}


@pytest.mark.parametrize("hole", TRAIL_HOLES)
def test_c_8_a_hole_in_the_trail_is_found(hole: str) -> None:
    assert trail_faults(with_hole(captured("platform", "dev"), "Trail", TRAIL_HOLES[hole]))


def test_c_8_the_trail_waits_for_whatever_it_writes_to() -> None:
    deployment = captured("platform", "dev")
    [trail] = [one for one in of_type(deployment, "Trail") if one.custom]

    for earlier in ("evidence-policy", "trail-permissions", "trail-log-group"):
        [one] = [resource for resource in deployment.resources if resource.name == earlier]
        assert _comes_after(deployment, trail, one), earlier
