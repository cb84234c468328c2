"""A program that is configured wrongly, or reads a broken promise, ends before it has made anything."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from stacks.local import engine
from tests.contracts.programs import captured, only
from tests.stacks.configurations import PLATFORM, WORKLOAD, changed, environment_values, workload_values

pytestmark = [
    pytest.mark.xdist_group("programs"),  # one worker captures each graph once
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
ENVIRONMENT, WORKLOAD_KEY = "llm-pipelines:environment", "llm-pipelines-document-assistant:workload"


def _read_by_workload(
    stack: str, promise: Mapping[str, Any], config: Mapping[str, str] | None = None
) -> engine.Deployment:
    references = {f"organization/llm-pipelines/{stack}": {"platform": promise}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run(WORKLOAD, stack, references=references, config=config or {})


def _promise(stack: str, **changes: Any) -> dict[str, Any]:  # Any: outputs of a stack
    return {**captured("platform", stack).outputs["platform"], **changes}


def test_the_workload_accepts_the_promise_as_it_is() -> None:
    assert only(_read_by_workload("dev", _promise("dev")), "Ciphertext")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contractVersion": 1}, "contractVersion of llm-pipelines/dev must be 2"),
        ({"environment": "prod"}, "environment of llm-pipelines/dev must be dev"),
        ({"registrationBucket": None}, "does not promise registrationBucket"),
        ({"dataClasses": ["public"]}, "data_class: internal is not held in dev"),
        ({"modelBoundaries": {"nova-lite": "public_api"}}, "nova-lite is not offered at boundary private_endpoint"),
    ],
)
def test_the_workload_refuses_a_broken_promise(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(engine.EngineError) as refusal:
        _read_by_workload("dev", _promise("dev", **changes))

    assert said in str(refusal.value)


def test_a_promise_that_is_not_there_is_refused() -> None:
    with pytest.raises(engine.EngineError, match="platform"):
        engine.run(WORKLOAD, "dev", references={"organization/llm-pipelines/dev": {}})


def test_the_platform_refuses_the_values_of_another_environment() -> None:
    config = {ENVIRONMENT: json.dumps(environment_values("dev"))}

    with pytest.raises(engine.EngineError, match=r"environment.name must be the stack's name prod \(got 'dev'\)"):
        engine.run(PLATFORM, "prod", config=config)


def test_the_platform_refuses_one_misspelt_key_before_any_resource() -> None:
    config = {ENVIRONMENT: json.dumps(changed(environment_values("prod"), {"network.zoness": []}))}

    with pytest.raises(engine.EngineError, match=r"network.zoness: unknown field \(allowed: cidr, client_cidrs"):
        engine.run(PLATFORM, "prod", config=config)


def test_the_workload_refuses_a_boundary_looser_than_its_class() -> None:
    config = {WORKLOAD_KEY: json.dumps(changed(workload_values("prod"), {"boundary": "public_api"}))}

    with pytest.raises(engine.EngineError, match="public_api is looser than data class confidential allows"):
        _read_by_workload("prod", _promise("prod"), config)


def test_a_model_server_of_ones_own_reaches_the_gateways_catalogue_in_local_only() -> None:
    url = "http://127.0.0.1:9999/v1"
    deployment = engine.run(PLATFORM, "local", config={"llm-pipelines:modelUrl": url})
    container = json.loads(only(deployment, "TaskDefinition", "gateway-task").inputs["containerDefinitions"])[0]
    models = next(entry["value"] for entry in container["environment"] if entry["name"] == "GATEWAY_MODELS")

    assert {model["id"]: model["base_url"] for model in json.loads(models)}["local"] == url
    with pytest.raises(engine.EngineError, match="accepted in environment local only"):
        engine.run(PLATFORM, "prod", config={"llm-pipelines:modelUrl": url})
