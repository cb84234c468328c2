"""Functions and who they may act as, as the rules ask for them."""

from __future__ import annotations

import json

import pulumi_aws as aws

ACCOUNT = "111122223333"
GITHUB = "token.actions.githubusercontent.com"


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    _role_of_a_repository()


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
