"""A model of ours on SageMaker: its container has no network, its weights come from the models bucket.

SageMaker fetches image and weights before the start, through our subnets and with the execution role; the
container itself reaches nothing, not even AWS. Weights therefore lie uncompressed under one prefix:
https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import ANYONE, Statement, allow, assume_role_policy, deny, document, role_arn

INVOKE = ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")
VARIANT = "main"
CAPTURE_PREFIX = "captures"
CAPTURED_PERCENT = 100
DOWNLOAD_TIMEOUT_S = 3600
STARTUP_TIMEOUT_S = 1800
DRAIN_S = 600
BAKE_S = 600
LATENCY_MAX_MICROSECONDS = 60_000_000
# Instance families with local NVMe disks. Their disks are encrypted in hardware, with a key that is lost when
# the instance stops, and SageMaker refuses a key of ours for them:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html#sagemaker-CreateEndpointConfig-request-KmsKeyId
LOCAL_DISK_FAMILIES = frozenset(
    {
        *("c5d", "c6gd", "c6id", "m5d", "m6gd", "m6id", "r5d", "r6gd", "r6id"),
        *("g4dn", "g5", "g6", "g6e", "g7e", "gr6", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200"),
        *("trn1", "trn1n", "trn2"),
    }
)


class SageMakerEndpointArgs(TypedDict):
    account_id: str
    region: str
    endpoint_name: str
    role_name: str
    image: pulumi.Input[str]
    repository_arn: pulumi.Input[str]
    weights_bucket: str
    weights_bucket_ready: pulumi.Resource
    weights_prefix: str
    weights_key_arn: pulumi.Input[str]
    instance_type: str
    instances: int
    context_tokens_max: int
    key_arn: pulumi.Input[str]
    capture_bucket: str
    capture_bucket_ready: pulumi.Resource
    log_group: pulumi.Resource
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]


class SageMakerEndpoint(Component):
    """Role, model, configuration, alarms and the endpoint, which goes back by itself when an alarm rings."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(self, name: str, args: SageMakerEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        role, permissions = self._role(name, args)
        model = self._model(name, args, role, permissions)
        configuration = self._configuration(name, args, model)
        alarms = [self._errors(name, args), self._latency(name, args)]
        endpoint = aws.sagemaker.Endpoint(
            f"{name}-endpoint",
            # The one fixed name: permissions, alarms and the gateway know it before it exists. What is behind it
            # is replaced without it.
            name=args["endpoint_name"],
            endpoint_config_name=configuration.name,
            deployment_config={
                "blue_green_update_policy": {
                    "traffic_routing_configuration": {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": BAKE_S},
                    "termination_wait_in_seconds": DRAIN_S,
                },
                "auto_rollback_configuration": {"alarms": [{"alarm_name": alarm.name} for alarm in alarms]},
            },
            opts=self.child(),
        )
        self.arn = endpoint.arn
        self.name = endpoint.name
        self.register_outputs({"arn": self.arn, "name": self.name})

    def _role(self, name: str, args: SageMakerEndpointArgs) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy(
                "sagemaker.amazonaws.com",
                args["account_id"],
                f"arn:aws:sagemaker:{args['region']}:{args['account_id']}:*",
            ),
            opts=self.child(),
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-permissions",
            role=role.name,
            policy=pulumi.Output.all(
                repository_arn=args["repository_arn"],
                weights_key_arn=args["weights_key_arn"],
                key_arn=args["key_arn"],
                subnet_ids=list(args["subnet_ids"]),
                security_group_id=args["security_group_id"],
            ).apply(lambda known: execution_permissions(args, **known)),
            opts=self.child(),
        )
        return role, permissions

    def _model(
        self, name: str, args: SageMakerEndpointArgs, role: aws.iam.Role, permissions: pulumi.Resource
    ) -> aws.sagemaker.Model:
        # No name: a model cannot be changed, so a change makes another one beside it first.
        return aws.sagemaker.Model(
            f"{name}-model",
            execution_role_arn=role.arn,
            enable_network_isolation=True,
            vpc_config={"subnets": list(args["subnet_ids"]), "security_group_ids": [args["security_group_id"]]},
            primary_container={
                "image": args["image"],
                "environment": container_environment(args["context_tokens_max"]),
                "model_data_source": {
                    "s3_data_sources": [
                        {
                            "s3_uri": f"s3://{args['weights_bucket']}/{args['weights_prefix']}/",
                            "s3_data_type": "S3Prefix",
                            "compression_type": "None",
                        }
                    ]
                },
            },
            # SageMaker reads image and weights with the role when the endpoint starts.
            opts=self.child(depends_on=[permissions, args["weights_bucket_ready"]]),
        )

    def _configuration(
        self, name: str, args: SageMakerEndpointArgs, model: aws.sagemaker.Model
    ) -> aws.sagemaker.EndpointConfiguration:
        return aws.sagemaker.EndpointConfiguration(
            f"{name}-configuration",
            kms_key_arn=None if has_local_disk(args["instance_type"]) else args["key_arn"],
            production_variants=[
                {
                    "variant_name": VARIANT,
                    "model_name": model.name,
                    "instance_type": args["instance_type"],
                    "initial_instance_count": args["instances"],
                    "enable_ssm_access": False,
                    "model_data_download_timeout_in_seconds": DOWNLOAD_TIMEOUT_S,
                    "container_startup_health_check_timeout_in_seconds": STARTUP_TIMEOUT_S,
                }
            ],
            data_capture_config={
                "enable_capture": True,
                "initial_sampling_percentage": CAPTURED_PERCENT,
                "destination_s3_uri": f"s3://{args['capture_bucket']}/{CAPTURE_PREFIX}/{args['endpoint_name']}",
                "kms_key_id": args["key_arn"],
                "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
            },
            opts=self.child(depends_on=[args["capture_bucket_ready"], args["log_group"]]),
        )

    def _errors(self, name: str, args: SageMakerEndpointArgs) -> aws.cloudwatch.MetricAlarm:
        return self._alarm(name, args, "errors", metric="Invocation5XXErrors", statistic="Sum", threshold=0)

    def _latency(self, name: str, args: SageMakerEndpointArgs) -> aws.cloudwatch.MetricAlarm:
        return self._alarm(
            name, args, "latency", metric="ModelLatency", statistic="p99", threshold=LATENCY_MAX_MICROSECONDS
        )

    def _alarm(
        self, name: str, args: SageMakerEndpointArgs, kind: str, *, metric: str, statistic: str, threshold: float
    ) -> aws.cloudwatch.MetricAlarm:
        percentile = statistic.startswith("p")
        return aws.cloudwatch.MetricAlarm(
            f"{name}-{kind}",
            name=f"{args['endpoint_name']}-{kind}",
            alarm_description=f"A new version of {args['endpoint_name']} is taken back while this rings.",
            namespace="AWS/SageMaker",
            metric_name=metric,
            dimensions={"EndpointName": args["endpoint_name"], "VariantName": VARIANT},
            statistic=None if percentile else statistic,
            extended_statistic=statistic if percentile else None,
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            period=60,
            evaluation_periods=3,
            treat_missing_data="notBreaching",  # nobody asked
            opts=self.child(),
        )


def has_local_disk(instance_type: str) -> bool:
    """ml.g6.2xlarge → of family g6, whose disk no key of ours can encrypt."""
    return instance_type.split(".")[1] in LOCAL_DISK_FAMILIES


def container_environment(context_tokens_max: int) -> dict[str, str]:
    """AWS's container of vLLM turns SM_VLLM_* into its arguments; nothing is asked of any hub, nothing reported."""
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "SM_VLLM_MAX_MODEL_LEN": str(context_tokens_max),
        "SM_VLLM_MODEL": "/opt/ml/model",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


def endpoint_arn(region: str, account_id: str, endpoint_name: str) -> str:
    return f"arn:aws:sagemaker:{region}:{account_id}:endpoint/{endpoint_name}"


def log_group_name(endpoint_name: str) -> str:
    """SageMaker chooses this name."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def execution_permissions(
    args: SageMakerEndpointArgs,
    *,
    repository_arn: str,
    weights_key_arn: str,
    key_arn: str,
    subnet_ids: Sequence[str],
    security_group_id: str,
) -> str:
    """What SageMaker does for this endpoint before and beside the container, which itself can do nothing."""
    weights, captures = (f"arn:aws:s3:::{args[bucket]}" for bucket in ("weights_bucket", "capture_bucket"))
    return document(
        *_image(repository_arn),
        allow("ReadWeights", ["s3:GetObject"], f"{weights}/{args['weights_prefix']}/*"),
        allow(
            "ListWeights",
            ["s3:ListBucket"],
            weights,
            when={"StringLike": {"s3:prefix": f"{args['weights_prefix']}/*"}},
        ),
        _key("OpenWeights", ["kms:Decrypt"], weights_key_arn, args["region"]),
        allow("Capture", ["s3:PutObject"], f"{captures}/{CAPTURE_PREFIX}/{args['endpoint_name']}/*"),
        _key("SealCaptures", ["kms:Decrypt", "kms:GenerateDataKey"], key_arn, args["region"]),
        *_observed(args),
        *_interfaces(args, subnet_ids, security_group_id),
    )


def _image(repository_arn: str) -> tuple[Statement, Statement]:
    return (
        allow(
            "PullImage",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repository_arn,
        ),
        allow("RegistryToken", ["ecr:GetAuthorizationToken"], "*"),
    )


def _key(sid: str, actions: Sequence[str], key_arn: str, region: str) -> Statement:
    return allow(sid, actions, key_arn, when={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}})


def _observed(args: SageMakerEndpointArgs) -> tuple[Statement, Statement]:
    group = f"arn:aws:logs:{args['region']}:{args['account_id']}:log-group:{log_group_name(args['endpoint_name'])}"
    return (
        allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{group}:log-stream:*"),
        allow(
            "WriteMetrics",
            ["cloudwatch:PutMetricData"],
            "*",
            when={"StringEquals": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/Endpoints"]}},
        ),
    )


def _interfaces(
    args: SageMakerEndpointArgs, subnet_ids: Sequence[str], security_group_id: str
) -> tuple[Statement, ...]:
    """Network interfaces in these subnets and with this group, as SageMaker's page on VPC access lists them."""
    ec2 = f"arn:aws:ec2:{args['region']}:{args['account_id']}"
    subnets = [f"{ec2}:subnet/{subnet}" for subnet in subnet_ids]
    return (
        allow(
            "PlaceInterfaces",
            ["ec2:CreateNetworkInterface"],
            [*subnets, f"{ec2}:security-group/{security_group_id}", f"{ec2}:network-interface/*"],
        ),
        allow(
            "HandOverInterfaces",
            [
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            f"{ec2}:network-interface/*",
            when={"ArnEquals": {"ec2:Subnet": subnets}},
        ),
        allow(
            "LookAtNetwork",
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            "*",
        ),
    )


def invoke_statements(endpoint_arns: Sequence[str], vpc_endpoint_id: str) -> tuple[Statement, Statement]:
    """What the gateway may do: ask these endpoints, from inside our network."""
    return (
        allow("InvokeManagedModels", INVOKE, endpoint_arns),
        deny(
            "DenyManagedModelsOutsideEndpoint",
            INVOKE,
            "*",
            when={
                "StringNotEquals": {"aws:SourceVpce": vpc_endpoint_id},
                "BoolIfExists": {"aws:ViaAWSService": "false"},
            },
        ),
    )


def sagemaker_endpoint_policy(account_id: str, roles: Sequence[str], endpoint_arns: Sequence[str]) -> str:
    """Of the VPC endpoint `sagemaker.runtime`: the gateway's roles, to our models."""
    return document(
        allow(
            "ManagedModels",
            INVOKE,
            endpoint_arns,
            principal=ANYONE,
            when={
                "StringEquals": {"aws:PrincipalAccount": account_id, "aws:ResourceAccount": account_id},
                "ArnEquals": {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]},
            },
        )
    )
