"""What an environment needs of its account and region, gathered before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stacks.environment import Environment, GpuNodeGroup, NodeGroup
from stacks.preflight.instance_types import INSTANCE_TYPES, InstanceType, VcpuQuota


class UnknownInstanceType(Exception):
    """No quota is known for it, so nothing could be promised."""


@dataclass(frozen=True, slots=True)
class Needs:
    """One environment, and the interface endpoints that its network will have."""

    environment: Environment
    endpoint_services: tuple[str, ...]

    @property
    def node_groups(self) -> tuple[NodeGroup, ...]:
        settings = self.environment.self_hosting
        return () if settings is None else (settings.system_nodes, *settings.gpu_nodes)

    @property
    def reserved_groups(self) -> tuple[GpuNodeGroup, ...]:
        groups = (group for group in self.node_groups if isinstance(group, GpuNodeGroup))
        return tuple(group for group in groups if group.reservation_id)

    def zones_of(self, group: NodeGroup) -> tuple[str, ...]:
        """Where its instances may start."""
        if isinstance(group, GpuNodeGroup) and group.zone:
            return (group.zone,)
        return self.environment.network.zones

    @property
    def vcpus(self) -> Mapping[VcpuQuota, int]:
        """At most, with every group full. Capacity blocks count against no on-demand quota."""
        wanted: Counter[VcpuQuota] = Counter()
        for group in self.node_groups:
            if isinstance(group, GpuNodeGroup) and group.capacity == "capacity_block":
                continue
            kind = instance_type(group)
            wanted[kind.quota] += kind.vcpus * group.nodes_max
        return wanted


def instance_type(group: NodeGroup) -> InstanceType:
    known = INSTANCE_TYPES.get(group.instance_type)
    if known is None:
        raise UnknownInstanceType(
            f"instance_type of node group {group.name} must be one of stacks/preflight/instance_types.py, "
            f"which holds its quota (got {group.instance_type!r})"
        )
    return known


def services_of(service_names: Iterable[str], region: str) -> tuple[str, ...]:
    """The interface endpoints of a network by the names that AWS lists them under."""
    return tuple(sorted({name for name in service_names if name.startswith(f"com.amazonaws.{region}.")}))
