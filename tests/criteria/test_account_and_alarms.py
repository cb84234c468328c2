"""Settings of the account, and who hears when evidence is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from components.evidence_alarms import Watch, watches
from stacks.local import engine
from stacks.local.policy_evaluator import Request, evaluate
from tests.contracts.programs import captured, of_type, only
from tests.criteria.holes import changed, with_hole, without
from tests.criteria.networks import run
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
ACCOUNT = "333344445555"

# --- A-2, and what else exists once per account and region ----------------------------------------

SINGLETONS = {
    "AccountPasswordPolicy",
    "AccountPublicAccessBlock",
    "Analyzer",
    "DefaultKmsKey",
    "EncryptionByDefault",
    "ImageBlockPublicAccess",
    "InstanceMetadataDefaults",
    "InvocationLoggingConfiguration",
    "SerialConsoleAccess",
    "SnapshotBlockPublicAccess",
    "VpcBlockPublicAccessOptions",
}
# Left behind, the default key would name one that is being deleted; the others weaken nobody by going.
MAY_GO = {"Analyzer", "DefaultKmsKey", "InvocationLoggingConfiguration"}


def kinds(deployment: engine.Deployment) -> set[str]:
    return {one.type.rpartition(":")[2] for one in deployment.resources if one.custom}


def account_faults(deployment: engine.Deployment) -> list[str]:
    """What the account leaves open, or would open again when this environment is destroyed."""
    wanted: dict[str, dict[str, Any]] = {
        "VpcBlockPublicAccessOptions": {"internetGatewayBlockMode": "block-bidirectional"},
        "AccountPublicAccessBlock": dict.fromkeys(
            ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
        ),
        "SnapshotBlockPublicAccess": {"state": "block-all-sharing"},
        "ImageBlockPublicAccess": {"state": "block-new-sharing"},
        "EncryptionByDefault": {"enabled": True},
        "InstanceMetadataDefaults": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "SerialConsoleAccess": {"enabled": False},
    }
    found = [f"{kind}: missing" for kind in sorted(SINGLETONS - kinds(deployment))]
    for kind, settings in wanted.items():
        for one in of_type(deployment, kind):
            found += [f"{kind}: {key}" for key, value in settings.items() if one.inputs.get(key) != value]
    for kind in sorted(SINGLETONS - MAY_GO):
        found += [f"{kind}: goes" for one in of_type(deployment, kind) if not one.retain_on_delete]
    return found


@EVERY_ENVIRONMENT
def test_a_2_nothing_in_the_account_reaches_the_internet_or_is_public(stack: str) -> None:
    assert account_faults(captured("platform", stack)) == []


def test_a_2_an_open_account_is_found() -> None:
    prod = captured("platform", "prod")
    ingress = with_hole(
        prod, "VpcBlockPublicAccessOptions", lambda inputs: inputs.update(internetGatewayBlockMode="block-ingress")
    )

    assert account_faults(ingress) == ["VpcBlockPublicAccessOptions: internetGatewayBlockMode"]
    assert account_faults(without(prod, "AccountPublicAccessBlock")) == ["AccountPublicAccessBlock: missing"]
    assert account_faults(changed(prod, "EncryptionByDefault", retain_on_delete=False)) == ["EncryptionByDefault: goes"]


def test_a_2_an_environment_that_does_not_keep_the_account_touches_none_of_it() -> None:
    """So that destroying dev, in a shared account, never opens what prod leans on."""
    shared = run("dev", {**environment_values("dev"), "account_singletons": "external"})

    assert SINGLETONS & kinds(shared) == set()
    assert kinds(captured("platform", "dev")) >= SINGLETONS


def test_volumes_are_encrypted_with_a_key_that_exists_first() -> None:
    prod = captured("platform", "prod")
    default, switch = (only(prod, kind) for kind in ("DefaultKmsKey", "EncryptionByDefault"))

    assert default.inputs["keyArn"] == only(prod, "Key", "ebs-key").outputs["arn"]
    assert default.urn in switch.dependencies


# --- alarms ---------------------------------------------------------------------------------------

PROD = watches(ACCOUNT, ["evidence"], "break-glass")


def event(name: str, source: str, **detail: Any) -> Any:  # Any: JSON, typed by moto for its own events
    """As EventBridge hands on what CloudTrail recorded."""
    service = source.removeprefix("aws.")
    return {
        "version": "0",
        "source": source,
        "detail-type": "AWS API Call via CloudTrail",
        "account": ACCOUNT,
        "region": "us-east-1",
        "detail": {
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "userIdentity": {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": role("deployer")}}},
            "requestParameters": {},
            **detail,
        },
    }


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def alarms(happened: Any) -> set[str]:
    return {concern for concern, watch in PROD.items() if _matches(watch, happened)}


def _matches(watch: Watch, happened: Any) -> bool:
    return EventPattern(watch.pattern, json.loads(watch.pattern)).matches_event(happened)


def on_bucket(name: str, bucket: str = "evidence") -> Any:
    return event(name, "aws.s3", requestParameters={"bucketName": bucket})


def by_break_glass(name: str, source: str) -> Any:
    return event(name, source, userIdentity={"sessionContext": {"sessionIssuer": {"arn": role("break-glass")}}})


def entering(name: str, arn: str) -> Any:
    return event(name, "aws.sts", requestParameters={"roleArn": arn})


HEARD = {
    "a key is disabled": (event("DisableKey", "aws.kms"), "keys"),
    "a key is scheduled for deletion": (event("ScheduleKeyDeletion", "aws.kms"), "keys"),
    "an attempt that was refused": (event("ScheduleKeyDeletion", "aws.kms", errorCode="AccessDenied"), "keys"),
    "a key policy is put": (event("PutKeyPolicy", "aws.kms"), "keys"),
    "a trail is stopped": (event("StopLogging", "aws.cloudtrail"), "trails"),
    "a trail is deleted": (event("DeleteTrail", "aws.cloudtrail"), "trails"),
    "a trail is changed": (event("UpdateTrail", "aws.cloudtrail"), "trails"),
    "a trail sees less": (event("PutEventSelectors", "aws.cloudtrail"), "trails"),
    "evidence under another policy": (on_bucket("PutBucketPolicy"), "buckets"),
    "evidence without a policy": (on_bucket("DeleteBucketPolicy"), "buckets"),
    "evidence that expires": (on_bucket("PutBucketLifecycle"), "buckets"),
    "evidence with another lock": (on_bucket("PutBucketObjectLockConfiguration"), "buckets"),
    "flow logs deleted": (event("DeleteFlowLogs", "aws.ec2"), "flow-logs"),
    "DNS no longer logged": (event("DisassociateResolverQueryLogConfig", "aws.route53resolver"), "query-logs"),
    "prompts no longer logged": (event("DeleteModelInvocationLoggingConfiguration", "aws.bedrock"), "models"),
    "a guardrail deleted": (event("DeleteGuardrail", "aws.bedrock"), "models"),
    "a log group deleted": (event("DeleteLogGroup", "aws.logs"), "log-groups"),
    "an alarm switched off": (event("DisableRule", "aws.events"), "alarms"),
    "an alarm nobody hears": (event("Unsubscribe", "aws.sns"), "topics"),
    "break-glass is entered": (entering("AssumeRole", role("break-glass")), "break-glass"),
    "break-glass is entered by a person": (entering("AssumeRoleWithSAML", role("break-glass")), "break-glass"),
    "break-glass reads": (by_break_glass("GetObject", "aws.s3"), "break-glass-calls"),
}
NOT_HEARD = {
    "a key is used": event("Decrypt", "aws.kms"),
    "a key is described": event("DescribeKey", "aws.kms"),
    "a trail is looked up": event("DescribeTrails", "aws.cloudtrail"),
    "another bucket's policy": on_bucket("PutBucketPolicy", "somebodys-own"),
    "an object is put into evidence": on_bucket("PutObject"),
    "flow logs are made": event("CreateFlowLogs", "aws.ec2"),
    "the same call of another service": event("DisableKey", "aws.ec2"),
    "another role is entered": entering("AssumeRole", role("deployer")),
    "no call at all": {**event("DisableKey", "aws.kms"), "detail-type": "KMS CMK Deletion"},
}


@pytest.mark.parametrize("what", HEARD)
def test_destruction_of_evidence_is_heard(what: str) -> None:
    happened, concern = HEARD[what]

    assert alarms(happened) == {concern}


@pytest.mark.parametrize("what", NOT_HEARD)
def test_everyday_work_raises_no_alarm(what: str) -> None:
    assert alarms(NOT_HEARD[what]) == set()


def test_destruction_by_break_glass_is_heard_twice() -> None:
    assert alarms(by_break_glass("ScheduleKeyDeletion", "aws.kms")) == {"keys", "break-glass-calls"}


def alarm_faults(deployment: engine.Deployment) -> list[str]:
    """Alarms that do not exist, are off, publish nowhere, or to a topic that anybody can read or fill."""
    topic = only(deployment, "Topic", "evidence-alarms-topic")
    arn, region = str(topic.outputs["arn"]), str(topic.outputs["arn"]).split(":")[3]
    targets = {one.inputs["rule"]: one.inputs for one in of_type(deployment, "EventTarget")}
    found = []
    names = {
        one.name.removeprefix("evidence-alarms-").removesuffix("-rule") for one in of_type(deployment, "EventRule")
    }
    found += [f"{concern}: no rule" for concern in sorted(set(PROD) - names)]
    for rule in of_type(deployment, "EventRule"):
        target = targets.get(rule.inputs["name"], {})
        if not str(rule.inputs.get("state", "ENABLED")).startswith("ENABLED"):
            found.append(f"{rule.name}: off")
        if target.get("arn") != arn or not target.get("deadLetterConfig"):
            found.append(f"{rule.name}: unheard")
        if not _may_publish(deployment, "events", f"arn:aws:events:{region}:%s:rule/{rule.inputs['name']}"):
            found.append(f"{rule.name}: refused by the topic")
    if not str(topic.inputs.get("kmsMasterKeyId", "")).startswith("arn:aws:kms:"):
        found.append("topic: key")
    return found


def _may_publish(deployment: engine.Deployment, service: str, source: str, account: str = "") -> bool:
    """Topic and key together: an encrypted topic takes nothing from whoever may not use its key."""
    topic = only(deployment, "Topic", "evidence-alarms-topic")
    own = str(topic.outputs["arn"]).split(":")[4]
    context: dict[str, Any] = {
        "aws:SourceAccount": account or own,
        "aws:SourceArn": source % (account or own),
        "aws:SecureTransport": True,
    }
    keys = [one for one in of_type(deployment, "Key") if one.outputs["arn"] == topic.inputs.get("kmsMasterKeyId")]
    asked = [("sns:Publish", topic.outputs["arn"], only(deployment, "TopicPolicy", "evidence-alarms-topic-policy"))]
    asked += [("kms:GenerateDataKey", one.outputs["arn"], one) for one in keys]
    return all(
        evaluate(
            Request(f"{service}.amazonaws.com", action, str(arn), context, resource_account=own),
            resource=[json.loads(holder.inputs["policy"])],
        ).allowed
        for action, arn, holder in asked
    )


@EVERY_ENVIRONMENT
def test_every_alarm_is_on_and_reaches_the_topic(stack: str) -> None:
    assert alarm_faults(captured("platform", stack)) == []


def test_an_alarm_that_nobody_hears_is_found() -> None:
    prod = captured("platform", "prod")
    off = with_hole(prod, "EventRule", lambda inputs: inputs.update(state="DISABLED"), "evidence-alarms-keys-rule")

    assert alarm_faults(off) == ["evidence-alarms-keys-rule: off"]
    assert alarm_faults(without(prod, "EventRule", "evidence-alarms-keys-rule")) == ["keys: no rule"]
    assert alarm_faults(without(prod, "EventTarget", "evidence-alarms-keys-target")) == [
        "evidence-alarms-keys-rule: unheard"
    ]
    default = with_hole(prod, "Topic", lambda inputs: inputs.update(kmsMasterKeyId="alias/aws/sns"))
    assert alarm_faults(default) == ["topic: key"]


def test_nobody_elses_rules_and_alarms_publish_here() -> None:
    prod = captured("platform", "prod")
    metric = "arn:aws:cloudwatch:us-east-1:%s:alarm:gateway"

    assert _may_publish(prod, "cloudwatch", metric)
    assert not _may_publish(prod, "cloudwatch", metric, account="999988887777")
    assert not _may_publish(prod, "events", "arn:aws:events:us-east-1:%s:rule/somebodys-own")
    assert not _may_publish(prod, "s3", metric)


@EVERY_ENVIRONMENT
def test_the_alarms_name_this_environments_evidence_and_role(stack: str) -> None:
    deployment = captured("platform", stack)
    rules = {one.name: json.loads(one.inputs["eventPattern"]) for one in of_type(deployment, "EventRule")}
    watched = set(rules["evidence-alarms-buckets-rule"]["detail"]["requestParameters"]["bucketName"])
    kept = ("evidence", "content-evidence", "load-balancer-logs", "access-logs", "registrations")

    assert {only(deployment, "Bucket", f"{name}-bucket").outputs["bucket"] for name in kept} <= watched
    [entered] = rules["evidence-alarms-break-glass-rule"]["detail"]["requestParameters"]["roleArn"]
    assert entered.endswith(f":role/llm-pipelines-{stack}-break-glass")


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_somebody_hears_the_alarms(stack: str) -> None:
    platform = captured("platform", stack)
    heard = [one.inputs for one in of_type(platform, "TopicSubscription")]

    assert [(one["protocol"], one["topic"]) for one in heard] == [("email", only(platform, "Topic").outputs["arn"])]
    assert of_type(captured("platform", "local"), "TopicSubscription") == []
