"""The gateway's permissions fit into a role, or the program ends before AWS refuses them."""

from __future__ import annotations

import pytest

from components.gateway_permissions import GatewayResources, TooManyModels, serve_permissions
from components.policy_document import allow

ARN = "arn:aws:kms:us-east-1:123456789012:key/1"
RESOURCES = GatewayResources(
    account_id="123456789012",
    region="us-east-1",
    environment="dev",
    registration_bucket_arn="arn:aws:s3:::registrations",
    registration_key_arn=ARN,
    audit_bucket_arn="arn:aws:s3:::evidence",
    audit_bucket_key_arn=ARN,
    audit_signing_key_arn=ARN,
    audit_mac_key_arn=ARN,
    guardrail_key_arn=ARN,
    cache_arn="arn:aws:elasticache:us-east-1:123456789012:serverlesscache:limits",
    cache_user_arn="arn:aws:elasticache:us-east-1:123456789012:user:gateway",
    document_bucket_arns="arn:aws:s3:::docs-*",
    document_queue_arns="arn:aws:sqs:us-east-1:123456789012:docs-*",
)
USER = "arn:aws:rds-db:us-east-1:123456789012:dbuser:cluster/gateway"


def written(profiles: int) -> str:
    arns = [f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{n:012}" for n in range(profiles)]
    return serve_permissions(RESOURCES, USER, [allow("InvokeModels", ["bedrock:InvokeModel"], arns)])


def test_permissions_of_a_few_models_fit_into_a_role() -> None:
    assert len(written(10)) < 10_240


def test_permissions_that_no_role_holds_are_refused_with_what_to_do() -> None:
    with pytest.raises(TooManyModels, match="offer fewer models"):
        written(120)
