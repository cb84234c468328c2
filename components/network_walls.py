"""The network policies of a namespace: nothing, and then each allowance. Also for namespaces that others make.

They do nothing where the network add-on does not enforce them; the platform program turns that on, in strict mode
(https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Room
from components.component import LateComponent
from components.manifest import Manifest, metadata
from components.network_allowance import nothing


class NetworkWallsArgs(TypedDict):
    room: Room
    allowances: Mapping[str, pulumi.Input[Manifest]]
    """Name → specification of a network policy."""


class NetworkWalls(LateComponent):
    """One policy that denies, one for each allowance."""

    def __init__(self, name: str, args: NetworkWallsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        for policy, specification in {"deny-all": nothing(), **args["allowances"]}.items():
            kubernetes.networking.v1.NetworkPolicy(
                f"{args['room'].value}-{policy}",
                metadata=metadata(policy, args["room"]),
                spec=specification,
                opts=self.child(),
            )
        self.register_outputs({})
