"""A model whose price nobody said cannot be called: the gateway does not start with it."""

from __future__ import annotations

import json

import pytest

from services.gateway.settings import Settings, SettingsError

ARN = "arn:aws:kms:eu-west-1:123456789012:key/1"
MODEL = {
    "id": "x",
    "kind": "chat",
    "backend": "openai",
    "upstream_model": "x",
    "base_url": "http://127.0.0.1:1/v1",
    "boundary": "self_hosted",
    "context_tokens_max": 1000,
    "usd_per_million_input_tokens": "1",
    "usd_per_million_output_tokens": "1",
}
EMBEDDING = {**MODEL, "id": "embed", "kind": "embedding"}


def start(*models: dict[str, object]) -> Settings:
    return Settings.from_environment(
        {
            "AWS_REGION": "eu-west-1",
            "GATEWAY_AUDIT_BUCKET": "evidence",
            "GATEWAY_AUDIT_MAC_KEY_ARN": ARN,
            "GATEWAY_AUDIT_SIGNING_KEY_ARN": ARN,
            "GATEWAY_DATABASE": "127.0.0.1:5432",
            "GATEWAY_DATABASE_NAME": "llm",
            "GATEWAY_DATABASE_USER": "gateway",
            "GATEWAY_EMBEDDING_DIMENSIONS": "384",
            "GATEWAY_EMBEDDING_MODEL": "embed",
            "GATEWAY_ENVIRONMENT": "local",
            "GATEWAY_LISTEN": "127.0.0.1:8080",
            "GATEWAY_MODELS": json.dumps(models),
            "GATEWAY_OIDC_ISSUERS": '[{"issuer":"https://issuer.example.com","audience":"llm","algorithms":["RS256"]}]',
            "GATEWAY_REGISTRATION_BUCKET": "registrations",
            "GATEWAY_REGISTRATION_KEY_ARN": ARN,
            "GATEWAY_VALKEY": "127.0.0.1:6379",
            "GATEWAY_VALKEY_USER": "gateway",
        }
    )


@pytest.mark.parametrize("price", ["usd_per_million_input_tokens", "usd_per_million_output_tokens"])
@pytest.mark.parametrize("said", [None, "", "NaN", "free", "-1"])
def test_a_model_without_a_price_is_no_start(price: str, said: str | None) -> None:
    model = {name: value for name, value in MODEL.items() if name != price}
    with pytest.raises(SettingsError, match=price):
        start(EMBEDDING, model if said is None else {**model, price: said})


def test_the_same_catalogue_with_prices_is_accepted() -> None:
    assert {model.id for model in start(EMBEDDING, MODEL).models} == {"embed", "x"}
