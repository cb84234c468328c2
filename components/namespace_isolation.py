"""A namespace before anything is in it: restricted pods, bounded numbers, limits for whoever names none.

https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import ADDON_ROOMS, OWN_IMAGES, Room
from components.component import Component
from components.manifest import Manifest, metadata


class PodSecurity(StrEnum):
    """The pod security standard that the API server enforces."""

    RESTRICTED = "restricted"
    PRIVILEGED = "privileged"


class NamespaceIsolationArgs(TypedDict):
    room: Room
    kubernetes_version: str
    """The minor version whose standard holds: a later one may add demands that nobody has tried."""
    pod_security: PodSecurity
    quota: pulumi.Input[Mapping[str, str]]
    container_limits: NotRequired[Mapping[str, str]]


class NamespaceIsolation(Component):
    """The namespace and everything that bounds what is put into it later."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: NamespaceIsolationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        room = args["room"]
        made = self._namespace(room, namespace_labels(args["pod_security"], args["kubernetes_version"]))
        # By the name and not by an output: a quota belongs to a namespace that already exists or to none.
        inside = self.child(depends_on=[made])
        self._quota(room, args["quota"], inside)
        self._limits(room, args.get("container_limits", {"cpu": "500m", "memory": "512Mi"}), inside)
        self.namespace = made.metadata.apply(lambda given: str(given.name))
        self.register_outputs({"namespace": self.namespace})

    def _namespace(self, room: Room, labels: Mapping[str, str]) -> kubernetes.core.v1.Namespace:
        labelled = metadata(room.value, labels={**labels, **({} if room in ADDON_ROOMS else OWN_IMAGES)})
        return kubernetes.core.v1.Namespace(room.value, metadata=labelled, opts=self.child())

    def _quota(self, room: Room, hard: pulumi.Input[Mapping[str, str]], opts: pulumi.ResourceOptions) -> None:
        kubernetes.core.v1.ResourceQuota(
            f"{room.value}-quota",
            metadata=metadata("quota", room),
            spec={"hard": pulumi.Output.from_input(hard).apply(dict)},
            opts=opts,
        )

    def _limits(self, room: Room, default: Mapping[str, str], opts: pulumi.ResourceOptions) -> None:
        """For containers that name no limits of their own: those of charts."""
        limit = {"type": "Container", "default": dict(default), "defaultRequest": dict(default)}
        bounds: Manifest = {"limits": [limit]}
        kubernetes.core.v1.LimitRange(
            f"{room.value}-limits",
            metadata=metadata("limits", room),
            spec=bounds,
            opts=opts,
        )


def namespace_labels(standard: PodSecurity, kubernetes_version: str) -> dict[str, str]:
    """Enforced, audited and warned of alike, each at a pinned version."""
    prefix = "pod-security.kubernetes.io"
    modes = ("enforce", "audit", "warn")
    levels = {f"{prefix}/{mode}": standard.value for mode in modes}
    return levels | {f"{prefix}/{mode}-version": f"v{kubernetes_version}" for mode in modes}
