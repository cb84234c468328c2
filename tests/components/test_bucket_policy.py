"""Bucket policies as tables of requests: who gets in, and what one changed circumstance does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.log_archive import LogArchiveArgs, access_log_policy, evidence_policy, load_balancer_policy
from components.policy_document import IncompleteDocument
from components.private_bucket import ObjectLock
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Request, evaluate

ACCOUNT = "123456789012"
ELSEWHERE = "999999999999"
ORGANIZATION = "o-a1b2c3d4e5"
BUCKET = "arn:aws:s3:::evidence"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
TRAIL = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/trail"
ALGORITHM, KEY_ID = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"

ARGS: LogArchiveArgs = {
    "account_id": ACCOUNT,
    "region": "us-east-1",
    "organization_id": ORGANIZATION,
    "evidence_bucket_name": "evidence",
    "load_balancer_bucket_name": "load-balancer-logs",
    "access_log_bucket_name": "access-logs",
    "access_logged_buckets": ["content"],
    "key_arn": KEY,
    "object_lock": ObjectLock.GOVERNANCE,
    "retention_days": 1,
    "audit_writer_roles": ["gateway"],
    "replication_roles": ["replicate"],
    "deployer_role": "deployer",
    "break_glass_role": "break-glass",
    "trail": {"arn": TRAIL, "owners": [ACCOUNT]},
}


def _allowed(
    role: str, action: str, key: str = "", account: str = ACCOUNT, organization: str = ORGANIZATION, **context: Any
) -> bool:
    circumstances = {
        "aws:SecureTransport": True,
        "s3:TlsVersion": "1.3",
        "aws:PrincipalArn": f"arn:aws:iam::{account}:role/{role}",
        **({"aws:PrincipalOrgID": organization} if organization else {}),
        **{name.replace("__", ":"): value for name, value in context.items()},
    }
    request = Request(
        f"arn:aws:sts::{account}:assumed-role/{role}/session",
        action,
        f"{BUCKET}/{key}" if key else BUCKET,
        circumstances,
        resource_account=ACCOUNT,
    )
    policy = json.loads(evidence_policy(ARGS, KEY))
    return evaluate(request, identity=[FULL_AWS_ACCESS], resource=[policy]).allowed


HEAD = {"key": "heads/chain/1", "s3__if-none-match": "*"}


def test_c_3_the_gateway_writes_a_new_head() -> None:
    assert _allowed("gateway", "s3:PutObject", **HEAD)  # no encryption named: the bucket's default applies
    assert _allowed("gateway", "s3:GetObject", "heads/chain/1")
    assert _allowed("gateway", "s3:PutObject", **HEAD, **{ALGORITHM: "aws:kms", KEY_ID: KEY})


REFUSED: dict[str, dict[str, Any]] = {
    "another role": {"role": "gateway-ingest", **HEAD},
    "the deployer": {"role": "deployer", **HEAD},
    "replacing a head": {"role": "gateway", "key": "heads/chain/1"},
    "plain text": {"role": "gateway", "aws__SecureTransport": False, **HEAD},
    "TLS 1.2": {"role": "gateway", "s3__TlsVersion": "1.2", **HEAD},
    "encryption of Amazon's own": {"role": "gateway", f"{ALGORITHM}": "AES256", **HEAD},
    "the key of somebody else": {"role": "gateway", ALGORITHM: "aws:kms", KEY_ID: f"{KEY}2", **HEAD},
    "another account": {"role": "gateway", "account": ELSEWHERE, **HEAD},
    "another organization": {"role": "gateway", "organization": "o-zzzzzzzzzz", **HEAD},
    "an account of no organization": {"role": "gateway", "organization": "", **HEAD},
}


@pytest.mark.parametrize("what", REFUSED)
def test_c_3_a_head_is_refused_when_one_circumstance_is_wrong(what: str) -> None:
    assert not _allowed(action="s3:PutObject", **REFUSED[what])


DESTRUCTION = [
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
]
ADMINISTRATION = [
    "s3:PutBucketPolicy",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:PutBucketVersioning",
]


@pytest.mark.parametrize("action", DESTRUCTION)
def test_c_3_only_the_break_glass_role_destroys(action: str) -> None:
    assert _allowed("break-glass", action, "heads/chain/1")
    assert not _allowed("deployer", action, "heads/chain/1")
    assert not _allowed("gateway", action, "heads/chain/1")


@pytest.mark.parametrize("action", ADMINISTRATION)
def test_the_deployer_is_not_locked_out_and_others_are(action: str) -> None:
    assert _allowed("deployer", action)
    assert not _allowed("gateway", action)


def test_a_wrong_organization_locks_out_neither_deployer_nor_break_glass() -> None:
    """Else nobody could mend the policy that names it."""
    for role in ("deployer", "break-glass"):
        assert _allowed(role, "s3:PutBucketPolicy", organization="")
    assert not _allowed("gateway", "s3:ListBucket", organization="")


@pytest.mark.parametrize("role", ["gateway", "deployer", "break-glass"])
def test_replicas_come_from_replication_only(role: str) -> None:
    """A replica asks no condition of the object that is there: with it, a sealed head could be covered."""
    assert _allowed("replicate", "s3:ReplicateObject", "gateway/AWSLogs/x")
    assert not _allowed(role, "s3:ReplicateObject", "heads/chain/1")


def _delivered(policy: str, service: str, bucket: str, key: str, **context: Any) -> bool:
    circumstances = {
        "aws:SecureTransport": True,
        "s3:TlsVersion": "1.2",
        **{name.replace("__", ":"): value for name, value in context.items()},
    }
    request = Request(service, "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", circumstances, resource_account=ACCOUNT)
    return evaluate(request, resource=[json.loads(policy)]).allowed


def _logs(account: str = ACCOUNT, key: str = f"AWSLogs/{ACCOUNT}/vpcflowlogs/1.gz") -> bool:
    source = f"arn:aws:logs:us-east-1:{account}:flow"
    context = {"aws:SourceAccount": account, "aws:SourceArn": source}
    return _delivered(evidence_policy(ARGS, KEY), "delivery.logs.amazonaws.com", "evidence", key, **context)


def test_c_3_the_log_service_delivers_for_our_account_below_its_prefix() -> None:
    assert _logs()
    assert not _logs(account=ELSEWHERE)
    assert not _logs(key="heads/x")


def _trail(policy: str = "", service: str = "cloudtrail.amazonaws.com", **changes: Any) -> bool:
    context = {"aws:SourceArn": TRAIL, "s3:x-amz-acl": "bucket-owner-full-control", **changes}
    key = context.pop("key", f"AWSLogs/{ACCOUNT}/CloudTrail/1.gz")
    return _delivered(policy or evidence_policy(ARGS, KEY), service, "evidence", str(key), **context)


def test_c_3_cloudtrail_delivers_logs_and_digests_under_amazons_key() -> None:
    assert _trail(**{ALGORITHM: "aws:kms", KEY_ID: KEY})
    assert _trail(key=f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/1.gz", **{ALGORITHM: "AES256"})


TRAIL_REFUSED: dict[str, dict[str, Any]] = {
    "another trail of ours": {"aws:SourceArn": TRAIL + "-2"},
    "a trail of another account": {"aws:SourceArn": TRAIL.replace(ACCOUNT, ELSEWHERE)},
    "the logs of another account": {"key": f"AWSLogs/{ELSEWHERE}/CloudTrail/1.gz"},
    "an owner who is not us": {"s3:x-amz-acl": "private"},
    "another service": {"service": "delivery.logs.amazonaws.com"},
    "the key of somebody else": {ALGORITHM: "aws:kms", KEY_ID: f"{KEY}2"},
}


@pytest.mark.parametrize("what", TRAIL_REFUSED)
def test_c_3_cloudtrail_is_refused_when_one_circumstance_is_wrong(what: str) -> None:
    assert not _trail(**TRAIL_REFUSED[what])


def test_no_trail_writes_here_where_the_organizations_own_does_elsewhere() -> None:
    external: LogArchiveArgs = {**ARGS, "trail": None}
    assert not _trail(evidence_policy(external, KEY))


def test_a_trail_of_the_organization_writes_for_each_of_its_accounts() -> None:
    policy = evidence_policy({**ARGS, "trail": {"arn": TRAIL, "owners": [ACCOUNT, ORGANIZATION]}}, KEY)

    assert _trail(policy, key=f"AWSLogs/{ORGANIZATION}/{ELSEWHERE}/CloudTrail/1.gz")
    assert not _trail(key=f"AWSLogs/{ORGANIZATION}/{ELSEWHERE}/CloudTrail/1.gz")


def _access_log(source: str = "content", account: str = ACCOUNT, service: str = "logging.s3.amazonaws.com") -> bool:
    context = {"aws:SourceAccount": account, "aws:SourceArn": f"arn:aws:s3:::{source}"}
    return _delivered(access_log_policy(ARGS), service, "access-logs", "content/1", **context)


def test_c_3_access_logs_are_delivered_for_the_buckets_named_only() -> None:
    assert _access_log()
    assert not _access_log(source="evidence")
    assert not _access_log(account=ELSEWHERE)
    assert not _access_log(service="delivery.logs.amazonaws.com")


def _balancer(account: str = ACCOUNT, key: str = f"gateway/AWSLogs/{ACCOUNT}/1.gz") -> bool:
    source = f"arn:aws:elasticloadbalancing:us-east-1:{account}:loadbalancer/app/x"
    context = {"aws:SourceAccount": account, "aws:SourceArn": source}
    service = "logdelivery.elasticloadbalancing.amazonaws.com"
    return _delivered(load_balancer_policy(ARGS), service, "load-balancer-logs", key, **context)


def test_c_3_load_balancer_logs_are_delivered_for_our_account_below_its_prefix() -> None:
    assert _balancer()
    assert not _balancer(account=ELSEWHERE)
    assert not _balancer(key="heads/1")


def test_no_policy_is_written_around_a_hole() -> None:
    with pytest.raises(IncompleteDocument):
        evidence_policy({**ARGS, "organization_id": ""}, KEY)
