"""The environment that infrastructure writes is the environment that the service reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.gateway.settings import Settings, SettingsError
from tests.contracts.programs import captured, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
TASKS = {"gateway": "gateway", "gateway-ingest": "gateway_ingest", "gateway-migrate": "gateway_owner"}


def _variables(stack: str, task: str) -> dict[str, str]:
    definition = only(captured("platform", stack), "TaskDefinition", f"{task}-task")
    container = json.loads(definition.inputs["containerDefinitions"])[0]
    return {entry["name"]: entry["value"] for entry in container["environment"]}


@pytest.mark.parametrize("stack", ENVIRONMENTS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_starts_with_the_settings_it_is_given(stack: str, task: str) -> None:
    settings = Settings.from_environment(_variables(stack, task))

    assert settings.environment == stack
    assert settings.database_user == TASKS[task]
    assert settings.listen.loopback is (stack == "local")


@pytest.mark.parametrize("name", sorted(_variables("prod", "gateway")))
def test_no_variable_is_superfluous(name: str) -> None:
    variables = _variables("prod", "gateway")
    del variables[name]

    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(variables)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_only_the_migration_gets_a_password_and_only_as_a_secret(stack: str) -> None:
    for task in TASKS:
        definition = only(captured("platform", stack), "TaskDefinition", f"{task}-task")
        container = json.loads(definition.inputs["containerDefinitions"])[0]
        names = [secret["name"] for secret in container["secrets"]]

        assert names == (["GATEWAY_DATABASE_PASSWORD"] if task == "gateway-migrate" else [])
        assert not any("PASSWORD" in variable["name"] for variable in container["environment"])


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_container_cannot_write_to_its_root_nor_be_entered(stack: str) -> None:
    for task in TASKS:
        definition = only(captured("platform", stack), "TaskDefinition", f"{task}-task")
        container = json.loads(definition.inputs["containerDefinitions"])[0]

        assert container["readonlyRootFilesystem"] is True
        assert container["user"] not in ("", "0", "root", "0:0")
        assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]
        assert "@sha256:" in container["image"]
    for service in ("gateway", "gateway-ingest"):
        assert only(captured("platform", stack), "Service", service).inputs["enableExecuteCommand"] is False


def test_the_container_runs_as_the_user_that_the_image_makes() -> None:
    dockerfile = Path(__file__).resolve().parents[2] / "services" / "gateway" / "Dockerfile"
    definition = only(captured("platform", "prod"), "TaskDefinition", "gateway-task")
    user = json.loads(definition.inputs["containerDefinitions"])[0]["user"]

    assert f"USER {user}" in dockerfile.read_text(encoding="utf-8").splitlines()
