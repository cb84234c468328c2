"""What the cluster program deploys, as Kubernetes would receive it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.local import engine
from tests.contracts.programs import captured

Manifest = Any  # Kubernetes JSON
WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet", "Job")


def manifests(stack: str) -> list[Manifest]:
    """Every object of the cluster, custom resources included; a chart is none."""
    return objects(captured("cluster", stack))


def objects(deployment: engine.Deployment) -> list[Manifest]:
    return [
        resource.inputs
        for resource in deployment.resources
        if resource.type.startswith("kubernetes:") and "apiVersion" in resource.inputs
    ]


def of_kind(stack: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests(stack) if manifest["kind"] in kinds]


def the(stack: str, kind: str, name: str, room: str | None = None) -> Manifest:
    """The one object of this kind and name."""
    found = [
        manifest
        for manifest in of_kind(stack, kind)
        if manifest["metadata"]["name"] == name and manifest["metadata"].get("namespace") == room
    ]
    assert len(found) == 1, (kind, name, room)
    return found[0]


def pods(stack: str) -> Iterator[tuple[str, Manifest]]:
    """Namespace and pod specification of every workload."""
    for manifest in of_kind(stack, *WORKLOADS):
        yield manifest["metadata"]["namespace"], manifest["spec"]["template"]["spec"]


def model_servers(stack: str) -> list[Manifest]:
    """Deployments that serve a model."""
    return [one for one in of_kind(stack, "Deployment") if one["metadata"]["namespace"] == "models"]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def named(found: list[Manifest], name: str) -> Manifest:
    return next(one for one in found if one["name"] == name)


def variables(container: Manifest) -> Mapping[str, str]:
    return {one["name"]: one.get("value", "") for one in container.get("env", [])}
