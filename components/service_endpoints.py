"""Interface endpoints: AWS APIs inside our network, each with a policy of its own.

An endpoint without a policy lets everything through, one without private DNS is never used. Both are set here
for every service; what a service needs is one row of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import ANYONE, Statement, allow, document, role_arn

# Service → actions that may pass. Bedrock is not here: its policy names models and comes with them.
BASE_SERVICES: dict[str, tuple[str, ...]] = {
    "ecr.api": (
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
    ),
    "ecr.dkr": ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    "kms": (
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
    "logs": ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
    "monitoring": ("cloudwatch:PutMetricData",),
    "secretsmanager": ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"),
    "sqs": (
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    ),
    "sts": ("sts:AssumeRole", "sts:GetCallerIdentity"),
}


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


def base_endpoint_policies(account_id: str) -> dict[str, str]:
    """Our principals, on our resources, for the listed actions."""
    return {service: _own_account(account_id, actions) for service, actions in BASE_SERVICES.items()}


def _own_account(account_id: str, actions: Sequence[str]) -> str:
    ours = {"aws:PrincipalAccount": account_id, "aws:ResourceAccount": account_id}
    # These answer for the caller, not for a resource: there is no resource account to compare.
    without_resource = [action for action in actions if action in _WITHOUT_RESOURCE]
    with_resource = [action for action in actions if action not in _WITHOUT_RESOURCE]
    statements: list[Statement] = []
    if with_resource:
        statements.append(allow("OwnAccount", with_resource, "*", principal=ANYONE, when={"StringEquals": ours}))
    if without_resource:
        statements.append(
            allow(
                "OwnPrincipals",
                without_resource,
                "*",
                principal=ANYONE,
                when={"StringEquals": {"aws:PrincipalAccount": account_id}},
            )
        )
    return document(*statements)


_WITHOUT_RESOURCE = ("cloudwatch:PutMetricData", "ecr:GetAuthorizationToken", "sts:GetCallerIdentity")


def s3_endpoint_policy(account_id: str, region: str) -> str:
    """Our buckets for our principals, and the bucket of AWS that image layers are fetched from."""
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
    )


def bedrock_endpoint_policies(
    account_id: str,
    roles: Sequence[str],
    profile_arns: Sequence[str],
    model_arns: Sequence[str],
    guardrail_arn: str,
) -> dict[str, str]:
    """The gateway's roles, through our profiles, to the models behind them, and nothing else.

    A model's ARN names no account, so the resource account cannot be the test here.
    """
    invoke = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    ours = {"aws:PrincipalAccount": account_id}
    callers = [role_arn(account_id, role) for role in roles]
    runtime = document(
        allow(
            "Profiles",
            invoke,
            profile_arns,
            principal=ANYONE,
            when={"StringEquals": ours, "ArnEquals": {"aws:PrincipalArn": callers}},
        ),
        allow(
            "ModelsThroughProfiles",
            invoke,
            model_arns,
            principal=ANYONE,
            when={"StringEquals": ours, "ArnEquals": {"bedrock:InferenceProfileArn": list(profile_arns)}},
        ),
        allow("Guardrail", ["bedrock:ApplyGuardrail"], guardrail_arn, principal=ANYONE, when={"StringEquals": ours}),
    )
    administration = document(
        allow(
            "Read",
            ["bedrock:GetGuardrail", "bedrock:GetInferenceProfile"],
            [guardrail_arn, *profile_arns],
            principal=ANYONE,
            when={"StringEquals": ours},
        )
    )
    return {"bedrock-runtime": runtime, "bedrock": administration}
