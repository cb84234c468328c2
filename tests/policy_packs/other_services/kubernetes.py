"""Objects inside a cluster, as the rules ask for them."""

from __future__ import annotations

import pulumi_kubernetes as kubernetes


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    kubernetes.networking.v1.Ingress(
        "desk",
        metadata={"namespace": "desk", "annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "true"}},
        spec={"default_backend": {"service": {"name": "desk", "port": {"number": 443}}}},
    )
