"""Every version that runs below and in the Kubernetes cluster, in one place: cluster, add-ons, node images.

Nothing here is "latest": an upgrade is a change of this file, reviewed and rolled out like any other. Dates of
support: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html. Node images:
https://github.com/awslabs/amazon-eks-ami/releases. Which add-on versions a cluster version accepts is known to
AWS alone: `python -m stacks.preflight` asks before anything is created.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# An upgrade takes weeks: staging, soak, prod. A version whose standard support ends sooner is due now.
NOTICE_DAYS = 30


class Addon(StrEnum):
    """EKS add-ons by the names that AWS gives them."""

    VPC_CNI = "vpc-cni"
    KUBE_PROXY = "kube-proxy"
    POD_IDENTITY_AGENT = "eks-pod-identity-agent"
    NODE_MONITORING = "eks-node-monitoring-agent"
    COREDNS = "coredns"
    METRICS_SERVER = "metrics-server"
    CERT_MANAGER = "cert-manager"
    PRIVATE_CA_CONNECTOR = "aws-privateca-connector-for-kubernetes"


@dataclass(frozen=True, slots=True)
class KubernetesRelease:
    """One minor version with everything that belongs to it."""

    version: str
    released: dt.date
    standard_support_ends: dt.date
    node_image_release: str
    addons: Mapping[Addon, str]

    def in_standard_support(self, day: dt.date) -> bool:
        """True while AWS patches this version without a surcharge; the last day is the day before the end."""
        return self.released <= day < self.standard_support_ends

    def due_for_upgrade(self, day: dt.date) -> bool:
        return day + dt.timedelta(days=NOTICE_DAYS) >= self.standard_support_ends


PINNED = KubernetesRelease(
    version="1.36",
    released=dt.date(2026, 6, 2),
    standard_support_ends=dt.date(2027, 8, 2),
    node_image_release="1.36.3-20260903",
    addons={
        Addon.VPC_CNI: "v1.22.4-eksbuild.3",
        Addon.KUBE_PROXY: "v1.36.0-eksbuild.21",
        Addon.POD_IDENTITY_AGENT: "v1.3.10-eksbuild.3",
        Addon.NODE_MONITORING: "v1.6.4-eksbuild.1",
        Addon.COREDNS: "v1.14.3-eksbuild.16",
        Addon.METRICS_SERVER: "v0.9.0-eksbuild.5",
        Addon.CERT_MANAGER: "v1.20.2-eksbuild.3",
        Addon.PRIVATE_CA_CONNECTOR: "v1.9.0-eksbuild.1",
    },
)
