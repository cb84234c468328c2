"""Platform: what the platform program promises the programs above it. Written and read here, side by side.

Ids, ARNs and names only, never a secret. A program reads the promise with `Platform.read`, which refuses
another version of it and every output that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

CONTRACT_VERSION = 1
PROJECT = "llm-pipelines"


class ContractError(Exception):
    """The platform of this environment does not keep the promise that this program was written for."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One field, one stack output of the same name in camelCase."""

    environment: pulumi.Input[str]
    account_id: pulumi.Input[str]
    region: pulumi.Input[str]
    data_classes: pulumi.Input[list[str]]
    model_boundaries: pulumi.Input[Mapping[str, str]]
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Mapping[str, list[str]]]
    gateway_url: pulumi.Input[str]
    gateway_image_digest: pulumi.Input[str]
    gateway_role_arn: pulumi.Input[str]
    ingest_role_arn: pulumi.Input[str]
    task_definitions: pulumi.Input[Mapping[str, str]]
    cluster_arn: pulumi.Input[str]
    registration_bucket: pulumi.Input[str]
    registration_key_arn: pulumi.Input[str]
    log_archive_bucket: pulumi.Input[str]
    audit_signing_key_arn: pulumi.Input[str]

    def export(self) -> None:
        """Makes every field a stack output, with the version of the promise."""
        pulumi.export("contractVersion", CONTRACT_VERSION)
        for field in fields(self):
            pulumi.export(camel(field.name), getattr(self, field.name))

    @classmethod
    def read(cls, environment: str) -> Platform:
        """The promise of the platform's stack for `environment`, every field as an output."""
        reference = pulumi.StackReference(f"organization/{PROJECT}/{environment}")
        version = reference.require_output("contractVersion")
        kept = pulumi.Output.all(version, reference.require_output("environment")).apply(
            lambda known: require_version(known[0], known[1], environment)
        )
        return cls(**{field.name: _after(kept, reference.require_output(camel(field.name))) for field in fields(cls)})


def require_version(version: object, found: object, environment: str) -> bool:
    """True, or a ContractError that says which version and which environment were expected."""
    if version != CONTRACT_VERSION:
        raise ContractError(
            f"contractVersion of {PROJECT}/{environment} must be {CONTRACT_VERSION} (got {version!r}): "
            "deploy the platform and this program from the same release"
        )
    if found != environment:
        raise ContractError(f"environment of {PROJECT}/{environment} must be {environment} (got {found!r})")
    return True


def camel(name: str) -> str:
    """gateway_url → gatewayUrl."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _after(kept: pulumi.Output[bool], value: pulumi.Output[Any]) -> Any:  # Any: as the reference gives it
    """`value`, once the promise is known to be kept."""
    return pulumi.Output.all(kept, value).apply(lambda known: known[1])
