"""A captured graph in the shape of `terraform show -json`, which scanners read; nothing is planned by Terraform.

Types and properties get Terraform's names; a nested object becomes a list of one, as Terraform has blocks; what
one resource takes from another becomes a reference, so that checks across resources see it.
Format: https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from stacks.local.engine_graph import UNKNOWN, Deployment, Resource

Json = Any  # JSON has no narrower type

# Modules whose name is no part of Terraform's, or another.
_MODULES = {
    "ec2": "",
    "vpc": "vpc_",
    "ec2transitgateway": "ec2_transit_gateway_",
    "bedrockmodel": "bedrock_model_",
}
_TYPES = {
    "aws:lb/loadBalancer:LoadBalancer": "aws_lb",
    "aws:rds/subnetGroup:SubnetGroup": "aws_db_subnet_group",
    "aws:s3/bucketObject:BucketObject": "aws_s3_object",
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "aws_s3_bucket_replication_configuration",
    "aws:autoscaling/attachment:Attachment": "aws_autoscaling_attachment",
    "aws:ec2/vpcEncryptionControl:VpcEncryptionControl": "aws_vpc_encryption_control",
}
# Lists that Terraform names in the singular.
_BLOCKS = {
    "rules": "rule",
    "default_actions": "default_action",
    "actions": "action",
    "conditions": "condition",
    "settings": "setting",
    "parameters": "parameter",
    "taints": "taint",
    "encryption_configurations": "encryption_configuration",
    "advanced_event_selectors": "advanced_event_selector",
    "field_selectors": "field_selector",
    "apply_server_side_encryption_by_defaults": "apply_server_side_encryption_by_default",
    "noncurrent_version_expirations": "noncurrent_version_expiration",
}
# Objects whose keys are data, not properties.
_MAPS = ("tags", "tags_all", "variables", "default_tags", "context", "string_equals")


def plan(deployments: Iterable[Deployment]) -> Mapping[str, Json]:
    """One document for all resources of AWS in `deployments`."""
    found = [one for deployment in deployments for one in deployment.resources if _is_aws(one)]
    addresses = {one.urn: address(one) for one in found}
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": [_planned(one) for one in found]}},
        "resource_changes": [_change(one) for one in found],
        "configuration": {"root_module": {"resources": [_configured(one, addresses) for one in found]}},
    }


def terraform_type(token: str) -> str:
    """aws:s3/bucketPolicy:BucketPolicy → aws_s3_bucket_policy."""
    if token in _TYPES:
        return _TYPES[token]
    module = token.partition(":")[2].partition("/")[0]
    name = snake(token.rpartition(":")[2])
    return "aws_" + _MODULES.get(module, f"{module}_") + name


def address(resource: Resource) -> str:
    """Parent's name and own name: two resources of one type may share the last part."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "-".join(resource.urn.split("::")[2:]).split("$")[-1])
    return f"{terraform_type(resource.type)}.{name}"


def snake(name: str) -> str:
    """kmsKeyId → kms_key_id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def shaped(value: Json, *, inside_map: bool = False) -> Json:
    """Names and blocks as Terraform has them; what is not known is left out by the caller."""
    if isinstance(value, dict):
        return {
            (key if inside_map else _BLOCKS.get(snake(key), snake(key))): _property(snake(key), inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [shaped(one) for one in value]
    return value


def _property(name: str, value: Json) -> Json:
    if name in _MAPS:
        return shaped(value, inside_map=True)
    return [shaped(value)] if isinstance(value, dict) else shaped(value)


def _is_aws(resource: Resource) -> bool:
    return resource.custom and resource.type.startswith("aws:")


def _values(resource: Resource) -> dict[str, Json]:
    known = {key: value for key, value in resource.inputs.items() if value != UNKNOWN}
    arns = {key: resource.outputs[key] for key in ("arn", "id") if isinstance(resource.outputs.get(key), str)}
    values: dict[str, Json] = shaped({**known, **arns})
    return values


def _planned(resource: Resource) -> Json:
    kind, _, name = address(resource).partition(".")
    return {
        "address": address(resource),
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "schema_version": 0,
        "values": _values(resource),
    }


def _change(resource: Resource) -> Json:
    planned = _planned(resource)
    values = planned.pop("values")
    return {**planned, "change": {"actions": ["create"], "before": None, "after": values, "after_unknown": {}}}


def _configured(resource: Resource, addresses: Mapping[str, str]) -> Json:
    kind, _, name = address(resource).partition(".")
    expressions = {
        _BLOCKS.get(snake(key), snake(key)): {
            "references": [part for urn in urns if urn in addresses for part in _references(addresses[urn])]
        }
        for key, urns in resource.property_dependencies.items()
        if any(urn in addresses for urn in urns)
    }
    return {
        "address": address(resource),
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_config_key": "aws",
        "expressions": expressions,
        "schema_version": 0,
    }


def _references(target: str) -> list[str]:
    return [f"{target}.id", target]
