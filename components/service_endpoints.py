"""Interface endpoints: AWS APIs inside our network, each with a policy of its own.

An endpoint without a policy lets everything through, one without private DNS is never used. Both are set here
for every service. The table says which services there are, why, and which environments have them; a service that
is not in it has no way in, and `bedrock-mantle` never gets one: models answer there without logging or guardrails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import ANYONE, Statement, allow, document


class When(StrEnum):
    """What an environment must have for a service to be needed."""

    ALWAYS = "always"
    SELF_HOSTING = "self-hosting"


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """A row of the table. Bedrock and SageMaker are not here: their policies name models and come with them."""

    service: str
    why: str
    actions: tuple[str, ...]
    """What may pass, on resources of our account."""
    unowned_actions: tuple[str, ...] = ()
    """What answers for the caller or for a whole region: there is no resource account to compare."""
    when: When = When.ALWAYS


# Where AWS publishes the images of its EKS add-ons, in the regions we deploy to:
# https://docs.aws.amazon.com/eks/latest/userguide/add-ons-images.html
ADDON_REGISTRY_ACCOUNT = "602401143452"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")

SERVICES = (
    ServiceEndpoint("ecr.api", "who may pull images", _PULL, ("ecr:GetAuthorizationToken",)),
    ServiceEndpoint("ecr.dkr", "images", _PULL),
    ServiceEndpoint(
        "kms",
        "every key of the platform",
        (
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateMac",
            "kms:GetPublicKey",
            "kms:Sign",
            "kms:Verify",
            "kms:VerifyMac",
        ),
    ),
    ServiceEndpoint("logs", "logs of tasks", ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")),
    ServiceEndpoint("monitoring", "metrics of the gateway", (), ("cloudwatch:PutMetricData",)),
    ServiceEndpoint(
        "secretsmanager",
        "the database owner's secret",
        ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"),
    ),
    ServiceEndpoint(
        "sqs",
        "documents to ingest",
        (
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        ),
    ),
    ServiceEndpoint("sts", "identities of workloads", ("sts:AssumeRole",), ("sts:GetCallerIdentity",)),
    ServiceEndpoint(
        "acm-pca",
        "certificates of model servers",
        ("acm-pca:DescribeCertificateAuthority", "acm-pca:GetCertificate", "acm-pca:IssueCertificate"),
        when=When.SELF_HOSTING,
    ),
    ServiceEndpoint(
        "autoscaling",
        "nodes as pods need them",
        ("autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"),
        (
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations",
            "autoscaling:DescribeScalingActivities",
            "autoscaling:DescribeTags",
        ),
        When.SELF_HOSTING,
    ),
    ServiceEndpoint(
        "ec2",
        "addresses of pods, and what a node is",
        (
            "ec2:AssignPrivateIpAddresses",
            "ec2:AttachNetworkInterface",
            "ec2:CreateNetworkInterface",
            "ec2:CreateTags",
            "ec2:DeleteNetworkInterface",
            "ec2:DetachNetworkInterface",
            "ec2:ModifyNetworkInterfaceAttribute",
            "ec2:UnassignPrivateIpAddresses",
        ),
        (
            "ec2:DescribeImages",
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeTags",
            "ec2:DescribeVpcs",
            "ec2:GetInstanceTypesFromInstanceRequirements",
        ),
        When.SELF_HOSTING,
    ),
    ServiceEndpoint(
        "eks", "nodes find their cluster", ("eks:DescribeCluster", "eks:DescribeNodegroup"), when=When.SELF_HOSTING
    ),
    ServiceEndpoint("eks-auth", "roles of pods", ("eks-auth:AssumeRoleForPodIdentity",), when=When.SELF_HOSTING),
)


class ServiceEndpointsArgs(TypedDict):
    region: str
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    policies: Mapping[str, pulumi.Input[str]]


class ServiceEndpoints(Component):
    """One interface endpoint for every service in `policies`."""

    def __init__(self, name: str, args: ServiceEndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.ids: dict[str, pulumi.Output[str]] = {}
        for service, policy in args["policies"].items():
            endpoint = aws.ec2.VpcEndpoint(
                f"{service.replace('.', '-')}-endpoint",
                vpc_id=args["vpc_id"],
                service_name=f"com.amazonaws.{args['region']}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=list(args["subnet_ids"]),
                security_group_ids=[args["security_group_id"]],
                policy=policy,
                tags={"Name": service},
                opts=self.child(),
            )
            self.ids[service] = endpoint.id
        self.register_outputs(dict(self.ids))


def services(features: Collection[When]) -> tuple[ServiceEndpoint, ...]:
    """The rows that an environment with these features needs."""
    return tuple(row for row in SERVICES if row.when is When.ALWAYS or row.when in features)


def endpoint_policies(account_id: str, features: Collection[When]) -> dict[str, str]:
    """By service: our principals, on our resources, for the listed actions."""
    return {row.service: _own_account(account_id, row, features) for row in services(features)}


def _own_account(account_id: str, row: ServiceEndpoint, features: Collection[When]) -> str:
    caller = {"aws:PrincipalAccount": account_id}
    statements: list[Statement] = []
    if row.actions:
        ours = {"StringEquals": {**caller, "aws:ResourceAccount": account_id}}
        statements.append(allow("OwnAccount", row.actions, "*", principal=ANYONE, when=ours))
    if row.unowned_actions:
        statements.append(
            allow("OwnPrincipals", row.unowned_actions, "*", principal=ANYONE, when={"StringEquals": caller})
        )
    if row.actions == _PULL and When.SELF_HOSTING in features:
        addons = {"StringEquals": {**caller, "aws:ResourceAccount": ADDON_REGISTRY_ACCOUNT}}
        statements.append(allow("AddOnImages", _PULL, "*", principal=ANYONE, when=addons))
    return document(*statements)


def s3_endpoint_policy(account_id: str, region: str, also: Sequence[Statement] = ()) -> str:
    """Our buckets for our principals, and the bucket of AWS that image layers are fetched from.

    That bucket belongs to AWS, so a condition on the resource's account would stop every image.
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
    """
    return document(
        allow(
            "OwnBuckets",
            [
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:PutObject",
            ],
            "*",
            principal=ANYONE,
            when={"StringEquals": {"aws:PrincipalAccount": account_id, "aws:ResourceAccount": account_id}},
        ),
        allow(
            "ImageLayers",
            ["s3:GetObject"],
            f"arn:aws:s3:::prod-{region}-starport-layer-bucket/*",
            principal=ANYONE,
            when={"StringEquals": {"aws:PrincipalAccount": account_id}},
        ),
        *also,
    )
