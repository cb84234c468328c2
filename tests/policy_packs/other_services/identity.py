"""Functions and who they may act as, as the rules ask for them."""

from __future__ import annotations

import json

import pulumi_aws as aws

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
GITHUB = "token.actions.githubusercontent.com"


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    _role_of_a_repository()
    _function()


def _role_of_a_repository() -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{GITHUB}:aud": "sts.amazonaws.com",
                f"{GITHUB}:sub": "repo:owner/platform:ref:refs/heads/main",
            }
        },
    }
    aws.iam.Role(
        "deployer",
        assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        max_session_duration=3600,
    )


def _function() -> None:
    signing = aws.lambda_.CodeSigningConfig(
        "signed",
        allowed_publishers={
            "signing_profile_version_arns": [f"arn:aws:signer:eu-west-1:{ACCOUNT}:/signing-profiles/release/1"]
        },
        policies={"untrusted_artifact_on_deployment": "Enforce"},
    )
    aws.lambda_.Function(
        "resize",
        role=f"arn:aws:iam::{ACCOUNT}:role/resize",
        s3_bucket="releases",
        s3_key="resize.zip",
        handler="index.handler",
        runtime="python3.13",
        code_signing_config_arn=signing.arn,
        kms_key_arn=KEY,
        environment={"variables": {"TABLE": "documents"}},
        vpc_config={"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
    )
