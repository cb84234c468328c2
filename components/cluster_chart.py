"""A Helm chart from our own registry, at one version, with images of our own.

What a chart makes is not visible to a preview or a policy pack. So it is bounded by what was there before it: a
namespace with restricted pods, denied connections and a quota, and an API server that admits images of ours by
digest only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Room
from components.component import LateComponent
from components.manifest import Manifest

TIMEOUT_S = 600


class ClusterChartArgs(TypedDict):
    room: Room
    chart: pulumi.Input[str]
    """oci://…, in our own registry, whose tags cannot be moved."""
    version: str
    values: pulumi.Input[Manifest]


class ClusterChart(LateComponent):
    """One release; what fails is taken back whole."""

    release: kubernetes.helm.v3.Release

    def __init__(self, name: str, args: ClusterChartArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.release = kubernetes.helm.v3.Release(
            f"{name}-chart",
            name=name,
            namespace=args["room"].value,
            create_namespace=False,
            chart=args["chart"],
            version=args["version"],
            values=args["values"],
            atomic=True,
            timeout=TIMEOUT_S,
            opts=self.child(),
        )
        self.register_outputs({})


@dataclass(frozen=True, slots=True)
class KedaImages:
    """By digest, from our own registry."""

    keda: str
    metrics_adapter: str
    webhooks: str


def keda_values(version: str, images: KedaImages, node_selector: Mapping[str, str]) -> Manifest:
    """Values of KEDA's chart, as in https://github.com/kedacore/charts/blob/main/keda/values.yaml.

    The chart writes registry/repository:tag, so the tag carries the digest: `2.20.2@sha256:…`.
    """
    parts = {"keda": images.keda, "metricsApiServer": images.metrics_adapter, "webhooks": images.webhooks}
    bounds = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    return {
        "image": {part: _image(version, image) for part, image in parts.items()},
        # Our scaled objects stand in one namespace; what stands elsewhere is not looked at.
        "watchNamespace": Room.MODELS.value,
        "http": {"minTlsVersion": "TLS13"},
        "resources": dict.fromkeys(("operator", "metricServer", "webhooks"), bounds),
        "nodeSelector": dict(node_selector),
    }


def _image(version: str, image: str) -> Manifest:
    name, _, digest = image.partition("@")
    registry, _, repository = name.partition("/")
    return {"registry": registry, "repository": repository, "tag": f"{version}@{digest}"}
