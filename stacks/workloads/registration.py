"""The registration document, version 1: a workload's wishes and resources as the gateway reads them.

The gateway refuses an unknown field, a signature that does not hold, a template whose bytes do not match its
digest, and any value looser than the data class allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.workload_registration import canonical, digest, template_key
from stacks.configuration import ConfigurationError
from stacks.workloads.template import read_template
from stacks.workloads.workload import Role, Workload

VERSION = 1


@dataclass(frozen=True, slots=True)
class WorkloadFiles:
    """What the workload's folder adds to its configuration: template texts and tool schemas."""

    templates: Mapping[str, str]
    tools: Mapping[str, Mapping[str, object]]

    @classmethod
    def read(cls, folder: Path, workload: Workload) -> WorkloadFiles:
        """Reads and checks every file that a role names."""
        roles = workload.roles.values()
        templates = {role.template: read_template(folder, role.template)[1] for role in roles}
        tools = {tool: read_tool(folder / "tools", tool) for role in roles for tool in role.tools}
        return cls(templates, tools)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What exists only once it is deployed."""

    key_arn: str
    bucket: str
    queue_url: str
    dead_letter_queue_url: str
    tenant_key_arns: Mapping[str, str] = field(default_factory=dict)


def read_tool(folder: Path, name: str) -> Mapping[str, object]:
    """The JSON schema of a tool's arguments: an object that allows nothing beyond what it lists."""
    path = folder / f"{name}.json"
    if not path.is_file():
        found = ", ".join(sorted(file.stem for file in folder.glob("*.json"))) or "none"
        raise ConfigurationError(f"tools: there is no {path.name} (allowed: {found})")
    schema = json.loads(path.read_text(encoding="utf-8"))
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        raise ConfigurationError(f'{path.name}: must have "type": "object" and "additionalProperties": false')
    return dict(schema)


def registration_document(workload: Workload, files: WorkloadFiles, deployed: Deployed) -> str:
    """The canonical text that is signed."""
    return canonical(
        {
            "version": VERSION,
            "workload": workload.name,
            "environment": workload.environment.value,
            "data_class": workload.data_class.value,
            "boundary": workload.boundary.value,
            "claims": {"workload": workload.name},
            "tenants": list(workload.tenants),
            "key_arn": deployed.key_arn,
            **({"tenant_key_arns": dict(deployed.tenant_key_arns)} if deployed.tenant_key_arns else {}),
            "documents": {
                "bucket": deployed.bucket,
                "queue_url": deployed.queue_url,
                "dead_letter_queue_url": deployed.dead_letter_queue_url,
            },
            "roles": {name: _role(workload.name, role, files) for name, role in workload.roles.items()},
            **_later_fields(workload),
        }
    )


def _later_fields(workload: Workload) -> dict[str, object]:
    """What version 1 did not have at first: written only where it says something, so that older gateways read on."""
    limits = workload.limits.model_dump(exclude_none=True)
    return {
        **({"limits": limits} if limits else {}),
        **({"serial": workload.serial} if workload.serial else {}),
        **({"not_after": workload.not_after.isoformat()} if workload.not_after is not None else {}),
    }


def _role(workload: str, role: Role, files: WorkloadFiles) -> dict[str, object]:
    text = files.templates[role.template]
    return {
        "template": {"id": role.template, "digest": digest(text), "key": template_key(workload, text)},
        "models": list(role.models),
        "collections": list(role.collections),
        "tools": {tool: files.tools[tool] for tool in role.tools},
        "limits": role.limits.model_dump(),
        "budget": role.budget.model_dump(exclude_none=True),
        **({"images": True} if role.images else {}),
    }
