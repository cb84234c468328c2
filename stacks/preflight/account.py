"""The account: the right one, with the roles that AWS's own services act in, and nothing kept of what models see."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from stacks.preflight.aws import Aws
from stacks.preflight.needs import Needs
from stacks.preflight.row import Row, judged

# Service → what it is needed for. A missing one makes the first node or load balancer fail, minutes later.
SERVICE_LINKED_ROLES = {
    "AWSServiceRoleForAutoScaling": ("autoscaling.amazonaws.com", "starts nodes with encrypted volumes"),
    "AWSServiceRoleForAmazonEKS": ("eks.amazonaws.com", "runs the cluster"),
    "AWSServiceRoleForAmazonEKSNodegroup": ("eks-nodegroup.amazonaws.com", "runs the node groups"),
    "AWSServiceRoleForElasticLoadBalancing": ("elasticloadbalancing.amazonaws.com", "runs the load balancers"),
}
ALWAYS_LINKED = {
    "AWSServiceRoleForECS": ("ecs.amazonaws.com", "runs the gateway's tasks"),
    "AWSServiceRoleForRDS": ("rds.amazonaws.com", "runs the database"),
    "AWSServiceRoleForElastiCache": ("elasticache.amazonaws.com", "runs the cache"),
}


def right_account(needs: Needs, aws: Aws) -> Iterator[Row]:
    environment = needs.environment
    found = str(aws.client("sts").get_caller_identity()["Account"])
    yield judged(
        "account",
        environment.name.value,
        found == environment.account_id,
        found,
        f"use credentials of account {environment.account_id}: these are of another environment or of nobody here",
    )


def zones(needs: Needs, aws: Aws) -> Iterator[Row]:
    wanted = needs.environment.network.zones
    listed = aws.client("ec2").describe_availability_zones(AllAvailabilityZones=True)["AvailabilityZones"]
    states = {zone["ZoneName"]: zone["State"] for zone in listed if zone.get("OptInStatus") != "not-opted-in"}
    for zone in wanted:
        state = states.get(zone, "not a zone of this account")
        yield judged(
            "availability zone",
            zone,
            state == "available",
            state,
            f"name available zones in network.zones (this account has {', '.join(sorted(states)) or 'none'})",
        )


def service_linked_roles(needs: Needs, aws: Aws) -> Iterator[Row]:
    wanted = {**ALWAYS_LINKED, **(SERVICE_LINKED_ROLES if needs.node_groups else {})}
    iam = aws.client("iam")
    for role, (service, purpose) in wanted.items():
        there = _exists(iam, role)
        yield judged(
            "service-linked role",
            role,
            there,
            "there" if there else "missing",
            f"aws iam create-service-linked-role --aws-service-name {service} ({purpose})",
        )


def _exists(iam: object, role: str) -> bool:
    try:
        iam.get_role(RoleName=role)  # type: ignore[attr-defined]  # a boto3 client
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False
    return True


def data_retention(needs: Needs, aws: Aws) -> Iterator[Row]:
    """In every region where AWS may run a model: a setting of the account that no resource type covers."""
    regions = {region for model in needs.environment.bedrock_models for region in model.destination_regions}
    for region in sorted({needs.environment.region, *regions}):
        mode = aws.client("bedrock", region).get_account_data_retention().get("mode", "unknown")
        yield judged(
            "model data retention",
            region,
            mode == "none",
            str(mode),
            f"aws bedrock put-account-data-retention --mode none --region {region} (break-glass role)",
        )
