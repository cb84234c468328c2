"""Evidence under retention: what moto enforces is tried there, what it does not is decided by the bucket's policy.

moto refuses to delete a locked version; it lets anybody shorten a retention and change the lock. AWS refuses
both under COMPLIANCE, and before AWS is asked our bucket policy refuses everybody but the break-glass role.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Request, evaluate
from tests.contracts.programs import captured, only
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
BUCKET, HEAD = "evidence", "heads/chain/1"
LOCK = "evidence-object-lock"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def written(s3: Any, stack: str, *, locked: bool = True) -> str:
    """An object in a bucket that is locked as this environment's is; its version."""
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=locked)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    if locked:
        default = only(captured("platform", stack), "BucketObjectLockConfiguration", LOCK).inputs["rule"]
        retention = {"Mode": default["defaultRetention"]["mode"], "Days": default["defaultRetention"]["days"]}
        rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
        s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=rule)
    return str(s3.put_object(Bucket=BUCKET, Key=HEAD, Body=b"head")["VersionId"])


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_c_4_a_version_under_retention_cannot_be_deleted(s3: Any, stack: str) -> None:
    version = written(s3, stack)

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=BUCKET, Key=HEAD, VersionId=version)
    s3.delete_object(Bucket=BUCKET, Key=HEAD)  # only hides it
    assert s3.get_object(Bucket=BUCKET, Key=HEAD, VersionId=version)["Body"].read() == b"head"


def test_c_4_under_compliance_not_even_with_the_right_to_bypass(s3: Any) -> None:
    version = written(s3, "prod")

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=BUCKET, Key=HEAD, VersionId=version, BypassGovernanceRetention=True)


def test_c_4_without_the_lock_it_is_gone(s3: Any) -> None:
    version = written(s3, "prod", locked=False)
    s3.delete_object(Bucket=BUCKET, Key=HEAD, VersionId=version)

    with pytest.raises(ClientError, match=r"NoSuchVersion|NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key=HEAD, VersionId=version)


SHORTENING = (
    "s3:PutObjectRetention",
    "s3:PutBucketObjectLockConfiguration",
    "s3:BypassGovernanceRetention",
    "s3:PutObjectLegalHold",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
)


@pytest.mark.parametrize("action", SHORTENING)
@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_c_4_nobody_shortens_what_is_kept(stack: str, action: str) -> None:
    """The deployer administers the bucket; the objects' own retention is out of its reach."""
    of_objects = action in ("s3:PutObjectRetention", "s3:BypassGovernanceRetention", "s3:PutObjectLegalHold")

    for role in ("gateway", "gateway-ingest", "document-assistant-deployer", "somebody"):
        assert not _allowed(stack, role, action, of_objects)
    assert _allowed(stack, "deployer", action, of_objects) is not of_objects
    assert _allowed(stack, "break-glass", action, of_objects)


def _allowed(stack: str, role: str, action: str, of_objects: bool) -> bool:
    policy = only(captured("platform", stack), "BucketPolicy", "evidence-policy").inputs
    account = environment_values(stack)["accounts"][stack]
    arn = f"arn:aws:s3:::{policy['bucket']}"
    context = {
        "aws:SecureTransport": True,
        "s3:TlsVersion": "1.3",
        "aws:PrincipalOrgID": environment_values(stack)["organization"]["id"],
    }
    return evaluate(
        Request(
            f"arn:aws:iam::{account}:role/llm-pipelines-{stack}-{role}",
            action,
            f"{arn}/{HEAD}" if of_objects else arn,
            context,
            resource_account=account,
        ),
        identity=[FULL_AWS_ACCESS],
        resource=[json.loads(policy["policy"])],
    ).allowed
