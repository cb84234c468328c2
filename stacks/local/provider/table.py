"""Which resource types are created and read back, and which are only recorded: the one list of both."""

from __future__ import annotations

from stacks.local.provider import (
    account,
    acm,
    acmpca,
    applicationautoscaling,
    autoscaling,
    bedrock,
    cloudtrail,
    cloudwatch,
    ec2,
    ecr,
    ecs,
    eks,
    elasticache,
    elbv2,
    events,
    iam,
    kms,
    logs,
    organizations,
    rds,
    route53,
    s3,
    sagemaker,
    secretsmanager,
    sns,
    sqs,
)
from stacks.local.provider.kinds import Kind

MODELLED: dict[str, Kind] = {
    **account.KINDS,
    **acm.KINDS,
    **acmpca.KINDS,
    **applicationautoscaling.KINDS,
    **autoscaling.KINDS,
    **bedrock.KINDS,
    **cloudtrail.KINDS,
    **cloudwatch.KINDS,
    **ec2.KINDS,
    **ecr.KINDS,
    **ecs.KINDS,
    **eks.KINDS,
    **elasticache.KINDS,
    **elbv2.KINDS,
    **events.KINDS,
    **iam.KINDS,
    **kms.KINDS,
    **logs.KINDS,
    **organizations.KINDS,
    **rds.KINDS,
    **route53.KINDS,
    **s3.KINDS,
    **sagemaker.KINDS,
    **secretsmanager.KINDS,
    **sns.KINDS,
    **sqs.KINDS,
}

# Modelled by a part of the local platform; without the parts they are recorded only.
BACKED: dict[str, Kind] = dict(elasticache.BACKED_KINDS)

# Neither moto nor a part can hold these: id and ARN are invented, other outputs stay unknown. Each with
# the outputs that name the resource, and why nobody models it.
RECORDED: dict[str, tuple[tuple[str, ...], str]] = {
    "aws:accessanalyzer/analyzer:Analyzer": (("arn",), "moto has no Access Analyzer"),
    "aws:bedrock/guardrail:Guardrail": (("guardrailId", "guardrailArn"), "moto has no guardrails"),
    "aws:bedrock/guardrailVersion:GuardrailVersion": (("version",), "moto has no guardrails"),
    "aws:bedrock/inferenceProfile:InferenceProfile": (("arn",), "moto has no inference profiles"),
    "aws:cloudcontrol/resource:Resource": (("properties",), "moto has no Cloud Control API"),
    "aws:ebs/defaultKmsKey:DefaultKmsKey": ((), "moto takes a default key and cannot say which"),
    "aws:ebs/snapshotBlockPublicAccess:SnapshotBlockPublicAccess": ((), "moto has no such setting"),
    "aws:ec2/imageBlockPublicAccess:ImageBlockPublicAccess": ((), "moto has no such setting"),
    "aws:ec2/instanceMetadataDefaults:InstanceMetadataDefaults": ((), "moto has no such setting"),
    "aws:ec2/serialConsoleAccess:SerialConsoleAccess": ((), "moto has no such setting"),
    "aws:ec2/vpcBlockPublicAccessOptions:VpcBlockPublicAccessOptions": ((), "moto has no such setting"),
    "aws:ec2/vpcEncryptionControl:VpcEncryptionControl": ((), "moto has no encryption controls"),
    "aws:eks/accessEntry:AccessEntry": (("accessEntryArn",), "moto has no access entries"),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": ((), "moto has no access entries"),
    "aws:eks/addon:Addon": (("arn",), "moto has no add-ons"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (("associationArn",), "moto has no pod identities"),
    "aws:elasticache/serverlessCache:ServerlessCache": (("arn",), "moto has no serverless caches"),
    "aws:elasticache/userGroup:UserGroup": (("arn",), "moto has no user groups"),
    "aws:route53/resolverFirewallConfig:ResolverFirewallConfig": (("ownerId",), "moto has no DNS firewall"),
    "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList": (("arn",), "moto has no DNS firewall"),
    "aws:route53/resolverFirewallRule:ResolverFirewallRule": ((), "moto has no DNS firewall"),
    "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup": (("arn",), "moto has no DNS firewall"),
    "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation": (
        ("arn",),
        "moto has no DNS firewall",
    ),
}
