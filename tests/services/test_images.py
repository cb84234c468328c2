"""The images of the services around self-hosted models: pinned, unprivileged, and complete with their own group."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

SERVICES = {"model_proxy": "model-proxy", "model_weights": "model-weights", "forecast": "forecast"}
ARRIVES_WITH = {"botocore": "boto3", "prometheus_client": "prometheus-client"}  # module → package that brings it
GROUPS = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]


def imported(service: str) -> set[str]:
    """Packages that the service needs when it runs (not those for type checking only)."""
    found: set[str] = set()
    for path in Path("services", service).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = {id(inner) for node in ast.walk(tree) if _types_only(node) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if id(node) not in for_types:
                found |= {name.partition(".")[0] for name in _names(node)}
    own = {"services", *sys.stdlib_module_names}
    return {ARRIVES_WITH.get(name, name) for name in found - own}


def _types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def installed(group: str) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in GROUPS[group]}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_image_installs_exactly_what_its_service_imports(service: str) -> None:
    assert imported(service) == installed(SERVICES[service])


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_image_is_pinned_and_runs_as_nobody_in_particular(service: str) -> None:
    text = Path("services", service, "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 3
    assert all("@${" in base for base in bases)
    assert f"uv sync --locked --no-default-groups --group {SERVICES[service]} " in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    assert f'ENTRYPOINT ["{SERVICES[service]}"]' in text
    context = Path("services", service, "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert context[1] == "*"
    assert f"!services/{service}/**" in context


def test_console_scripts_are_the_images_entry_points() -> None:
    scripts = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for service, command in SERVICES.items():
        assert scripts[command] == f"services.{service}.command:main"
