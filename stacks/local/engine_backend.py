"""Where a registered resource goes: nowhere (outputs follow from the schema), or to a provider."""

from __future__ import annotations

import hashlib
import inspect
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from pulumi import _types

from stacks.local import schema
from stacks.local.engine_graph import UNKNOWN, Json
from stacks.local.engine_shapes import aws_shape, aws_structure

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_NAMED_OTHERWISE = {"aws:s3/bucket:Bucket": "bucket"}


@dataclass(frozen=True)
class Scope:
    """What an explicit provider resource settles for the resources below it."""

    region: str = REGION
    account: str = ACCOUNT
    default_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """A resource about to be created: its place in the graph and the inputs as the provider checked them."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Json]
    scope: Scope


@dataclass(frozen=True)
class Created:
    id: str
    outputs: dict[str, Json]
    modelled: bool


class Backend(Protocol):
    """What the monitor asks of a provider."""

    def configure(self, urn: str, inputs: Mapping[str, Json], scope: Scope) -> None:
        """Takes a provider resource's settings."""

    def account(self) -> str:
        """The account that calls go to; empty when there is none."""

    def models(self, token: str) -> bool:
        """True when resources of this type are really created, so that their inputs must be known."""

    def check(self, resource: Checked) -> Checked:
        """Validates inputs and adds what the provider generates."""

    def create(self, resource: Checked) -> Created: ...

    def read(self, resource: Checked, identifier: str) -> Created: ...

    def invoke(self, token: str, arguments: Mapping[str, Json], scope: Scope) -> Mapping[str, Json] | None:
        """The function's answer, or None when nobody here can give one."""


def check(resource: Checked) -> Checked:
    """Adds what the real provider's Check adds: the generated name and all tags, the provider's included."""
    token, inputs = resource.type, dict(resource.inputs)
    accepted = schema.input_shape(token).properties
    key = _NAMED_OTHERWISE.get(token, "name")
    if token.startswith("aws:") and key in accepted and key not in inputs and "namePrefix" not in inputs:
        inputs[key] = _generated_name(resource.urn, token, resource.name)
    if "tags" in accepted and "tagsAll" in schema.output_types(token) and isinstance(inputs.get("tags", {}), dict):
        inputs["tagsAll"] = {**resource.scope.default_tags, **inputs.get("tags", {})}
    return replace(resource, inputs=inputs)


def _generated_name(urn: str, token: str, name: str) -> str:
    """As the provider does, name plus seven hex digits; from the URN, so that two runs agree."""
    longest = 32 if token.split("/")[0] in ("aws:lb", "aws:alb") else 63
    return f"{name[: longest - 8]}-{hashlib.sha256(urn.encode()).hexdigest()[:7]}"


Function = Callable[[Mapping[str, Json]], Mapping[str, Json]]


class Invented:
    """No provider: ids, ARNs and every other output are invented from the schema, or unknown in a preview."""

    def __init__(self, *, preview: bool, answers: Mapping[str, Function] | None = None) -> None:
        self._preview = preview
        self._answers = answers or {}

    def configure(self, urn: str, inputs: Mapping[str, Json], scope: Scope) -> None:
        """Nothing to configure."""

    def account(self) -> str:
        return ""

    def models(self, token: str) -> bool:
        return False

    def check(self, resource: Checked) -> Checked:
        return check(resource)

    def create(self, resource: Checked) -> Created:
        if self._preview:
            return Created("", dict(resource.inputs), modelled=False)
        identifier = invented_id(resource)
        return Created(identifier, invented_outputs(resource, identifier), modelled=False)

    def read(self, resource: Checked, identifier: str) -> Created:
        return Created(identifier, {**resource.inputs, **invented_outputs(resource, identifier)}, modelled=False)

    def invoke(self, token: str, arguments: Mapping[str, Json], scope: Scope) -> Mapping[str, Json] | None:
        return self._answers[token](arguments) if token in self._answers else fact(token, scope)


def invented_id(resource: Checked) -> str:
    """Where the id is a name the program gave, that name; else a made-up one in the service's manner."""
    if resource.type == "aws:kms/key:Key":
        return str(uuid.uuid5(uuid.NAMESPACE_URL, resource.urn))
    metadata = resource.inputs.get("metadata")
    if resource.type.startswith("kubernetes:") and isinstance(metadata, dict) and metadata.get("name"):
        return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    for key in ("bucket", "name", "identifier", "clusterIdentifier"):
        given = resource.inputs.get(key)
        if isinstance(given, str) and given != UNKNOWN and "Policy" not in resource.type:
            return given
    kind = resource.type.rsplit(":", 1)[-1].lower()
    return f"{kind}-{hashlib.sha256(resource.urn.encode()).hexdigest()[:17]}"


def invented_arn(resource: Checked, identifier: str) -> str:
    service = resource.type.split(":")[1].split("/")[0]
    kind = resource.type.rsplit(":", 1)[-1]
    kind = kind[0].lower() + kind[1:]
    if resource.type == "aws:s3/bucket:Bucket":
        return f"arn:aws:s3:::{identifier}"
    region = "" if service == "iam" else resource.scope.region
    return f"arn:aws:{service}:{region}:{resource.scope.account}:{kind}/{identifier}"


def invented_outputs(resource: Checked, identifier: str) -> dict[str, Json]:
    """Inputs echoed, and a value of the right type for every output that no input gives."""
    outputs: dict[str, Json] = dict(resource.inputs)
    accepted = schema.input_shape(resource.type).properties
    computed_inputs = ("name", "region", "port", "identifier", "clusterIdentifier", "arn")
    for key, annotation in schema.output_types(resource.type).items():
        if key in outputs or (key in accepted and key not in computed_inputs):
            continue
        shaped: Json = aws_structure(resource.type, key, resource.inputs) or aws_shape(
            resource.type,
            key,
            urn=resource.urn,
            identifier=identifier,
            region=resource.scope.region,
            account=resource.scope.account,
        )
        outputs[key] = shaped or _invented(key, annotation, resource, identifier)
    return outputs


def _invented(key: str, annotation: Any, resource: Checked, identifier: str) -> Json:
    wanted = next(iter(schema.choices(annotation)), str)
    origin = typing.get_origin(wanted)
    if inspect.isclass(wanted) and _types.is_output_type(wanted):
        members = _types.output_type_types(wanted)
        return {name: _invented(name, kind, resource, identifier) for name, kind in members.items()}
    if origin is not None and issubclass(origin, Mapping):
        return {}
    if origin is not None:
        return [_invented(key, typing.get_args(wanted)[0], resource, identifier)]
    return _invented_scalar(key, wanted, resource, identifier)


def _invented_scalar(key: str, wanted: Any, resource: Checked, identifier: str) -> Json:
    if wanted is bool:
        return False
    if wanted in (int, float):
        return {"port": 5432}.get(key, 1)
    if inspect.isclass(wanted) and issubclass(wanted, Enum):
        return next(iter(wanted)).value
    if key == "region":
        return resource.scope.region
    if key.lower().endswith("arn"):
        return _invented_arn_of_part(key, resource, identifier)
    if key == "keyId" or key == "name":
        return identifier
    return resource.scope.account if key in ("ownerId", "accountId", "registryId") else f"{identifier}.{key}"


def _invented_arn_of_part(key: str, resource: Checked, identifier: str) -> str:
    """An ARN inside an output, such as the secret that a database cluster made."""
    arn, scope = invented_arn(resource, identifier), resource.scope
    shaped = aws_shape(
        resource.type, key, urn=resource.urn, identifier=identifier, region=scope.region, account=scope.account
    )
    return shaped or (arn if key == "arn" else f"{arn}/{key}")


def fact(token: str, scope: Scope) -> Mapping[str, Json] | None:
    """Functions whose answer follows from account and region alone."""
    zones = [f"{scope.region}{letter}" for letter in "abc"]
    facts: dict[str, Mapping[str, Json]] = {
        "aws:index/getCallerIdentity:getCallerIdentity": {
            "accountId": scope.account,
            "arn": f"arn:aws:iam::{scope.account}:role/deployer",
            "userId": "AROALOCAL:deployer",
            "id": scope.account,
        },
        "aws:index/getRegion:getRegion": {
            "region": scope.region,
            "name": scope.region,
            "id": scope.region,
            "description": scope.region,
            "endpoint": f"ec2.{scope.region}.amazonaws.com",
        },
        "aws:index/getPartition:getPartition": {
            "partition": "aws",
            "dnsSuffix": "amazonaws.com",
            "reverseDnsPrefix": "com.amazonaws",
            "id": "aws",
        },
        "aws:index/getAvailabilityZones:getAvailabilityZones": {
            "names": zones,
            "zoneIds": [f"{scope.region.replace('-', '')}-az{number}" for number in (1, 2, 3)],
            "groupNames": [scope.region],
            "id": scope.region,
            "region": scope.region,
        },
    }
    return facts.get(token)
