"""What lives where in the cluster: namespaces and ports, known before anything exists.

Which service account of which namespace holds an AWS role stands in `cluster_identities`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity


class Room(StrEnum):
    """A namespace of the cluster."""

    MODELS = SERVICE_ACCOUNTS[ClusterIdentity.MODEL_SERVER].namespace
    """Model servers, each with its proxy."""
    NODES = SERVICE_ACCOUNTS[ClusterIdentity.AUTOSCALER].namespace
    """What makes node groups follow the pods."""
    REPLICAS = "keda"
    """KEDA: what makes model servers follow the queue and the forecast."""
    MONITORING = "monitoring"
    """The Prometheus that KEDA asks."""
    DEVICES = "gpu-devices"
    """What offers GPUs to the scheduler and reads their health: needs the nodes' file system."""
    CERTIFICATES = "cert-manager"
    """The certificate controller, an add-on of EKS."""
    ISSUER = SERVICE_ACCOUNTS[ClusterIdentity.CERTIFICATES].namespace
    """Its way to our private certificate authority, an add-on of EKS."""
    SYSTEM = "kube-system"
    """Made by EKS: DNS and metrics."""


# The cluster program makes every namespace but the one that comes with the cluster.
OWN_ROOMS = tuple(room for room in Room if room is not Room.SYSTEM)
# Pods of all others obey the restricted pod security standard.
PRIVILEGED_ROOMS = (Room.DEVICES,)
# Their images come from AWS's registry with the add-on that EKS pins; all others from ours, by digest.
ADDON_ROOMS = (Room.CERTIFICATES, Room.ISSUER)
OWN_IMAGES: Final = {"llm-pipelines.io/images": "own-registry"}
IDENTITY_ROOMS = frozenset(
    Room(account.namespace) for account in SERVICE_ACCOUNTS.values() if account.namespace != Room.SYSTEM.value
)

# Where EKS Pod Identity hands out credentials: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
POD_IDENTITY_ADDRESS: Final = "169.254.170.23/32"
POD_IDENTITY_PORT: Final = 80
# Instance metadata: whoever reaches it has the node's role.
METADATA_ADDRESS: Final = "169.254.169.254"


class Port:
    """Where pods listen."""

    MODEL_PROXY: Final = 8443
    MODEL_PROXY_HEALTH: Final = 8081
    MODEL_SERVER: Final = 8000
    PROMETHEUS: Final = 9090
    GPU_METRICS: Final = 9400
    NODE_AUTOSCALER: Final = 8085
    KEDA_OPERATOR: Final = 9666
    KEDA_METRICS_ADAPTER: Final = 6443
    KEDA_WEBHOOK: Final = 9443
    CERTIFICATE_WEBHOOK: Final = 10250
    METRICS_SERVER: Final = 10251
    KUBELET: Final = 10250
    DNS: Final = 53
    HTTPS: Final = 443
