"""EC2 instance types that node groups use: how many vCPUs and GPUs each has, and which quota it counts against.

Sizes: https://docs.aws.amazon.com/ec2/latest/instancetypes/. Quotas:
https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html. The quotas of P and G are zero
vCPUs in a new account.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VcpuQuota(StrEnum):
    """Running on-demand vCPUs by family: codes of Service Quotas for `ec2`."""

    STANDARD = "L-1216C47A"
    G_AND_VT = "L-DB2E81BA"
    P = "L-417A185B"


@dataclass(frozen=True, slots=True)
class InstanceType:
    name: str
    vcpus: int
    gpus: int
    quota: VcpuQuota


def _family(family: str, quota: VcpuQuota, sizes: dict[str, tuple[int, int]]) -> dict[str, InstanceType]:
    return {
        f"{family}.{size}": InstanceType(f"{family}.{size}", vcpus, gpus, quota)
        for size, (vcpus, gpus) in sizes.items()
    }


_GENERAL = {"large": (2, 0), "xlarge": (4, 0), "2xlarge": (8, 0), "4xlarge": (16, 0)}
_G = {
    "xlarge": (4, 1),
    "2xlarge": (8, 1),
    "4xlarge": (16, 1),
    "8xlarge": (32, 1),
    "12xlarge": (48, 4),
    "16xlarge": (64, 1),
    "24xlarge": (96, 4),
    "48xlarge": (192, 8),
}
_G4DN = {"xlarge": (4, 1), "2xlarge": (8, 1), "4xlarge": (16, 1), "8xlarge": (32, 1), "12xlarge": (48, 4)}

INSTANCE_TYPES: dict[str, InstanceType] = {
    **_family("m6i", VcpuQuota.STANDARD, _GENERAL),
    **_family("m7i", VcpuQuota.STANDARD, _GENERAL),
    **_family("g4dn", VcpuQuota.G_AND_VT, _G4DN),
    **_family("g5", VcpuQuota.G_AND_VT, _G),
    **_family("g6", VcpuQuota.G_AND_VT, _G),
    **_family("g6e", VcpuQuota.G_AND_VT, _G),
    **_family("p4d", VcpuQuota.P, {"24xlarge": (96, 8)}),
    **_family("p5", VcpuQuota.P, {"4xlarge": (16, 1), "48xlarge": (192, 8)}),
    **_family("p5e", VcpuQuota.P, {"48xlarge": (192, 8)}),
    **_family("p5en", VcpuQuota.P, {"48xlarge": (192, 8)}),
    **_family("p6-b200", VcpuQuota.P, {"48xlarge": (192, 8)}),
}
