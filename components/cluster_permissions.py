"""What the pods of the cluster may do at AWS: load weights, count nodes. Each role for one namespace."""

from __future__ import annotations

from components.policy_document import allow, document


def model_server_permissions(bucket_arn: str, key_arn: str, region: str) -> str:
    """Reads weights and their manifests in the versions that the deployment names; writes nothing."""
    return document(
        allow("ReadWeights", ["s3:GetObject", "s3:GetObjectVersion"], f"{bucket_arn}/*"),
        allow("ListWeights", ["s3:ListBucket"], bucket_arn),
        allow(
            "OpenWeights",
            ["kms:Decrypt"],
            key_arn,
            when={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
        ),
    )


def autoscaler_permissions(cluster_name: str, cluster_arn: str) -> str:
    """Looks at instance types and groups, and resizes the groups of this cluster alone.

    The calls that only look take no resource: AWS answers for the whole account.
    https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
    """
    nodegroups = cluster_arn.replace(":cluster/", ":nodegroup/") + "/*"
    return document(
        allow(
            "Look",
            [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeScalingActivities",
                "autoscaling:DescribeTags",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:GetInstanceTypesFromInstanceRequirements",
            ],
            "*",
        ),
        allow("LookAtNodeGroups", ["eks:DescribeNodegroup"], nodegroups),
        allow(
            "Resize",
            ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            "*",
            when={"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster_name}": "owned"}},
        ),
    )
