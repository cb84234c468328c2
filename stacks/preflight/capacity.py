"""Capacity: whether the zones sell what the node groups want, and whether this account may buy that much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stacks.preflight.aws import Aws
from stacks.preflight.instance_types import VcpuQuota
from stacks.preflight.needs import Needs
from stacks.preflight.row import Row, judged

ENDPOINTS_PER_VPC = "L-29B6F2EB"
QUOTA_NAMES = {
    VcpuQuota.STANDARD: "Running On-Demand Standard instances",
    VcpuQuota.G_AND_VT: "Running On-Demand G and VT instances",
    VcpuQuota.P: "Running On-Demand P instances",
}


def offerings(needs: Needs, aws: Aws) -> Iterator[Row]:
    """GPU types are sold in few zones of few regions."""
    ec2 = aws.client("ec2")
    for group in needs.node_groups:
        sold = _zones_that_sell(ec2, group.instance_type)
        for zone in needs.zones_of(group):
            elsewhere = ", ".join(sorted(sold)) or "no zone of this region"
            yield judged(
                "instance type offered",
                f"{group.instance_type} in {zone} ({group.name})",
                zone in sold,
                "offered" if zone in sold else "not offered",
                f"choose a zone or an instance type that is: {group.instance_type} is sold in {elsewhere}",
            )


def _zones_that_sell(ec2: Any, instance_type: str) -> set[str]:
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )
    return {offer["Location"] for page in pages for offer in page["InstanceTypeOfferings"]}


def vcpu_quotas(needs: Needs, aws: Aws) -> Iterator[Row]:
    """Every node group at its largest must fit: a quota is raised in days, a queue of prompts grows in minutes."""
    quotas = aws.client("service-quotas")
    for code, vcpus in sorted(needs.vcpus.items()):
        allowed = float(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code.value)["Quota"]["Value"])
        yield judged(
            "vCPU quota",
            f"{QUOTA_NAMES[code]} ({code.value})",
            allowed >= vcpus,
            f"{allowed:.0f} of {vcpus} vCPUs",
            f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code.value} "
            f"--desired-value {vcpus}",
        )


def endpoint_quota(needs: Needs, aws: Aws) -> Iterator[Row]:
    wanted = len(needs.endpoint_services)
    quotas = aws.client("service-quotas")
    allowed = float(quotas.get_service_quota(ServiceCode="vpc", QuotaCode=ENDPOINTS_PER_VPC)["Quota"]["Value"])
    yield judged(
        "endpoint quota",
        f"Interface VPC endpoints per VPC ({ENDPOINTS_PER_VPC})",
        allowed >= wanted,
        f"{allowed:.0f} of {wanted} endpoints",
        f"aws service-quotas request-service-quota-increase --service-code vpc --quota-code {ENDPOINTS_PER_VPC} "
        f"--desired-value {wanted}",
    )


def endpoint_services(needs: Needs, aws: Aws) -> Iterator[Row]:
    """Not every service has an endpoint in every zone; a subnet in the wrong one refuses the whole endpoint."""
    ec2, zones = aws.client("ec2"), set(needs.environment.network.zones)
    pages = ec2.get_paginator("describe_vpc_endpoint_services").paginate(
        Filters=[{"Name": "service-type", "Values": ["Interface"]}]
    )
    offered = {one["ServiceName"]: set(one["AvailabilityZones"]) for page in pages for one in page["ServiceDetails"]}
    for service in needs.endpoint_services:
        missing = zones - offered.get(service, set())
        yield judged(
            "endpoint service",
            service,
            not missing,
            "in every zone" if not missing else f"missing in {', '.join(sorted(missing))}",
            "leave these zones out of network.zones, or choose a region that has the service",
        )


def reservations(needs: Needs, aws: Aws) -> Iterator[Row]:
    """A reservation or a capacity block by its id: there, ours, of the right type and zone, and large enough."""
    ec2 = aws.client("ec2")
    for group in needs.reserved_groups:
        found = ec2.describe_capacity_reservations(CapacityReservationIds=[group.reservation_id])[
            "CapacityReservations"
        ][0]
        wrong = _differences(found, group.instance_type, group.zone, group.nodes_max)
        yield judged(
            "capacity reservation",
            f"{group.reservation_id} ({group.name})",
            not wrong,
            ", ".join(wrong) or "as configured",
            f"set instance_type, zone, nodes_max and reservation_id of node group {group.name} to what was bought",
        )


def _differences(found: Any, instance_type: str, zone: str, nodes_max: int) -> list[str]:
    wrong = []
    if found["State"] not in ("active", "scheduled", "assessing"):
        wrong.append(f"state {found['State']}")
    if found["InstanceType"] != instance_type:
        wrong.append(f"of {found['InstanceType']}")
    if found["AvailabilityZone"] != zone:
        wrong.append(f"in {found['AvailabilityZone']}")
    if found["TotalInstanceCount"] < nodes_max:
        wrong.append(f"{found['TotalInstanceCount']} instances for {nodes_max} nodes")
    return wrong
