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
    _table(key)
    _watch()
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


def _table(key: aws.kms.Key) -> None:
    aws.dynamodb.Table(
        "sessions",
        billing_mode="PAY_PER_REQUEST",
        hash_key="id",
        attributes=[{"name": "id", "type": "S"}],
        server_side_encryption={"enabled": True, "kms_key_arn": key.arn},
        point_in_time_recovery={"enabled": True},
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
