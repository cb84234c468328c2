"""Whose signature on weights counts: a public key, brought by the deployment and never by the bucket."""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Room
from components.component import LateComponent
from components.manifest import metadata
from components.model_server import SIGNER, SIGNER_FILE


class WeightsSignerArgs(TypedDict):
    public_key: str
    """PEM."""


class WeightsSigner(LateComponent):
    """The key as a file for the pods that verify."""

    def __init__(self, name: str, args: WeightsSignerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        kubernetes.core.v1.ConfigMap(
            name, metadata=metadata(SIGNER, Room.MODELS), data={SIGNER_FILE: args["public_key"]}, opts=self.child()
        )
        self.register_outputs({})
