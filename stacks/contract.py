"""What the platform program promises the programs above it. Written and read here, side by side.

Each promise is one structured output, so that it is kept or broken as a whole. Ids, ARNs, names and
certificates only, never a secret. Reading refuses another version, another environment, and a field that is
missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import pulumi

CONTRACT_VERSION = 2
PROJECT = "llm-pipelines"


class ContractError(Exception):
    """The platform of this environment does not keep the promise that this program was written for."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One output of the platform's stack. Each field is a key of it, in camelCase."""

    OUTPUT: ClassVar[str]

    environment: pulumi.Input[str]
    account_id: pulumi.Input[str]
    region: pulumi.Input[str]

    def export(self) -> None:
        """Makes the promise a stack output, with its version."""
        promised = {camel(field.name): getattr(self, field.name) for field in fields(self)}
        pulumi.export(self.OUTPUT, {"contractVersion": CONTRACT_VERSION, **promised})

    @classmethod
    def read(cls, environment: str) -> Self:
        """The promise of the platform's stack for `environment`, every field as an output."""
        reference = pulumi.StackReference(f"organization/{PROJECT}/{environment}")
        # A missing output is None here and refused by name below; `require_output` would say only KeyError.
        promised = reference.get_output(cls.OUTPUT).apply(lambda promise: cls.require_kept(promise, environment))
        return cls(**{field.name: _part(promised, camel(field.name)) for field in fields(cls)})

    @classmethod
    def require_kept(cls, promise: Mapping[str, Any] | None, environment: str) -> Mapping[str, Any]:
        """`promise` if it is of our version, of this environment and whole; a ContractError otherwise."""
        stack = f"{PROJECT}/{environment}"
        if promise is None:
            raise ContractError(f"{stack} does not promise {cls.OUTPUT}: deploy the platform with it first")
        version, found = promise.get("contractVersion"), promise.get("environment")
        if version != CONTRACT_VERSION:
            raise ContractError(
                f"contractVersion of {stack} must be {CONTRACT_VERSION} (got {version!r}): "
                "deploy the platform and this program from the same release"
            )
        if found != environment:
            raise ContractError(f"environment of {stack} must be {environment} (got {found!r})")
        missing = [camel(field.name) for field in fields(cls) if promise.get(camel(field.name)) is None]
        if missing:
            raise ContractError(f"{stack} does not promise {', '.join(missing)}")
        return promise


@dataclass(frozen=True, slots=True)
class Platform(Promise):
    """What every workload may rely on."""

    OUTPUT: ClassVar[str] = "platform"

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


@dataclass(frozen=True, slots=True)
class ModelCluster(Promise):
    """What the cluster program may rely on, where the platform hosts models of its own."""

    OUTPUT: ClassVar[str] = "modelCluster"

    cluster_name: pulumi.Input[str]
    endpoint: pulumi.Input[str]
    certificate_authority_data: pulumi.Input[str]
    """Base64 PEM: whom to expect at the endpoint."""
    deployer_role_arn: pulumi.Input[str]
    """Who administers the cluster, and so runs the cluster program."""
    role_arns: pulumi.Input[Mapping[str, str]]
    models_bucket: pulumi.Input[str]
    private_ca_arn: pulumi.Input[str]
    repository_urls: pulumi.Input[Mapping[str, str]]
    endpoint_cidrs: pulumi.Input[list[str]]
    """Where the interface endpoints of AWS services are: pods reach nothing else outside the cluster."""
    load_balancer_cidrs: pulumi.Input[list[str]]
    """Where the load balancer in front of the model servers is."""
    host_name: pulumi.Input[str]
    node_port: pulumi.Input[int]
    gpu_nodes: pulumi.Input[Mapping[str, int]]
    """Node group → how many nodes it may have at most."""
    models: pulumi.Input[list[str]]
    """The names under which the gateway asks for models of our own."""


def camel(name: str) -> str:
    """gateway_url → gatewayUrl."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _part(promised: pulumi.Output[Mapping[str, Any]], key: str) -> Any:  # Any: as the reference gives it
    return promised.apply(lambda promise: promise[key])
