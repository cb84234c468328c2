"""What each pack holds. A pack only chooses; importing this starts nothing."""

from __future__ import annotations

from typing import Final

from policy_packs.rule import AnyRule
from policy_packs.rules import (
    bedrock,
    bedrock_permissions,
    cloudtrail,
    cloudwatch,
    ec2,
    ecr,
    ecs,
    eks,
    elasticache,
    iam,
    kms,
    launch_template,
    load_balancing,
    model_network,
    rds,
    s3,
    sagemaker,
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
    elasticache.CACHE_ENCRYPTED,
    elasticache.IAM_USERS,
    eks.PRIVATE_ENDPOINT,
    eks.CONTROL_PLANE_LOGS,
    eks.SECRETS_OWN_KEY,
    eks.API_AUTHENTICATION,
    launch_template.IMDSV2,
    launch_template.VOLUMES_ENCRYPTED,
    cloudtrail.EVERY_REGION,
    cloudtrail.LOG_FILE_VALIDATION,
    cloudtrail.OWN_KEY,
    cloudtrail.READS_AND_WRITES,
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
    sagemaker.NETWORK_ISOLATION,
    sagemaker.IN_VPC,
    sagemaker.IMAGE_BY_DIGEST,
    sagemaker.VOLUME_KEY,
    sagemaker.CAPTURE_ENCRYPTED,
    s3.LOG_ARCHIVE_LOCKED,
)

PACKS: Final[dict[str, tuple[AnyRule, ...]]] = {
    "baseline-security": BASELINE_SECURITY,
    "llm-guardrails": LLM_GUARDRAILS,
}
