"""The cluster: whether AWS still supports the pinned version, and has the pinned add-ons and node images for it."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from components.kubernetes_versions import PINNED
from stacks.preflight.aws import Aws
from stacks.preflight.needs import Needs
from stacks.preflight.row import Row, judged

PINS = "components/kubernetes_versions.py"
_SUPPORTED = "STANDARD_SUPPORT"


def kubernetes_version(_needs: Needs, aws: Aws) -> Iterator[Row]:
    found = aws.client("eks").describe_cluster_versions(clusterVersions=[PINNED.version])["clusterVersions"]
    status = str(found[0].get("versionStatus", "unknown")) if found else "not offered"
    yield judged(
        "Kubernetes version",
        PINNED.version,
        status == _SUPPORTED,
        status,
        f"move the pins in {PINS} to a version in standard support, and take every environment there in turn",
    )


def addon_versions(_needs: Needs, aws: Aws) -> Iterator[Row]:
    """An add-on built for another version is refused only when it is created, after the cluster is."""
    eks = aws.client("eks")
    for addon, wanted in PINNED.addons.items():
        pages = eks.get_paginator("describe_addon_versions").paginate(
            addonName=addon.value, kubernetesVersion=PINNED.version
        )
        offered = [
            version["addonVersion"] for page in pages for one in page["addons"] for version in one["addonVersions"]
        ]
        newest = offered[0] if offered else "none at all"
        yield judged(
            "add-on version",
            f"{addon.value} {wanted}",
            wanted in offered,
            "offered" if wanted in offered else f"not offered for {PINNED.version}",
            f"pin a version in {PINS} that AWS offers (newest: {newest})",
        )


def node_images(_needs: Needs, aws: Aws) -> Iterator[Row]:
    """AWS publishes each image release as a parameter; one that was withdrawn is gone from there."""
    ssm = aws.client("ssm")
    day = PINNED.node_image_release.rpartition("-")[2]
    for variant in ("standard", "nvidia"):
        name = f"amazon-eks-node-al2023-x86_64-{variant}-{PINNED.version}-v{day}"
        parameter = (
            f"/aws/service/eks/optimized-ami/{PINNED.version}/amazon-linux-2023/x86_64/{variant}/{name}/image_id"
        )
        there = _published(ssm, parameter)
        yield judged(
            "node image",
            name,
            there,
            "published" if there else "not published",
            f"pin a published release in {PINS}: https://github.com/awslabs/amazon-eks-ami/releases",
        )


def _published(ssm: object, parameter: str) -> bool:
    try:
        ssm.get_parameter(Name=parameter)  # type: ignore[attr-defined]  # a boto3 client
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        return False
    return True
