"""Prompt templates: versioned files of a workload, checked before they are registered."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import field_validator

from stacks.configuration import ConfigurationError, Name, Section, load

VARIABLES = ("context", "today")


class Template(Section):
    """What a template file says. The gateway checks the same again when it loads it."""

    id: Name
    version: str
    citations: bool
    system: str

    @field_validator("system")
    @classmethod
    def _known_variables(cls, value: str) -> str:
        unknown = [name for name in re.findall(r"\{([^{}]*)\}", value) if name not in VARIABLES]
        if unknown or not value.strip():
            allowed = ", ".join(f"{{{name}}}" for name in VARIABLES)
            raise ValueError(f"must not be empty and may use {allowed} only (got {unknown})")
        return value


def read_template(folder: Path, name: str) -> tuple[Template, str]:
    """The template and the exact text of its file; refuses a file that is not what it is called."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        found = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
        raise ConfigurationError(f"template: there is no {path.name} (allowed: {found})")
    text = path.read_text(encoding="utf-8")
    template = load(Template, tomllib.loads(text), path.name)
    if template.id != name:
        raise ConfigurationError(f"{path.name}: id must be the file's name {name} (got {template.id!r})")
    return template, text
