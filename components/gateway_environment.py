"""The environment of a gateway container: the names that `services/gateway/settings.py` owns, restated here.

A contract test loads what this writes with the service's own settings, so the two cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict


class ModelOffer(TypedDict):
    """One entry of the model catalogue. `upstream_model` is a profile's ARN for Bedrock, an endpoint for SageMaker."""

    id: str
    kind: str
    backend: str
    upstream_model: str
    workload_profiles: Mapping[str, str]
    boundary: str
    context_tokens_max: int
    usd_per_million_input_tokens: str
    usd_per_million_output_tokens: str
    usd_per_million_cache_read_tokens: str | None
    usd_per_million_cache_write_tokens: str | None
    base_url: str
    guardrail_id: str
    guardrail_version: str
    takes_images: bool | None
    fallbacks: list[str] | None


@dataclass(frozen=True, slots=True)
class GatewayEnvironment:
    """What all three tasks share; only the database user differs between them."""

    environment: str
    region: str
    listen: str
    issuers: Sequence[Mapping[str, object]]
    database: str
    database_name: str
    valkey: str
    valkey_user: str
    registration_bucket: str
    registration_key_arn: str
    audit_bucket: str
    audit_signing_key_arn: str
    audit_mac_key_arn: str
    models: Sequence[ModelOffer]
    embedding_model: str
    embedding_dimensions: int
    model_authority: str
    """PEM of the private authority behind our own model servers; empty where there are none."""

    def variables(self, database_user: str) -> dict[str, str]:
        """Names and values, as a container gets them."""
        authority = {"GATEWAY_MODEL_AUTHORITY": self.model_authority} if self.model_authority else {}
        return authority | {
            "AWS_REGION": self.region,
            "GATEWAY_AUDIT_BUCKET": self.audit_bucket,
            "GATEWAY_AUDIT_MAC_KEY_ARN": self.audit_mac_key_arn,
            "GATEWAY_AUDIT_SIGNING_KEY_ARN": self.audit_signing_key_arn,
            "GATEWAY_DATABASE": self.database,
            "GATEWAY_DATABASE_NAME": self.database_name,
            "GATEWAY_DATABASE_USER": database_user,
            "GATEWAY_EMBEDDING_DIMENSIONS": str(self.embedding_dimensions),
            "GATEWAY_EMBEDDING_MODEL": self.embedding_model,
            "GATEWAY_ENVIRONMENT": self.environment,
            "GATEWAY_LISTEN": self.listen,
            "GATEWAY_MODELS": json.dumps([_said(model) for model in self.models], separators=(",", ":")),
            "GATEWAY_OIDC_ISSUERS": json.dumps(list(self.issuers), separators=(",", ":")),
            "GATEWAY_REGISTRATION_BUCKET": self.registration_bucket,
            "GATEWAY_REGISTRATION_KEY_ARN": self.registration_key_arn,
            "GATEWAY_VALKEY": self.valkey,
            "GATEWAY_VALKEY_USER": self.valkey_user,
        }


def _said(model: ModelOffer) -> dict[str, object]:
    """Without what the offer leaves open: a null in a document looks like a value that was missing."""
    return {key: value for key, value in model.items() if value is not None}
