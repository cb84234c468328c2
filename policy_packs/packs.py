"""What each pack holds. A pack only chooses; importing this starts nothing."""

from __future__ import annotations

from typing import Final

from policy_packs.rule import AnyRule
from policy_packs.rules import (
    bedrock,
    bedrock_permissions,
    cloudwatch,
    ec2,
    ecr,
    ecs,
    iam,
    kms,
    load_balancing,
    model_network,
    rds,
    s3,
    sns,
    sqs,
)

BASELINE_SECURITY: Final[tuple[AnyRule, ...]] = (
    s3.PUBLIC_ACCESS,
    s3.POLICY_PRESENT,
    s3.TLS_ONLY,
    kms.KEY_ROTATION,
    rds.DATABASE_PROTECTED,
    load_balancing.TLS13,
    ec2.NOT_OPEN,
    cloudwatch.LOG_GROUP_PROTECTED,
    ecs.HARDENED_CONTAINERS,
    iam.NAMED_PERMISSIONS,
    iam.NARROW_ATTACHMENTS,
    iam.NO_STATIC_CREDENTIALS,
    sns.CUSTOMER_KEY,
    sns.NOT_PUBLIC,
    sns.OWN_ACCOUNT,
    sqs.CUSTOMER_KEY,
    sqs.TLS_ONLY,
    sqs.NOT_PUBLIC,
    sqs.NAMED_ACTIONS,
    ecr.IMMUTABLE_TAGS,
    ecr.SCAN_ON_PUSH,
    ecr.CUSTOMER_KEY,
    ecr.NOT_PUBLIC,
)

LLM_GUARDRAILS: Final[tuple[AnyRule, ...]] = (
    bedrock_permissions.NAMED_MODEL,
    bedrock_permissions.GUARDED_INVOCATION,
    bedrock_permissions.NO_SIDE_DOOR,
    bedrock.GUARDRAIL_STRENGTH,
    bedrock.NUMBERED_VERSION,
    bedrock.INVOCATIONS_LOGGED,
    model_network.SCOPED_ENDPOINT,
    model_network.NO_WAY_OUT,
    model_network.DNS_FIREWALL,
    s3.LOG_ARCHIVE_LOCKED,
)

PACKS: Final[dict[str, tuple[AnyRule, ...]]] = {
    "baseline-security": BASELINE_SECURITY,
    "llm-guardrails": LLM_GUARDRAILS,
}
