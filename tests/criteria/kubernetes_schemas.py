"""Judges objects as an API server would: Kubernetes' own schemas, and those of custom resource definitions.

Both come from packages. The definition of the private authority's issuer is in none; its two fields are written
down here, after https://github.com/cert-manager/aws-privateca-issuer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import kubernetes_validate
from pydantic import BaseModel, ConfigDict, ValidationError

from components.kubernetes_versions import PINNED

Manifest = Any  # Kubernetes JSON


class _IssuerSpecification(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arn: str
    region: str


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class _Issuer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    apiVersion: str  # noqa: N815 - Kubernetes spells it so
    kind: str
    metadata: _Metadata
    spec: _IssuerSpecification


@functools.cache
def _custom_resources() -> Mapping[tuple[str, str], type[BaseModel]]:
    """By version and kind. Imported at the first question: 2,700 models take half a second of every collection."""
    from cloudcoil.models.cert_manager.v1 import Certificate
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    return {
        ("cert-manager.io/v1", "Certificate"): Certificate,
        ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
        ("awspca.cert-manager.io/v1beta1", "AWSPCAClusterIssuer"): _Issuer,
    }


def problems(manifest: Manifest) -> list[str]:
    """Why the API server would refuse the object; empty when it would not."""
    model = _custom_resources().get((manifest["apiVersion"], manifest["kind"]))
    return _custom(model, manifest) if model else _built_in(manifest)


def _built_in(manifest: Manifest) -> list[str]:
    try:
        kubernetes_validate.validate(manifest, PINNED.version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def _custom(model: type[BaseModel], manifest: Manifest) -> list[str]:
    try:
        read = model.model_validate(manifest)
    except ValidationError as error:
        return [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()]
    kept = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # Fields that the definition does not know are pruned by the API server without a word.
    return [f"{path}: unknown field" for path in _lost(manifest, kept, "")]


def _lost(given: Manifest, kept: Manifest, path: str) -> list[str]:
    if isinstance(given, dict):
        inner = [(f"{path}.{key}".lstrip("."), value, kept.get(key)) for key, value in given.items()]
        gone = [place for place, _, left in inner if left is None]
        return gone + [lost for place, value, left in inner if left is not None for lost in _lost(value, left, place)]
    if isinstance(given, list):
        return [lost for at, value in enumerate(given) for lost in _lost(value, kept[at], f"{path}[{at}]")]
    return []
