"""How the program reaches the cluster: a token for the moment from AWS, and no secret anywhere.

https://docs.aws.amazon.com/eks/latest/userguide/create-kubeconfig.html
"""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as kubernetes

from stacks.contract import ModelCluster


def provider(cluster: ModelCluster, region: str, checked: pulumi.Output[None]) -> kubernetes.Provider:
    """The one provider of this program's Kubernetes objects; there is none before the check."""
    known = pulumi.Output.all(
        checked=checked,
        name=cluster.cluster_name,
        endpoint=cluster.endpoint,
        authority=cluster.certificate_authority_data,
        role_arn=cluster.deployer_role_arn,
    )
    return kubernetes.Provider(
        "model-cluster",
        kubeconfig=known.apply(
            lambda given: kubeconfig(given["name"], given["endpoint"], given["authority"], given["role_arn"], region)
        ),
        # A new endpoint is the same cluster; a new name is another one.
        cluster_identifier=cluster.cluster_name,
        enable_server_side_apply=True,
    )


def kubeconfig(name: str, endpoint: str, authority: str, role_arn: str, region: str) -> str:
    """JSON is YAML. The role's token lives a quarter of an hour."""
    asked = ["eks", "get-token", "--region", region, "--cluster-name", name, "--role-arn", role_arn, "--output", "json"]
    token = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "aws",
        "args": asked,
        "interactiveMode": "Never",
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"exec": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )
