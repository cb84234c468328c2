"""Deployers: the lines by which the platform and the organization know the role that deploys the new workload.

The only changes outside the fork's own files, and the platform and security teams' to review: without the one
the key and the bucket of registrations refuse the workload, without the other the organization's policies do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.governance import Governance

BLOCK = "    workload_deployers:\n"


def with_deployer(text: str, workload: str, role: str, file: str) -> str:
    """`text` of a Pulumi.<environment>.yaml with one more deployer; the rest keeps every byte."""
    if workload in _deployers(text):
        return text
    before, block, after = text.partition(BLOCK)
    if not block:
        raise ConfigurationError(f"{file}: has no block workload_deployers in which the new workload could be named")
    changed = f"{before}{block}      {workload}: {role}\n{after}"
    if _deployers(changed) != {**_deployers(text), workload: role}:
        raise ConfigurationError(f"{file}: workload_deployers must be a block of one line a workload")
    Environment.load(_environment(changed))
    return changed


def with_governed_deployer(text: str, environment: str, role: str, file: str) -> str:
    """`text` of Pulumi.organization.yaml with one more deployer of an environment; the rest keeps every byte."""
    if role in _governed(text, environment):
        return text
    pattern = rf"(\n      {environment}:\n(?:        .*\n)*?        deployer_roles: \[[^\]\n]*)\]"
    changed, found = re.subn(pattern, rf"\1, {role}]", text, count=1)
    if not found or _governed(changed, environment) != [*_governed(text, environment), role]:
        raise ConfigurationError(f"{file}: environments.{environment}.deployer_roles must be a list on one line")
    Governance.load(_governance(changed))
    return changed


def organization_file(root: Path) -> Path:
    return root / "stacks" / "organization" / "Pulumi.organization.yaml"


def platform_file(root: Path, environment: str) -> Path:
    return root / "stacks" / "platform" / f"Pulumi.{environment}.yaml"


def _environment(text: str) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(text)["config"]["llm-pipelines:environment"]
    return values


def _deployers(text: str) -> dict[str, str]:
    deployers = _environment(text).get("workload_deployers")
    return dict(deployers) if isinstance(deployers, dict) else {}


def _governance(text: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text)["config"]["llm-pipelines-organization:governance"]
    return values


def _governed(text: str, environment: str) -> list[str]:
    return list(_governance(text)["environments"][environment]["deployer_roles"])
