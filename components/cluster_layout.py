"""What lives where in the cluster: namespaces, service accounts and ports, known before anything exists.

The platform program gives service accounts their AWS roles (EKS Pod Identity), the cluster program makes them:
both read the names here, so that neither can spell them alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Room(StrEnum):
    """A namespace of the cluster."""

    MODELS = "models"
    """Model servers, each with its proxy."""
    AUTOSCALING = "autoscaling"
    """KEDA."""
    CERTIFICATES = "certificates"
    """cert-manager and its issuer from the private certificate authority."""
    MONITORING = "monitoring"
    """The Prometheus that autoscaling asks."""
    DEVICES = "gpu-devices"
    """What offers GPUs to the scheduler and reads their health: needs the nodes' file system."""
    SYSTEM = "kube-system"
    """Made by EKS: DNS and the add-ons."""
    MOUNTS = "mount-s3"
    """Made by the add-on that mounts the models bucket: its pods fetch the weights."""


# What the cluster program makes. Pods of every room but the privileged ones obey the restricted pod security standard.
OWN_ROOMS = (Room.MODELS, Room.AUTOSCALING, Room.CERTIFICATES, Room.MONITORING, Room.DEVICES)
PRIVILEGED_ROOMS = (Room.DEVICES,)


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """A service account that holds an AWS role."""

    room: Room
    service_account: str
    why: str


MODEL_SERVER_IDENTITY = PodIdentity(Room.MODELS, "model-server", "reads weights from the models bucket")
ISSUER_IDENTITY = PodIdentity(Room.CERTIFICATES, "aws-privateca-issuer", "has certificates signed by the private CA")
POD_IDENTITIES = (MODEL_SERVER_IDENTITY, ISSUER_IDENTITY)

# Where EKS Pod Identity hands out credentials: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
POD_IDENTITY_ADDRESS, POD_IDENTITY_PORT = "169.254.170.23/32", 80
# Instance metadata: whoever reaches it has the node's role.
METADATA_ADDRESS = "169.254.169.254"


class Port:
    """Where pods listen."""

    MODEL_NODE = 30443
    """On every node, for the models' load balancer."""
    MODEL_PROXY = 8443
    MODEL_SERVER = 8000
    PROMETHEUS = 9090
    GPU_METRICS = 9400
    KEDA_OPERATOR = 9666
    KEDA_METRICS_ADAPTER = 6443
    KEDA_WEBHOOK = 9443
    CERTIFICATE_WEBHOOK = 10250
    DNS = 53
    HTTPS = 443
