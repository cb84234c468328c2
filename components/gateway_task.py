"""One task of the gateway: the image by digest, one command, one role, a file system it cannot write to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.log_group import LogGroup
from components.policy_document import allow, assume_role_policy, document

USER = "10001:10001"
STOP_S = 120
CONTAINER = "gateway"


class GatewayTaskArgs(TypedDict):
    account_id: str
    region: str
    family: str
    command: Sequence[str]
    image: pulumi.Input[str]
    repository_arn: pulumi.Input[str]
    environment: pulumi.Input[Mapping[str, str]]
    secrets: NotRequired[Mapping[str, pulumi.Input[str]]]
    secret_key_arn: pulumi.Input[str]
    permissions: NotRequired[pulumi.Input[str]]
    port: NotRequired[int]
    cpu: int
    memory_mib: int
    log_group_name: str
    log_key_arn: pulumi.Input[str]
    log_days: int
    deletion_protection: bool


class GatewayTask(Component):
    """Task definition with its own two roles and log group. `ready` holds its permissions."""

    arn: pulumi.Output[str]
    role_arn: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: GatewayTaskArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        logs = LogGroup(
            name,
            {
                "log_group_name": args["log_group_name"],
                "key_arn": args["log_key_arn"],
                "retention_days": args["log_days"],
                "deletion_protection": args["deletion_protection"],
            },
            self.child(),
        )
        role, execution_role = self._role(f"{name}-role", args["family"], args), self._execution_role(name, args, logs)
        self._permit(name, role, args)
        task = aws.ecs.TaskDefinition(
            f"{name}-task",
            family=args["family"],
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(args["cpu"]),
            memory=str(args["memory_mib"]),
            runtime_platform={"operating_system_family": "LINUX", "cpu_architecture": "X86_64"},
            task_role_arn=role.arn,
            execution_role_arn=execution_role.arn,
            # The only place to write to: the certificate that the task makes for itself.
            volumes=[{"name": "tmp"}],
            container_definitions=self._containers(args, logs),
            opts=self.child(),
        )
        self.arn = task.arn
        self.role_arn = role.arn
        self.register_outputs({"arn": self.arn, "roleArn": self.role_arn})

    def _role(self, resource: str, role_name: str, args: GatewayTaskArgs) -> aws.iam.Role:
        source = f"arn:aws:ecs:{args['region']}:{args['account_id']}:*"
        return aws.iam.Role(
            resource,
            name=role_name,
            assume_role_policy=assume_role_policy("ecs-tasks.amazonaws.com", args["account_id"], source),
            opts=self.child(),
        )

    def _execution_role(self, name: str, args: GatewayTaskArgs, logs: LogGroup) -> aws.iam.Role:
        """What starts the container: fetches the image and, where the task has one, the secret."""
        role = self._role(f"{name}-execution-role", f"{args['family']}-execution", args)
        policy = pulumi.Output.all(
            repository_arn=args["repository_arn"],
            log_group_arn=logs.arn,
            secret_key_arn=args["secret_key_arn"],
            secret_arns=list(args.get("secrets", {}).values()),
        ).apply(
            lambda known: execution_permissions(
                known["repository_arn"], known["log_group_arn"], known["secret_arns"], known["secret_key_arn"]
            )
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-execution-permissions", role=role.name, policy=policy, opts=self.child()
        )
        self.ready = [permissions]
        return role

    def _permit(self, name: str, role: aws.iam.Role, args: GatewayTaskArgs) -> None:
        """A task without `permissions` has a role that may nothing."""
        if "permissions" in args:
            policy = aws.iam.RolePolicy(
                f"{name}-permissions", role=role.name, policy=args["permissions"], opts=self.child()
            )
            self.ready.append(policy)

    def _containers(self, args: GatewayTaskArgs, logs: LogGroup) -> pulumi.Output[str]:
        return pulumi.Output.all(
            image=args["image"],
            environment=args["environment"],
            secrets=dict(args.get("secrets", {})),
            log_group=logs.name,
        ).apply(
            lambda known: container_definitions(
                known["image"],
                args["command"],
                known["environment"],
                known["secrets"],
                log_group=known["log_group"],
                region=args["region"],
                port=args.get("port"),
            )
        )


def container_definitions(
    image: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    log_group: str,
    region: str,
    port: int | None,
) -> str:
    """The container, as ECS reads it. `secrets` are ARNs of RDS-managed secrets, whose password is injected."""
    container: dict[str, object] = {
        "name": CONTAINER,
        "image": image,
        "essential": True,
        "entryPoint": ["gateway"],
        "command": list(command),
        "user": USER,
        "readonlyRootFilesystem": True,
        "privileged": False,
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True},
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp", "readOnly": False}],  # noqa: S108  # a mount
        "stopTimeout": STOP_S,
        "environment": [{"name": name, "value": environment[name]} for name in sorted(environment)],
        "secrets": [{"name": name, "valueFrom": f"{secrets[name]}:password::"} for name in sorted(secrets)],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": log_group, "awslogs-region": region, "awslogs-stream-prefix": "gateway"},
        },
        "portMappings": [] if port is None else [{"containerPort": port, "hostPort": port, "protocol": "tcp"}],
    }
    return json.dumps([container], separators=(",", ":"))


def execution_permissions(
    repository_arn: str, log_group_arn: str, secret_arns: Sequence[str], secret_key_arn: str
) -> str:
    """One image repository, one log group, and the secrets that the task names."""
    statements = [
        allow("RegistryToken", ["ecr:GetAuthorizationToken"], "*"),
        allow(
            "Image",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repository_arn,
        ),
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{log_group_arn.removesuffix(':*')}:*"),
    ]
    if secret_arns:
        statements.append(allow("Secrets", ["secretsmanager:GetSecretValue"], list(secret_arns)))
        statements.append(allow("SecretKey", ["kms:Decrypt"], secret_key_arn))
    return document(*statements)
