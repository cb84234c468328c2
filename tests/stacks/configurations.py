"""The configuration of every stack as its file has it, and small changes to it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PLATFORM = REPOSITORY / "stacks" / "platform"
WORKLOAD = REPOSITORY / "stacks" / "workloads" / "document_assistant"
ORGANIZATION = REPOSITORY / "stacks" / "organization"
CLUSTER = REPOSITORY / "stacks" / "cluster"
ENVIRONMENTS = ("local", "dev", "staging", "prod")

Values = dict[str, Any]  # Any: configuration before it is judged


@functools.cache
def _read(folder: Path, stack: str, key: str) -> Values:
    text = (folder / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    values: Values = yaml.safe_load(text)["config"][key]
    return values


def environment_values(stack: str) -> Values:
    return copy.deepcopy(_read(PLATFORM, stack, "llm-pipelines:environment"))


def workload_values(stack: str) -> Values:
    return copy.deepcopy(_read(WORKLOAD, stack, "llm-pipelines-document-assistant:workload"))


def cluster_values(stack: str) -> Values:
    return copy.deepcopy(_read(CLUSTER, stack, "llm-pipelines-cluster:cluster"))


def governance_values() -> Values:
    return copy.deepcopy(_read(ORGANIZATION, "organization", "llm-pipelines-organization:governance"))


def changed(values: Values, changes: Mapping[str, Any]) -> Values:
    """`values` with the fields named by dotted paths set; a list index is a number in the path."""
    result = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = result
        for step in parents:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return result
