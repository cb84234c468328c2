"""The promise between programs: whole, of one version, of the right environment; or refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from stacks.contract import CONTRACT_VERSION, ContractError, ModelCluster, Platform, camel


def _promise(**changes: Any) -> dict[str, Any]:  # Any: outputs of a stack
    promised = {camel(field.name): f"some {field.name}" for field in fields(Platform)}
    return {"contractVersion": CONTRACT_VERSION, **promised, "environment": "dev", **changes}


def test_graph_29_stack_contract_version_required_and_then_accepted() -> None:
    assert Platform.require_kept(_promise(), "dev")["vpcId"] == "some vpc_id"


@pytest.mark.parametrize("version", [0, CONTRACT_VERSION + 1, "1", None])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(ContractError, match=r"contractVersion of llm-pipelines/dev must be 2"):
        Platform.require_kept(_promise(contractVersion=version), "dev")


def test_another_environment_is_refused() -> None:
    with pytest.raises(ContractError, match="environment of llm-pipelines/prod must be prod"):
        Platform.require_kept(_promise(), "prod")


@pytest.mark.parametrize("field", [field.name for field in fields(Platform) if field.name != "environment"])
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    promise = _promise()
    del promise[camel(field)]

    with pytest.raises(ContractError, match=f"does not promise {camel(field)}"):
        Platform.require_kept(promise, "dev")


def test_a_platform_without_a_model_cluster_says_so() -> None:
    with pytest.raises(ContractError, match="llm-pipelines/dev does not promise modelCluster: deploy the platform"):
        ModelCluster.require_kept(None, "dev")


def test_no_secret_has_a_place_in_the_promise() -> None:
    names = " ".join(field.name for kind in (Platform, ModelCluster) for field in fields(kind))

    assert not any(word in names for word in ("secret", "password", "token", "private_key"))
