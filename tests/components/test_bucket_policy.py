"""Bucket policies as tables of requests: who gets in, and what one changed circumstance does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.log_archive import LogArchiveArgs, evidence_policy
from components.private_bucket import ObjectLock
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Request, evaluate

ACCOUNT = "123456789012"
BUCKET = "arn:aws:s3:::evidence"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
ALGORITHM, KEY_ID = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"

ARGS: LogArchiveArgs = {
    "account_id": ACCOUNT,
    "region": "us-east-1",
    "evidence_bucket_name": "evidence",
    "load_balancer_bucket_name": "load-balancer-logs",
    "key_arn": KEY,
    "object_lock": ObjectLock.GOVERNANCE,
    "retention_days": 1,
    "audit_writer_roles": ["gateway"],
    "deployer_role": "deployer",
    "break_glass_role": "break-glass",
}


def _allowed(role: str, action: str, key: str = "", account: str = ACCOUNT, **context: Any) -> bool:
    circumstances = {
        "aws:SecureTransport": True,
        "s3:TlsVersion": "1.3",
        "aws:PrincipalArn": f"arn:aws:iam::{account}:role/{role}",
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


def test_the_gateway_writes_a_new_head() -> None:
    assert _allowed("gateway", "s3:PutObject", **HEAD)
    assert _allowed("gateway", "s3:GetObject", "heads/chain/1")


REFUSED: dict[str, dict[str, Any]] = {
    "another role": {"role": "gateway-ingest", **HEAD},
    "the deployer": {"role": "deployer", **HEAD},
    "replacing a head": {"role": "gateway", "key": "heads/chain/1"},
    "plain text": {"role": "gateway", "aws__SecureTransport": False, **HEAD},
    "TLS 1.2": {"role": "gateway", "s3__TlsVersion": "1.2", **HEAD},
    "encryption of Amazon's own": {"role": "gateway", f"{ALGORITHM}": "AES256", **HEAD},
    "the key of somebody else": {"role": "gateway", ALGORITHM: "aws:kms", KEY_ID: f"{KEY}2", **HEAD},
    "another account": {"role": "gateway", "account": "999999999999", **HEAD},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_head_is_refused_when_one_circumstance_is_wrong(what: str) -> None:
    assert not _allowed(action="s3:PutObject", **REFUSED[what])


def test_our_own_key_may_be_named() -> None:
    assert _allowed("gateway", "s3:PutObject", **HEAD, **{ALGORITHM: "aws:kms", KEY_ID: KEY})


DESTRUCTION = ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]
ADMINISTRATION = ["s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "s3:PutBucketObjectLockConfiguration"]


@pytest.mark.parametrize("action", DESTRUCTION)
def test_only_the_break_glass_role_destroys(action: str) -> None:
    assert _allowed("break-glass", action, "heads/chain/1")
    assert not _allowed("deployer", action, "heads/chain/1")
    assert not _allowed("gateway", action, "heads/chain/1")


@pytest.mark.parametrize("action", ADMINISTRATION)
def test_the_deployer_is_not_locked_out_and_others_are(action: str) -> None:
    assert _allowed("deployer", action)
    assert not _allowed("gateway", action)


@pytest.mark.parametrize(
    ("account", "key", "allowed"),
    [
        (ACCOUNT, "AWSLogs/x", True),
        ("999999999999", "AWSLogs/x", False),
        (ACCOUNT, "heads/x", False),
    ],
)
def test_the_log_service_delivers_for_our_account_below_its_prefix(account: str, key: str, *, allowed: bool) -> None:
    request = Request(
        "delivery.logs.amazonaws.com",
        "s3:PutObject",
        f"{BUCKET}/{key}",
        {
            "aws:SecureTransport": True,
            "s3:TlsVersion": "1.3",
            "aws:PrincipalIsAWSService": True,
            "aws:SourceAccount": account,
            "aws:SourceArn": f"arn:aws:logs:us-east-1:{account}:x",
        },
        resource_account=ACCOUNT,
    )
    policy = json.loads(evidence_policy(ARGS, KEY))

    assert evaluate(request, resource=[policy]).allowed is allowed
