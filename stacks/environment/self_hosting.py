"""Our own model servers: the nodes that they run on and the name that they answer to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from stacks.configuration import Name, Section, text_like
from stacks.environment.fields import HostName, InstanceType, PrivateNetworkCidr, RoleName

ReservationId = Annotated[
    str, AfterValidator(text_like(r"(cr-[0-9a-f]{17})?", "the id of a capacity reservation: cr-…, or empty"))
]


class NodeGroup(Section):
    name: Name
    instance_type: InstanceType
    nodes_min: Annotated[int, Field(ge=0, le=100)]
    nodes_max: Annotated[int, Field(ge=1, le=100)]
    disk_gib: Annotated[int, Field(ge=50, le=4000)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.nodes_min > self.nodes_max:
            raise ValueError(f"nodes_min must not exceed nodes_max (got {self.nodes_min} > {self.nodes_max})")
        return self


class GpuNodeGroup(NodeGroup):
    capacity: Literal["on_demand", "reservation", "capacity_block"]
    """A reservation or a block is bought beforehand, in one zone; see the runbook on capacity."""
    reservation_id: ReservationId = ""
    zone: str = ""
    """The zone of the reservation; empty: every zone of the network."""

    @model_validator(mode="after")
    def _reserved(self) -> Self:
        reserved = self.capacity != "on_demand"
        if reserved is not bool(self.reservation_id) or reserved is not bool(self.zone):
            wanted = "set" if reserved else "empty"
            raise ValueError(
                f"reservation_id and zone must be {wanted} with capacity {self.capacity} "
                f"(got {self.reservation_id!r}, {self.zone!r})"
            )
        return self


class SelfHosting(Section):
    service_cidr: PrivateNetworkCidr
    """Addresses of Kubernetes services: outside the VPC and whatever the hub routes."""
    host_name: HostName
    """Where the gateway finds the model servers: the name on their certificate."""
    administrator_role: RoleName
    """Whose people may look into the cluster; they change nothing."""
    system_nodes: NodeGroup
    gpu_nodes: tuple[GpuNodeGroup, ...]

    @field_validator("gpu_nodes")
    @classmethod
    def _named_apart(cls, value: tuple[GpuNodeGroup, ...]) -> tuple[GpuNodeGroup, ...]:
        names = [group.name for group in value]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"must be at least one node group, each with its own name (got {names})")
        return value
