"""What a run leaves behind: resources, findings, outputs; and how it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from pulumi.runtime import rpc

# Pulumi's own mark of a value that is not known yet, so that inputs stay plain JSON.
UNKNOWN: Final[str] = rpc.UNKNOWN

Json = Any  # a plain JSON value: Pulumi properties enter here


class EngineError(Exception):
    """The program is refused: one sentence, with the file and line that caused it where one did."""


@dataclass(frozen=True)
class Finding:
    """What a policy pack said. `level` is advisory, mandatory, unknown (it could not be judged) or exempted."""

    pack: str
    policy: str
    level: str
    urn: str
    message: str


@dataclass(frozen=True)
class Resource:
    """One registered resource: inputs as the program gave them, outputs as it got them back."""

    urn: str
    type: str
    name: str
    custom: bool
    inputs: dict[str, Json]
    outputs: dict[str, Json]
    parent: str
    provider: str
    dependencies: tuple[str, ...]
    property_dependencies: dict[str, tuple[str, ...]]
    protect: bool
    retain_on_delete: bool
    source: str
    modelled: bool
    id: str = ""
    secrets: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    region: str = ""
    deleted_with: str = ""
    error_hooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """One run of one program for one stack."""

    project: str
    stack: str
    preview: bool
    resources: tuple[Resource, ...]
    outputs: dict[str, Json]
    findings: tuple[Finding, ...]
    messages: tuple[str, ...]

    @property
    def rejected(self) -> bool:
        """True when a pack forbids this deployment."""
        return any(finding.level == "mandatory" for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many resources were created and read back, how many only recorded, how many are components."""
        return dict(Counter(_tier(resource) for resource in self.resources))

    def of_type(self, token: str) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if resource.type == token)

    def named(self, token: str, name: str) -> Resource:
        """The one resource of this type and name."""
        for resource in self.resources:
            if (resource.type, resource.name) == (token, name):
                return resource
        known = ", ".join(sorted(resource.name for resource in self.of_type(token))) or "none"
        raise EngineError(f"no {token} is named {name!r} (there are: {known})")


def _tier(resource: Resource) -> str:
    if not resource.custom or resource.type.startswith("pulumi:"):
        return "components and providers"
    return "modelled" if resource.modelled else "recorded only"
