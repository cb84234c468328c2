"""Buckets, keys, secrets and parameters, as the rules ask for them."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    key = _key("storage")
    _secret(key)
    _parameter(key)
    _table("sessions", key)
    _watch()
    _tenants()
    _retrieval_source(key)
    aws.s3.AccessPoint("archive-reader", bucket="archive", bucket_account_id="111122223333")


def _key(name: str, **tags: str) -> aws.kms.Key:
    administration = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:role/key-administrator"},
        "Action": ["kms:DescribeKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"],
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [administration]})
    return aws.kms.Key(f"{name}-key", enable_key_rotation=True, policy=policy, tags=tags)


def _secret(key: aws.kms.Key) -> None:
    secret = aws.secretsmanager.Secret("partner-token", kms_key_id=key.arn)
    aws.secretsmanager.SecretRotation(
        "partner-token-rotation",
        secret_id=secret.id,
        rotation_lambda_arn="arn:aws:lambda:eu-central-1:111122223333:function:rotate",
        rotation_rules={"automatically_after_days": 30},
    )


def _parameter(key: aws.kms.Key) -> None:
    value = pulumi.Output.secret("set by its owner")
    aws.ssm.Parameter("partner-account", type="SecureString", key_id=key.arn, value=value)


def _table(name: str, key: aws.kms.Key, **tags: str) -> None:
    aws.dynamodb.Table(
        name,
        billing_mode="PAY_PER_REQUEST",
        hash_key="id",
        attributes=[{"name": "id", "type": "S"}],
        server_side_encryption={"enabled": True, "kms_key_arn": key.arn},
        point_in_time_recovery={"enabled": True},
        tags=tags,
    )


def _watch() -> None:
    aws.guardduty.Detector("detector", enable=True)
    recorder = aws.cfg.Recorder(
        "recorder",
        name="default",
        role_arn="arn:aws:iam::111122223333:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig",
        recording_group={"all_supported": True, "include_global_resource_types": True},
    )
    aws.cfg.RecorderStatus("recorder-status", name=recorder.name, is_enabled=True)


def _tenants() -> None:
    """Two tenants, each under a key of its own."""
    for tenant in ("acme", "globex"):
        key = _key(tenant, tenant=tenant)
        _table(f"{tenant}-sessions", key, tenant=tenant)


def _retrieval_source(key: aws.kms.Key) -> None:
    """A bucket that a knowledge base reads; one role writes it."""
    bucket = _bucket("documents", key)
    aws.bedrock.AgentDataSource(
        "documents-source",
        knowledge_base_id="KB12345678",
        data_deletion_policy="RETAIN",
        data_source_configuration={"type": "S3", "s3_configuration": {"bucket_arn": bucket.arn}},
        server_side_encryption_configuration={"kms_key_arn": key.arn},
    )


def _bucket(name: str, key: aws.kms.Key) -> aws.s3.Bucket:
    arn = f"arn:aws:s3:::other-services-{name}"
    bucket = aws.s3.Bucket(f"{name}-bucket", bucket=f"other-services-{name}")
    aws.s3.BucketVersioning(f"{name}-versions", bucket=bucket.id, versioning_configuration={"status": "Enabled"})
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}}],
    )
    aws.s3.BucketOwnershipControls(
        f"{name}-ownership", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}
    )
    aws.s3.BucketPublicAccessBlock(
        f"{name}-public-access",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    aws.s3.BucketPolicy(f"{name}-policy", bucket=bucket.id, policy=_tls_only(arn))
    return bucket


def _tls_only(arn: str) -> str:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
