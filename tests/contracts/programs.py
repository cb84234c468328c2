"""Every program in every environment, run once by the local engine with all ids known, and as a preview."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator
from typing import Any

from stacks.local import engine
from tests.stacks.configurations import CLUSTER, ENVIRONMENTS, ORGANIZATION, PLATFORM, WORKLOAD

PROGRAMS = {"platform": PLATFORM, "document_assistant": WORKLOAD}
TARGETS = [(program, stack) for program in PROGRAMS for stack in ENVIRONMENTS]
# Around the environments, not in one: a single stack.
AROUND = {"organization": ORGANIZATION}
# Inside the cluster, where an environment has one.
INSIDE = {"cluster": CLUSTER}
CLUSTERS = ("staging", "prod")

# Keys of inputs that hold JSON documents.
DOCUMENTS = ("policy", "assumeRolePolicy", "containerDefinitions", "redrivePolicy")


@functools.cache
def captured(program: str, stack: str, *, preview: bool = False) -> engine.Deployment:
    """The graph of one program and environment. A workload reads the deployed platform of its environment."""
    references = {}
    if program not in ("platform", *AROUND):
        references[f"organization/llm-pipelines/{stack}"] = captured("platform", stack).outputs
    with warnings.catch_warnings():
        # The SDK warns of its own older resources while its modules are loaded.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run({**PROGRAMS, **AROUND, **INSIDE}[program], stack, preview=preview, references=references)


def of_type(deployment: engine.Deployment, kind: str) -> list[engine.Resource]:
    """Resources by the last part of their type: `Subnet`, `VpcEndpoint`."""
    return [resource for resource in deployment.resources if resource.type.rpartition(":")[2] == kind]


def only(deployment: engine.Deployment, kind: str, name: str = "") -> engine.Resource:
    """The one resource of a type (and name)."""
    found = [resource for resource in of_type(deployment, kind) if not name or resource.name == name]
    assert len(found) == 1, f"{kind} {name}: {[resource.name for resource in found]}"
    return found[0]


def documents(deployment: engine.Deployment) -> Iterator[tuple[engine.Resource, str, Any]]:  # Any: JSON
    """Every JSON document in the inputs that is known: resource, key, content."""
    for resource in deployment.resources:
        for key in DOCUMENTS:
            text = resource.inputs.get(key)
            if isinstance(text, str) and text != engine.UNKNOWN:
                yield resource, key, json.loads(text)


def statements(deployment: engine.Deployment) -> Iterator[tuple[engine.Resource, dict[str, Any]]]:
    """Every statement of every policy document."""
    for resource, _, content in documents(deployment):
        if isinstance(content, dict) and "Statement" in content:
            for statement in content["Statement"]:
                yield resource, statement
