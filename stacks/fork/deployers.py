"""Deployers: the line in each platform's configuration by which it knows who may register the new workload.

The only change outside the fork's own files, and the platform team's to review: without it the key and the
bucket of registrations refuse the workload.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from stacks.configuration import ConfigurationError
from stacks.environment import Environment

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


def platform_file(root: Path, environment: str) -> Path:
    return root / "stacks" / "platform" / f"Pulumi.{environment}.yaml"


def _environment(text: str) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(text)["config"]["llm-pipelines:environment"]
    return values


def _deployers(text: str) -> dict[str, str]:
    deployers = _environment(text).get("workload_deployers")
    return dict(deployers) if isinstance(deployers, dict) else {}
