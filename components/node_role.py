"""The role of the cluster's nodes: join the cluster, pull images, hand out pod identities. Nothing for pods.

Pods have roles of their own; the pod network's permissions belong to its add-on, not to every node.
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import allow, document, service

MANAGED = {
    "join": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
    "images": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
}


class NodeRoleArgs(TypedDict):
    role_name: str


class NodeRole(Component):
    """Role and policies. It gets no access entry: EKS makes that of a managed node group itself."""

    arn: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """The permissions: nodes come after these and go before them."""

    def __init__(self, name: str, args: NodeRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        role = aws.iam.Role(f"{name}-role", name=args["role_name"], assume_role_policy=node_trust(), opts=self.child())
        self.ready = [
            aws.iam.RolePolicyAttachment(f"{name}-{word}", role=role.name, policy_arn=policy, opts=self.child())
            for word, policy in MANAGED.items()
        ]
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})


def node_trust() -> str:
    """EC2 tells no source account or ARN when it assumes an instance's role: there is nothing to compare."""
    return document(allow("AssumeForInstance", ["sts:AssumeRole"], principal=service("ec2.amazonaws.com")))
