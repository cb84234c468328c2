"""Node groups of the cluster: system nodes, and GPU nodes bought on demand, reserved, or as a capacity block.

https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.gpu_scheduling import (
    GPU_ROLE,
    NVIDIA_IMAGE,
    STANDARD_IMAGE,
    SYSTEM_ROLE,
    TAINT_EFFECT_EKS,
    TAINT_KEY,
    TAINT_VALUE,
    node_labels,
)
from components.kubernetes_versions import PINNED

TAGGED = ("instance", "volume", "network-interface")
# GPUs are scarce: EC2 may search for one for the better part of an hour.
GPU_TIMEOUT = "75m"


class GpuCapacity(StrEnum):
    """How the instances are bought."""

    ON_DEMAND = "on_demand"
    RESERVATION = "reservation"
    CAPACITY_BLOCK = "capacity_block"


class NodeGroupArgs(TypedDict):
    cluster: aws.eks.Cluster
    group_name: str
    instance_type: str
    nodes_min: int
    nodes_max: int
    disk_gib: int
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    volume_key_arn: pulumi.Input[str]
    role_arn: pulumi.Input[str]
    after: Sequence[pulumi.Resource]
    """Permissions of the role and the add-ons that a node needs to join."""
    tags: Mapping[str, str]
    gpu_capacity: NotRequired[GpuCapacity]
    """Given: a GPU node group, tainted so that nothing else lands there."""
    reservation_id: NotRequired[str]


class NodeGroup(Component):
    """Launch template and managed node group."""

    autoscaling_group: pulumi.Output[str]

    def __init__(self, name: str, args: NodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        template = self._template(name, args)
        group = self._gpu_nodes(name, args, template) if "gpu_capacity" in args else self._nodes(name, args, template)
        self.autoscaling_group = group.resources.apply(lambda made: str(made[0]["autoscaling_groups"][0]["name"]))
        self.register_outputs({"autoscalingGroup": self.autoscaling_group})

    def _template(self, name: str, args: NodeGroupArgs) -> aws.ec2.LaunchTemplate:
        block = args.get("gpu_capacity") is GpuCapacity.CAPACITY_BLOCK
        return aws.ec2.LaunchTemplate(
            f"{name}-template",
            description=f"Nodes of {args['group_name']}",
            # A capacity block is sold for one type and demands it here; otherwise the node group names it.
            instance_type=args["instance_type"] if block else None,
            instance_market_options={"market_type": "capacity-block"} if block else None,
            capacity_reservation_specification=_reservation(args),
            vpc_security_group_ids=[args["security_group_id"]],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # A pod is one hop further away than its node, and must not get the node's credentials.
                "http_put_response_hop_limit": 1,
                "instance_metadata_tags": "disabled",
            },
            block_device_mappings=[{"device_name": "/dev/xvda", "ebs": _volume(args)}],
            tag_specifications=[
                {"resource_type": kind, "tags": {**args["tags"], "Name": args["group_name"]}} for kind in TAGGED
            ],
            update_default_version=True,
            opts=self.child(),
        )

    def _nodes(self, name: str, args: NodeGroupArgs, template: aws.ec2.LaunchTemplate) -> aws.eks.NodeGroup:
        return aws.eks.NodeGroup(
            f"{name}-group",
            cluster_name=args["cluster"].name,
            node_group_name=args["group_name"],
            node_role_arn=args["role_arn"],
            subnet_ids=list(args["subnet_ids"]),
            version=PINNED.version,
            release_version=PINNED.node_image_release,
            ami_type=STANDARD_IMAGE,
            capacity_type="ON_DEMAND",
            instance_types=[args["instance_type"]],
            launch_template=_reference(template),
            labels=node_labels(SYSTEM_ROLE, args["group_name"]),
            scaling_config=_scaling(args),
            update_config={"max_unavailable": 1},
            node_repair_config={"enabled": True},
            opts=self._after(args),
        )

    def _gpu_nodes(self, name: str, args: NodeGroupArgs, template: aws.ec2.LaunchTemplate) -> aws.eks.NodeGroup:
        block = args["gpu_capacity"] is GpuCapacity.CAPACITY_BLOCK
        return aws.eks.NodeGroup(
            f"{name}-group",
            cluster_name=args["cluster"].name,
            node_group_name=args["group_name"],
            node_role_arn=args["role_arn"],
            subnet_ids=list(args["subnet_ids"]),
            version=PINNED.version,
            release_version=PINNED.node_image_release,
            ami_type=NVIDIA_IMAGE,
            capacity_type="CAPACITY_BLOCK" if block else "ON_DEMAND",
            instance_types=None if block else [args["instance_type"]],
            launch_template=_reference(template),
            labels=node_labels(GPU_ROLE, args["group_name"]),
            taints=[{"key": TAINT_KEY, "value": TAINT_VALUE, "effect": TAINT_EFFECT_EKS}],
            scaling_config=_scaling(args),
            # Old node first, then new: there is no spare GPU to start the new one on.
            update_config={"max_unavailable": 1, "update_strategy": "MINIMAL"},
            node_repair_config={"enabled": True},
            opts=self._after(args, create=GPU_TIMEOUT, update=GPU_TIMEOUT),
        )

    def _after(self, args: NodeGroupArgs, *, create: str = "", update: str = "") -> pulumi.ResourceOptions:
        patient = pulumi.CustomTimeouts(create=create, update=update) if create else None
        return self.child(
            depends_on=list(args["after"]),
            # The autoscaler decides how many there are; an update must not take its nodes away.
            ignore_changes=["scalingConfig.desiredSize"],
            custom_timeouts=patient,
        )


def _reservation(
    args: NodeGroupArgs,
) -> aws.ec2.LaunchTemplateCapacityReservationSpecificationArgsDict | None:
    """The reservation by its id; a reservation proper never falls back to buying on demand."""
    capacity = args.get("gpu_capacity", GpuCapacity.ON_DEMAND)
    if capacity is GpuCapacity.ON_DEMAND:
        return None
    target: aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgsDict = {
        "capacity_reservation_id": args["reservation_id"]
    }
    if capacity is GpuCapacity.CAPACITY_BLOCK:
        return {"capacity_reservation_target": target}
    return {"capacity_reservation_preference": "capacity-reservations-only", "capacity_reservation_target": target}


def _volume(args: NodeGroupArgs) -> aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgsDict:
    """Images of model servers and weights are tens of gigabytes: a GPU node's disk is a fast one."""
    fast = "gpu_capacity" in args
    return {
        "volume_type": "gp3",
        "volume_size": args["disk_gib"],
        "iops": 4000 if fast else 3000,
        "throughput": 1000 if fast else 125,
        "encrypted": "true",
        "kms_key_id": args["volume_key_arn"],
        "delete_on_termination": "true",
    }


def _scaling(args: NodeGroupArgs) -> aws.eks.NodeGroupScalingConfigArgsDict:
    """A capacity block has no instances before it begins: its group starts empty and is filled then."""
    empty = args.get("gpu_capacity") is GpuCapacity.CAPACITY_BLOCK
    least = 0 if empty else args["nodes_min"]
    return {"min_size": least, "desired_size": least, "max_size": args["nodes_max"]}


def _reference(template: aws.ec2.LaunchTemplate) -> aws.eks.NodeGroupLaunchTemplateArgsDict:
    return {"id": template.id, "version": template.latest_version.apply(str)}
