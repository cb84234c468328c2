"""A captured deployment with one hole in it: what a check must find."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stacks.local import engine

Inputs = dict[str, Any]  # Any: a resource's inputs, as JSON
Plant = Callable[[Inputs], object]


def with_hole(deployment: engine.Deployment, kind: str, plant: Plant, name: str = "") -> engine.Deployment:
    """The same deployment with one change to every resource of a kind (and name)."""

    def planted(resource: engine.Resource) -> engine.Resource:
        if not _is(resource, kind, name):
            return resource
        inputs = copy.deepcopy(resource.inputs)
        plant(inputs)
        return replace(resource, inputs=inputs)

    return replace(deployment, resources=tuple(planted(resource) for resource in deployment.resources))


def without(deployment: engine.Deployment, kind: str, name: str = "") -> engine.Deployment:
    """The same deployment without the resources of a kind (and name)."""
    return replace(deployment, resources=tuple(one for one in deployment.resources if not _is(one, kind, name)))


def changed(deployment: engine.Deployment, kind: str, name: str = "", **fields: Any) -> engine.Deployment:
    """The same deployment with other facts about the resources of a kind: `protect`, `dependencies`."""
    resources = [replace(one, **fields) if _is(one, kind, name) else one for one in deployment.resources]
    return replace(deployment, resources=tuple(resources))


def _is(resource: engine.Resource, kind: str, name: str) -> bool:
    """Resources of AWS; our own components may be called the same."""
    return resource.custom and resource.type.rpartition(":")[2] == kind and name in ("", resource.name)
