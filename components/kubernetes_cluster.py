"""The Kubernetes cluster of our model servers: private, encrypted, every log on, and administered by one role.

https://docs.aws.amazon.com/eks/latest/best-practices/security.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.kubernetes_versions import PINNED
from components.policy_document import assume_role_policy

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
ACCESS_POLICIES = "arn:aws:eks::aws:cluster-access-policy/"
ADMINISTER = f"{ACCESS_POLICIES}AmazonEKSClusterAdminPolicy"
LOOK = f"{ACCESS_POLICIES}AmazonEKSViewPolicy"
CLUSTER_POLICY = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"


class KubernetesClusterArgs(TypedDict):
    account_id: str
    region: str
    cluster_name: str
    role_name: str
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    service_cidr: str
    secrets_key_arn: pulumi.Input[str]
    log_group: pulumi.Resource
    deletion_protection: bool
    deployer_role_arn: str
    administrator_role_arn: str


class KubernetesCluster(Component):
    """Cluster, its role, and who may do what in it."""

    cluster: aws.eks.Cluster
    name: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    certificate_authority_data: pulumi.Output[str]
    administration: pulumi.Resource
    """Nothing can be put into the cluster before this exists."""

    def __init__(self, name: str, args: KubernetesClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        role, permissions = self._role(name, args)
        self.cluster = self._cluster(name, args, role, permissions)
        self.administration = self._access(f"{name}-deployer", args["deployer_role_arn"], ADMINISTER)
        self._access(f"{name}-administrator", args["administrator_role_arn"], LOOK)
        self.name = self.cluster.name
        self.endpoint = self.cluster.endpoint
        self.certificate_authority_data = self.cluster.certificate_authority.apply(lambda authority: authority["data"])
        self.register_outputs({"name": self.name, "endpoint": self.endpoint})

    def _role(self, name: str, args: KubernetesClusterArgs) -> tuple[aws.iam.Role, aws.iam.RolePolicyAttachment]:
        source = cluster_arn(args["region"], args["account_id"], args["cluster_name"])
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy("eks.amazonaws.com", args["account_id"], source),
            opts=self.child(),
        )
        permissions = aws.iam.RolePolicyAttachment(
            f"{name}-permissions", role=role.name, policy_arn=CLUSTER_POLICY, opts=self.child()
        )
        return role, permissions

    def _cluster(
        self, name: str, args: KubernetesClusterArgs, role: aws.iam.Role, permissions: pulumi.Resource
    ) -> aws.eks.Cluster:
        return aws.eks.Cluster(
            name,
            name=args["cluster_name"],
            version=PINNED.version,
            role_arn=role.arn,
            # Ours come pinned and in order; those of AWS would be whatever is recent.
            bootstrap_self_managed_addons=False,
            deletion_protection=args["deletion_protection"],
            enabled_cluster_log_types=list(LOG_TYPES),
            vpc_config={
                "subnet_ids": list(args["subnet_ids"]),
                "security_group_ids": [args["security_group_id"]],
                "endpoint_private_access": True,
                "endpoint_public_access": False,
            },
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": False,
            },
            encryption_config={"provider": {"key_arn": args["secrets_key_arn"]}, "resources": ["secrets"]},
            kubernetes_network_config={"service_ipv4_cidr": args["service_cidr"], "ip_family": "ipv4"},
            # Never into paid extended support unnoticed: AWS upgrades a cluster that we forget.
            upgrade_policy={"support_type": "STANDARD"},
            # The permissions outlive the cluster, or EKS cannot remove its network interfaces. EKS would make the
            # log group itself, unencrypted and for ever.
            opts=self.child(depends_on=[permissions, args["log_group"]]),
        )

    def _access(self, name: str, role_arn: str, policy_arn: str) -> pulumi.Resource:
        entry = aws.eks.AccessEntry(
            f"{name}-access",
            cluster_name=self.cluster.name,
            principal_arn=role_arn,
            type="STANDARD",
            opts=self.child(deleted_with=self.cluster),
        )
        return aws.eks.AccessPolicyAssociation(
            f"{name}-access-policy",
            cluster_name=self.cluster.name,
            principal_arn=role_arn,
            policy_arn=policy_arn,
            access_scope={"type": "cluster"},
            opts=self.child(deleted_with=self.cluster, depends_on=[entry]),
        )


def cluster_arn(region: str, account_id: str, cluster_name: str) -> str:
    return f"arn:aws:eks:{region}:{account_id}:cluster/{cluster_name}"
