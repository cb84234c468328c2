"""Where the load balancer enters the cluster, and which versions of the model answer.

One version answers, or two while a new one is tried: then each gets requests by its number of replicas. The
other versions stay warm, so that going back is a change of this selector and takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.manifest import Manifest, metadata
from components.model_serving import NODE_PORT


class ModelEntranceArgs(TypedDict):
    selector: Mapping[str, str]


class ModelEntrance(LateComponent):
    """The service on every node."""

    def __init__(self, name: str, args: ModelEntranceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        kubernetes.core.v1.Service(
            "models", metadata=metadata("models", Room.MODELS), spec=entrance(args["selector"]), opts=self.child()
        )
        self.register_outputs({})


def entrance(selector: Mapping[str, str]) -> Manifest:
    """`spec` of the service: every node passes on to a ready pod wherever it is, in the address of the node."""
    port = {
        "name": "https",
        "protocol": "TCP",
        "port": Port.HTTPS,
        "targetPort": Port.MODEL_PROXY,
        "nodePort": NODE_PORT,
    }
    return {"type": "NodePort", "externalTrafficPolicy": "Cluster", "selector": dict(selector), "ports": [port]}
