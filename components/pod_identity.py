"""Pod Identity: an IAM role that one service account of one cluster takes on, and nobody else.

No OIDC provider, no annotation and no key: EKS itself assumes the role for the pod and tags the session with
cluster, namespace and service account, which the trust below demands.
https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.cluster_identities import ServiceAccount
from components.component import Component
from components.policy_document import allow, document, service


class PodRoleArgs(TypedDict):
    account_id: str
    cluster_arn: str
    role_name: str
    account: ServiceAccount
    policy: NotRequired[pulumi.Input[str]]
    managed_policy_arn: NotRequired[str]
    """A policy of AWS's own, for the add-ons that AWS writes it for."""
    cluster: NotRequired[aws.eks.Cluster]
    """With a cluster the role is associated here; without one the add-on that uses it makes the association."""


class PodRole(Component):
    """Role, permissions, association."""

    role_arn: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """The permissions: what uses the role waits for these, and they outlive it."""

    def __init__(self, name: str, args: PodRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        trust = pod_identity_trust(args["account_id"], args["cluster_arn"], args["account"])
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=trust,
            force_detach_policies=True,
            opts=self.child(),
        )
        self.ready = self._permissions(name, role, args)
        if "cluster" in args:
            self._associate(name, role, args["cluster"], args["account"])
        self.role_arn = role.arn
        self.register_outputs({"roleArn": self.role_arn})

    def _permissions(self, name: str, role: aws.iam.Role, args: PodRoleArgs) -> list[pulumi.Resource]:
        made: list[pulumi.Resource] = []
        if "policy" in args:
            made.append(
                aws.iam.RolePolicy(f"{name}-permissions", role=role.name, policy=args["policy"], opts=self.child())
            )
        if "managed_policy_arn" in args:
            attached = args["managed_policy_arn"]
            made.append(
                aws.iam.RolePolicyAttachment(
                    f"{name}-managed-permissions", role=role.name, policy_arn=attached, opts=self.child()
                )
            )
        return made

    def _associate(self, name: str, role: aws.iam.Role, cluster: aws.eks.Cluster, account: ServiceAccount) -> None:
        aws.eks.PodIdentityAssociation(
            f"{name}-association",
            cluster_name=cluster.name,
            namespace=account.namespace,
            service_account=account.name,
            role_arn=role.arn,
            opts=self.child(deleted_with=cluster, depends_on=self.ready),
        )


def pod_identity_trust(account_id: str, cluster_arn: str, account: ServiceAccount) -> str:
    """EKS, for this cluster, namespace and service account. Without TagSession every pod is refused."""
    return document(
        allow(
            "AssumeForPod",
            ["sts:AssumeRole", "sts:TagSession"],
            principal=service("pods.eks.amazonaws.com"),
            when={
                "StringEquals": {
                    "aws:SourceAccount": account_id,
                    "aws:RequestTag/kubernetes-namespace": account.namespace,
                    "aws:RequestTag/kubernetes-service-account": account.name,
                },
                "ArnEquals": {"aws:SourceArn": cluster_arn},
            },
        )
    )
