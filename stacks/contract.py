"""Platform: what the platform program promises the programs above it. Written and read here, side by side.

One structured output, so that a promise is kept or broken as a whole. Ids, ARNs and names only, never a
secret. `Platform.read` refuses another version of it, another environment, and a field that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

CONTRACT_VERSION = 1
OUTPUT = "platform"
PROJECT = "llm-pipelines"


class ContractError(Exception):
    """The platform of this environment does not keep the promise that this program was written for."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Each field is a key of the output, in camelCase."""

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
        """Makes the promise a stack output, with its version."""
        promised = {camel(field.name): getattr(self, field.name) for field in fields(self)}
        pulumi.export(OUTPUT, {"contractVersion": CONTRACT_VERSION, **promised})

    @classmethod
    def read(cls, environment: str) -> Platform:
        """The promise of the platform's stack for `environment`, every field as an output."""
        reference = pulumi.StackReference(f"organization/{PROJECT}/{environment}")
        promised = reference.require_output(OUTPUT).apply(lambda promise: require_kept(promise, environment))
        return cls(**{field.name: _part(promised, camel(field.name)) for field in fields(cls)})


def require_kept(promise: Mapping[str, Any], environment: str) -> Mapping[str, Any]:
    """`promise` if it is of our version, of this environment and whole; a ContractError otherwise."""
    stack = f"{PROJECT}/{environment}"
    version, found = promise.get("contractVersion"), promise.get("environment")
    if version != CONTRACT_VERSION:
        raise ContractError(
            f"contractVersion of {stack} must be {CONTRACT_VERSION} (got {version!r}): "
            "deploy the platform and this program from the same release"
        )
    if found != environment:
        raise ContractError(f"environment of {stack} must be {environment} (got {found!r})")
    missing = [camel(field.name) for field in fields(Platform) if promise.get(camel(field.name)) is None]
    if missing:
        raise ContractError(f"{stack} does not promise {', '.join(missing)}")
    return promise


def camel(name: str) -> str:
    """gateway_url → gatewayUrl."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _part(promised: pulumi.Output[Mapping[str, Any]], key: str) -> Any:  # Any: as the reference gives it
    return promised.apply(lambda promise: promise[key])
