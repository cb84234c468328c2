"""Values that the AWS API allows where the SDK's annotations say only `str`.

The real provider refuses a wrong one when it checks inputs; the SDK does not. What is allowed is read from
botocore's description of each API, so this table holds names only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

from stacks.local.engine_graph import UNKNOWN, Json
from stacks.local.engine_values import leaves

_INDEX = re.compile(r"\[[^\]]*\]")

# Resource type → property path → service and shape of the API.
_SHAPES: dict[str, dict[str, tuple[str, str]]] = {
    "aws:bedrock/guardrail:Guardrail": {
        "contentPolicyConfig.filtersConfigs.type": ("bedrock", "GuardrailContentFilterType"),
        "contentPolicyConfig.filtersConfigs.inputStrength": ("bedrock", "GuardrailFilterStrength"),
        "contentPolicyConfig.filtersConfigs.outputStrength": ("bedrock", "GuardrailFilterStrength"),
        "topicPolicyConfig.topicsConfigs.type": ("bedrock", "GuardrailTopicType"),
        "sensitiveInformationPolicyConfig.piiEntitiesConfigs.type": ("bedrock", "GuardrailPiiEntityType"),
        "sensitiveInformationPolicyConfig.piiEntitiesConfigs.action": (
            "bedrock",
            "GuardrailSensitiveInformationAction",
        ),
        "sensitiveInformationPolicyConfig.regexesConfigs.action": ("bedrock", "GuardrailSensitiveInformationAction"),
        "contextualGroundingPolicyConfig.filtersConfigs.type": ("bedrock", "GuardrailContextualGroundingFilterType"),
    },
    "aws:cloudwatch/logGroup:LogGroup": {"logGroupClass": ("logs", "LogGroupClass")},
    "aws:ec2/flowLog:FlowLog": {
        "trafficType": ("ec2", "TrafficType"),
        "logDestinationType": ("ec2", "LogDestinationType"),
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"vpcEndpointType": ("ec2", "VpcEndpointType")},
    "aws:ecr/repository:Repository": {
        "imageTagMutability": ("ecr", "ImageTagMutability"),
        "encryptionConfigurations.encryptionType": ("ecr", "EncryptionType"),
    },
    "aws:ecs/service:Service": {
        "launchType": ("ecs", "LaunchType"),
        "propagateTags": ("ecs", "PropagateTags"),
    },
    "aws:ecs/taskDefinition:TaskDefinition": {
        "networkMode": ("ecs", "NetworkMode"),
        "requiresCompatibilities": ("ecs", "Compatibility"),
        "runtimePlatform.cpuArchitecture": ("ecs", "CPUArchitecture"),
        "runtimePlatform.operatingSystemFamily": ("ecs", "OSFamily"),
    },
    "aws:elasticache/serverlessCache:ServerlessCache": {
        "cacheUsageLimits.dataStorage.unit": ("elasticache", "DataStorageUnit"),
    },
    "aws:elasticache/user:User": {"authenticationMode.type": ("elasticache", "InputAuthenticationType")},
    "aws:kms/key:Key": {
        "keyUsage": ("kms", "KeyUsageType"),
        "customerMasterKeySpec": ("kms", "KeySpec"),
    },
    "aws:lb/listener:Listener": {
        "protocol": ("elbv2", "ProtocolEnum"),
        "defaultActions.type": ("elbv2", "ActionTypeEnum"),
    },
    "aws:lb/loadBalancer:LoadBalancer": {
        "loadBalancerType": ("elbv2", "LoadBalancerTypeEnum"),
        "ipAddressType": ("elbv2", "IpAddressType"),
    },
    "aws:lb/targetGroup:TargetGroup": {
        "protocol": ("elbv2", "ProtocolEnum"),
        "targetType": ("elbv2", "TargetTypeEnum"),
        "healthCheck.protocol": ("elbv2", "ProtocolEnum"),
    },
    "aws:route53/record:Record": {"type": ("route53", "RRType")},
    "aws:route53/resolverFirewallConfig:ResolverFirewallConfig": {
        "firewallFailOpen": ("route53resolver", "FirewallFailOpenStatus"),
    },
    "aws:route53/resolverFirewallRule:ResolverFirewallRule": {
        "action": ("route53resolver", "Action"),
        "blockResponse": ("route53resolver", "BlockResponse"),
    },
    "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation": {
        "mutationProtection": ("route53resolver", "MutationProtectionStatus"),
    },
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
        "rules.status": ("s3", "ExpirationStatus"),
        "rules.transitions.storageClass": ("s3", "TransitionStorageClass"),
    },
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": {
        "rule.defaultRetention.mode": ("s3", "ObjectLockRetentionMode"),
    },
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {"rule.objectOwnership": ("s3", "ObjectOwnership")},
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
        "rules.applyServerSideEncryptionByDefault.sseAlgorithm": ("s3", "ServerSideEncryption"),
        "rules.blockedEncryptionTypes": ("s3", "EncryptionType"),
    },
    "aws:s3/bucketVersioning:BucketVersioning": {
        "versioningConfiguration.status": ("s3", "BucketVersioningStatus"),
    },
}


def wrong_values(token: str, inputs: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Path and sentence of every value that the API would refuse."""
    shapes = _SHAPES.get(token)
    for path, value in leaves(dict(inputs)) if shapes else ():
        shape = (shapes or {}).get(_INDEX.sub("", path))
        if shape and value not in (UNKNOWN, None) and value not in allowed(*shape):
            yield path, f"must be one of {', '.join(allowed(*shape))} (got {value!r})"


@functools.cache
def allowed(service: str, shape: str) -> tuple[str, ...]:
    """The values of an enumeration, in alphabetical order."""
    described_shape: Any = _model(service).shape_for(shape)
    return tuple(sorted(described_shape.enum))


_LOADER = Loader()  # one for all: a session of botocore's own lists every folder of every service anew


@functools.cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(_LOADER.load_service_model(service, "service-2"), service)


def described() -> Iterator[tuple[str, str, str, str]]:
    """Every row of the table: resource type, path, service, shape."""
    for token, shapes in _SHAPES.items():
        for path, (service, shape) in shapes.items():
            yield token, path, service, shape
