"""Catalogue: every model that the gateway may call, as GATEWAY_MODELS spells it."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.gateway_environment import ModelOffer
from stacks.environment import BedrockModel, Environment, Model, OpenAIModel, SageMakerModel
from stacks.platform.models import Models


def offers(environment: Environment, models: Models) -> list[pulumi.Output[ModelOffer]]:
    return [_offer(model, models) for model in environment.models]


def _offer(model: Model, models: Models) -> pulumi.Output[ModelOffer]:
    if isinstance(model, OpenAIModel):
        return pulumi.Output.from_input(_written(model, model.upstream_model, base_url=model.base_url))
    if isinstance(model, SageMakerModel):
        return models.managed.endpoint_names[model.id].apply(lambda name: _written(model, name))
    return _of_bedrock(model, models)


def _of_bedrock(model: BedrockModel, models: Models) -> pulumi.Output[ModelOffer]:
    """A chat model comes with the guardrail, never without, and with each workload's own profile."""
    guarded = model.kind == "chat"
    return pulumi.Output.all(
        profile=models.access.profile_arns[model.id],
        workload_profiles=models.access.workload_profile_arns.get(model.id, {}),
        guardrail_id=models.guardrail.guardrail_id if guarded else "",
        guardrail_version=models.guardrail.version if guarded else "",
    ).apply(
        lambda known: _written(
            model,
            known["profile"],
            workload_profiles=known["workload_profiles"],
            guardrail_id=known["guardrail_id"],
            guardrail_version=known["guardrail_version"],
        )
    )


def _written(
    model: Model,
    upstream_model: str,
    *,
    base_url: str = "",
    workload_profiles: Mapping[str, str] | None = None,
    guardrail_id: str = "",
    guardrail_version: str = "",
) -> ModelOffer:
    cache_read = model.usd_per_million_cache_read_tokens if isinstance(model, BedrockModel) else None
    cache_write = model.usd_per_million_cache_write_tokens if isinstance(model, BedrockModel) else None
    return {
        "id": model.id,
        "kind": model.kind,
        "backend": model.backend,
        "upstream_model": upstream_model,
        "workload_profiles": dict(workload_profiles or {}),
        "boundary": model.boundary.value,
        "context_tokens_max": model.context_tokens_max,
        "usd_per_million_input_tokens": model.usd_per_million_input_tokens,
        "usd_per_million_output_tokens": model.usd_per_million_output_tokens,
        "usd_per_million_cache_read_tokens": cache_read,
        "usd_per_million_cache_write_tokens": cache_write,
        "base_url": base_url,
        "guardrail_id": guardrail_id,
        "guardrail_version": guardrail_version,
        "takes_images": model.takes_images or None,
        "fallbacks": list(model.fallbacks) or None,
    }
