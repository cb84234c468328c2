"""Kubernetes objects as Kubernetes writes them: plain JSON with its own spelling.

Not the SDK's snake case, so that a specification reads as in the documentation and is judged by Kubernetes' own
schemas before anything is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.cluster_layout import Room

Manifest = Any  # the tests judge every manifest by Kubernetes' own schemas


def metadata(
    name: str,
    room: Room | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """`metadata` of an object; without a room it belongs to the whole cluster."""
    return {
        "name": name,
        **({"namespace": room.value} if room else {}),
        **({"labels": dict(labels)} if labels else {}),
        **({"annotations": dict(annotations)} if annotations else {}),
    }
