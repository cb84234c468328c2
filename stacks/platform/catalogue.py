"""Catalogue: every model that the gateway may call, as GATEWAY_MODELS spells it."""

from __future__ import annotations

import pulumi

from components.gateway_environment import ModelOffer
from stacks.configuration import ConfigurationError
from stacks.environment import BedrockModel, Environment, Model, OpenAIModel, SageMakerModel
from stacks.platform.models import Models


def offers(environment: Environment, models: Models) -> list[pulumi.Output[ModelOffer]]:
    return [_offer(model, models) for model in environment.models]


def _offer(model: Model, models: Models) -> pulumi.Output[ModelOffer]:
    """One entry of the catalogue; a Bedrock chat model comes with the guardrail, never without."""
    if isinstance(model, SageMakerModel):
        raise ConfigurationError(f"models.{model.id}.backend: the gateway has no way to sagemaker models yet")
    if isinstance(model, OpenAIModel):
        return pulumi.Output.from_input(_written(model, model.upstream_model, base_url=model.base_url))
    guarded = model.kind == "chat"
    return pulumi.Output.all(
        models.access.profile_arns[model.id],
        models.guardrail.guardrail_id if guarded else "",
        models.guardrail.version if guarded else "",
    ).apply(lambda known: _written(model, known[0], guardrail_id=known[1], guardrail_version=known[2]))


def _written(
    model: OpenAIModel | BedrockModel,
    upstream_model: str,
    *,
    base_url: str = "",
    guardrail_id: str = "",
    guardrail_version: str = "",
) -> ModelOffer:
    return {
        "id": model.id,
        "kind": model.kind,
        "backend": model.backend,
        "upstream_model": upstream_model,
        "boundary": model.boundary.value,
        "context_tokens_max": model.context_tokens_max,
        "usd_per_million_input_tokens": model.usd_per_million_input_tokens,
        "usd_per_million_output_tokens": model.usd_per_million_output_tokens,
        "base_url": base_url,
        "guardrail_id": guardrail_id,
        "guardrail_version": guardrail_version,
    }
