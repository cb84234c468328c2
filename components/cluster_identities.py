"""Which service account of the cluster acts as which IAM role: one table for both sides.

The platform program makes role and association, the cluster program the service account. Each role belongs to
one namespace, because whoever may create pods in a namespace may take on every role that is bound there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ClusterIdentity(StrEnum):
    """Who in the cluster calls AWS; also the end of the role's name."""

    MODEL_SERVER = "model-server"
    AUTOSCALER = "cluster-autoscaler"
    NETWORK = "cluster-network"
    CERTIFICATES = "cluster-certificates"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    namespace: str
    name: str


SERVICE_ACCOUNTS = {
    # Fetches and verifies weights, then serves the model; every version of every model runs as this one.
    ClusterIdentity.MODEL_SERVER: ServiceAccount("models", "model-server"),
    ClusterIdentity.AUTOSCALER: ServiceAccount("cluster-autoscaler", "cluster-autoscaler"),
    # Names that the add-ons bring with them.
    ClusterIdentity.NETWORK: ServiceAccount("kube-system", "aws-node"),
    ClusterIdentity.CERTIFICATES: ServiceAccount("aws-privateca-issuer", "aws-privateca-issuer"),
}
