"""Agents, training jobs and model endpoints, as the rules ask for them."""

from __future__ import annotations

import json

import pulumi_aws as aws

ACCOUNT, REGION = "111122223333", "eu-central-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/agents@sha256:{'0' * 64}"
SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    _agents()
    _endpoints()
    _tools()
    _notebook()
    _jobs()


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def _agents() -> None:
    aws.bedrock.AgentAgent(
        "agent",
        agent_name="reviewer",
        agent_resource_role_arn=_role("reviewer"),
        foundation_model="amazon.nova-lite-v1:0",
        customer_encryption_key_arn=KEY,
        guardrail_configurations=[{"guardrail_identifier": "abc123", "guardrail_version": "7"}],
    )
    aws.bedrock.AgentPrompt("prompt", name="review", customer_encryption_key_arn=KEY)
    aws.bedrock.AgentcoreMemory(
        "memory", name="reviewer", event_expiry_duration=30, encryption_key_arn=KEY, region=REGION
    )


def _tools() -> None:
    aws.bedrock.AgentcoreAgentRuntime(
        "runtime",
        agent_runtime_name="reviewer",
        role_arn=_role("runtime"),
        agent_runtime_artifact={"container_configuration": {"container_uri": IMAGE}},
        network_configuration={
            "network_mode": "VPC",
            "network_mode_config": {"subnets": [SUBNET], "security_groups": [GROUP]},
        },
    )
    aws.bedrock.AgentcoreBrowser(
        "browser",
        name="reader",
        network_configuration={
            "network_mode": "VPC",
            "vpc_config": {"subnets": [SUBNET], "security_groups": [GROUP]},
        },
        recording={"enabled": True, "s3_location": {"bucket": "recordings", "prefix": "browser/"}},
    )
    aws.bedrock.AgentcoreCodeInterpreter(
        "interpreter",
        name="calculator",
        network_configuration={
            "network_mode": "VPC",
            "vpc_config": {"subnets": [SUBNET], "security_groups": [GROUP]},
        },
    )
    aws.bedrock.AgentcoreGateway(
        "gateway",
        name="tools",
        authorizer_type="AWS_IAM",
        protocol_type="MCP",
        role_arn=_role("gateway"),
        kms_key_arn=KEY,
        policy_engine_configuration={
            "arn": f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:policy-engine/tools",
            "mode": "ENFORCE",
        },
    )


def _endpoints() -> None:
    invoke = ["bedrock-agentcore:InvokeAgentRuntime", "bedrock-agentcore:InvokeGateway"]
    statement = {"Effect": "Allow", "Principal": {"AWS": _role("caller")}, "Action": invoke, "Resource": "*"}
    for service in ("bedrock-agentcore", "bedrock-agentcore.gateway"):
        aws.ec2.VpcEndpoint(
            service,
            vpc_id="vpc-0123456789abcdef0",
            service_name=f"com.amazonaws.{REGION}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=[SUBNET],
            security_group_ids=[GROUP],
            policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )


def _notebook() -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::datasets/*"}
    role = aws.iam.Role(
        "notebook", name="notebook", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    aws.iam.RolePolicy("notebook", role=role.id, policy=json.dumps({"Version": "2012-10-17", "Statement": [read]}))
    aws.sagemaker.NotebookInstance(
        "notebook",
        instance_type="ml.t3.medium",
        role_arn=role.arn,
        kms_key_id=KEY,
        subnet_id=SUBNET,
        security_groups=[GROUP],
        direct_internet_access="Disabled",
        root_access="Disabled",
        instance_metadata_service_configuration={"minimum_instance_metadata_service_version": "2"},
    )


def _jobs() -> None:
    aws.sagemaker.DataQualityJobDefinition(
        "drift",
        role_arn=_role("drift"),
        data_quality_app_specification={"image_uri": IMAGE},
        data_quality_job_input={"endpoint_input": {"endpoint_name": "summariser"}},
        data_quality_job_output_config={
            "kms_key_id": KEY,
            "monitoring_outputs": {"s3_output": {"s3_uri": "s3://drift/results"}},
        },
        job_resources={
            "cluster_config": {
                "instance_count": 1,
                "instance_type": "ml.m5.large",
                "volume_size_in_gb": 20,
                "volume_kms_key_id": KEY,
            }
        },
        network_config={
            "enable_inter_container_traffic_encryption": True,
            "enable_network_isolation": True,
            "vpc_config": {"subnets": [SUBNET], "security_group_ids": [GROUP]},
        },
    )
