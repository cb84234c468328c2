"""Every check of the preflight, when it applies, and the one rule they share: what is not known has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from stacks.preflight import account, capacity, cluster, models
from stacks.preflight.aws import Aws
from stacks.preflight.needs import Needs
from stacks.preflight.row import Row

_NOT_ALLOWED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    permission: str
    """The action that the caller needs for it."""
    rows: Callable[[Needs, Aws], Iterator[Row]]
    applies: Callable[[Needs], bool] = lambda _: True


def _self_hosted(needs: Needs) -> bool:
    return bool(needs.node_groups)


CHECKS = (
    Check("account", "sts:GetCallerIdentity", account.right_account),
    Check("availability zone", "ec2:DescribeAvailabilityZones", account.zones),
    Check("service-linked role", "iam:GetRole", account.service_linked_roles),
    Check("endpoint service", "ec2:DescribeVpcEndpointServices", capacity.endpoint_services),
    Check("endpoint quota", "servicequotas:GetServiceQuota", capacity.endpoint_quota),
    Check("instance type offered", "ec2:DescribeInstanceTypeOfferings", capacity.offerings, _self_hosted),
    Check("vCPU quota", "servicequotas:GetServiceQuota", capacity.vcpu_quotas, lambda needs: bool(needs.vcpus)),
    Check(
        "capacity reservation",
        "ec2:DescribeCapacityReservations",
        capacity.reservations,
        lambda needs: bool(needs.reserved_groups),
    ),
    Check("Kubernetes version", "eks:DescribeClusterVersions", cluster.kubernetes_version, _self_hosted),
    Check("add-on version", "eks:DescribeAddonVersions", cluster.addon_versions, _self_hosted),
    Check("node image", "ssm:GetParameter", cluster.node_images, _self_hosted),
    Check("Bedrock model", "bedrock:GetFoundationModelAvailability", models.bedrock_models),
    Check("inference profile", "bedrock:GetInferenceProfile", models.inference_profiles, models.has_profiles),
    Check("model data retention", "bedrock:GetAccountDataRetention", account.data_retention),
    Check(
        "SageMaker quota",
        "servicequotas:ListServiceQuotas",
        models.endpoint_instances,
        lambda needs: bool(needs.environment.sagemaker_models),
    ),
    Check("database TLS", "rds:DescribeEngineDefaultClusterParameters", models.database_tls),
)


def examine(needs: Needs, aws: Aws, checks: Iterable[Check] = CHECKS) -> list[Row]:
    """Every row of every check that applies; each check at least one."""
    return [row for check in checks if check.applies(needs) for row in _asked(check, needs, aws)]


def _asked(check: Check, needs: Needs, aws: Aws) -> list[Row]:
    rows: list[Row] = []
    try:
        rows.extend(check.rows(needs, aws))
    except ClientError as error:
        rows.append(_refused(check, error))
    except BotoCoreError as error:
        rows.append(Row(check.name, "AWS", False, str(error), "give credentials and a way to the AWS API, then again"))
    if not rows:
        todo = "look at this by hand: a check that looks at nothing has not passed"
        rows.append(Row(check.name, "nothing", False, "nothing was found to look at", todo))
    return rows


def _refused(check: Check, error: ClientError) -> Row:
    details = error.response["Error"]
    code = details.get("Code", "unknown")
    todo = f"find out why AWS did not answer {error.operation_name}; until then nothing is known"
    if code in _NOT_ALLOWED:
        todo = f"allow the caller {check.permission}"
    return Row(check.name, error.operation_name, False, f"{code}: {details.get('Message', '')}".rstrip(": "), todo)
