"""Pulumi.yaml and Pulumi.<stack>.yaml, found and read as the CLI does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from stacks.local.engine_graph import EngineError, Json

ORGANIZATION = "organization"  # what every backend without organizations answers
_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


@dataclass(frozen=True)
class Project:
    """A project folder, the program in it, and the settings of one stack."""

    name: str
    root: Path
    program: Path
    stack: str
    config: dict[str, str]

    @property
    def default_providers_disabled(self) -> tuple[str, ...]:
        return tuple(json.loads(self.config.get("pulumi:disable-default-providers", "[]")))


def load_project(program: Path, stack: str, overrides: Mapping[str, str]) -> Project:
    """Finds the project of a program folder upward and merges its settings with those of the stack."""
    file = _nearest_project_file(program.resolve())
    document = _read_yaml(file)
    name = str(document.get("name", ""))
    if not name:
        raise EngineError(f"{file}:1: the project has no name")
    main = (file.parent / str(document.get("main", "."))).resolve()
    if program.resolve() not in (main, file.parent):
        raise EngineError(f"{file}:1: the project's program is {main}, not {program}; give the folder its Pulumi.yaml")
    settings = _stack_settings(file, document, name, stack, overrides)
    return Project(name, file.parent, main, stack, settings)


def _nearest_project_file(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if (candidate / "Pulumi.yaml").is_file():
            return candidate / "Pulumi.yaml"
    raise EngineError(f"{folder}:0: no Pulumi.yaml here or in a folder above")


def _read_yaml(file: Path) -> dict[str, Json]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise EngineError(f"{file}:1: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise EngineError(f"{file}:1: must be a mapping")
    return document


def _stack_settings(
    file: Path, document: Mapping[str, Json], name: str, stack: str, overrides: Mapping[str, str]
) -> dict[str, str]:
    declared = {_qualified(name, key): value for key, value in (document.get("config") or {}).items()}
    folder = file.parent / str(document.get("stackConfigDir", "."))
    stack_file = folder / f"Pulumi.{stack}.yaml"
    given = _read_yaml(stack_file).get("config") or {} if stack_file.is_file() else {}
    stack_values = {_qualified(name, key): value for key, value in given.items()}
    merged: dict[str, str] = {}
    for key, declaration in declared.items():
        if key not in stack_values and (value := _project_value(declaration)) is not None:
            merged[key] = _text(value)
    for key, value in stack_values.items():
        merged[key] = _text(_checked(stack_file, key, value, declared.get(key), key in overrides))
    merged.update({_qualified(name, key): value for key, value in overrides.items()})
    _require_complete(file, stack, declared, merged)
    return merged


def _qualified(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _project_value(declaration: Json) -> Json:
    if not isinstance(declaration, dict):
        return declaration
    return declaration.get("value", declaration.get("default"))


def _checked(file: Path, key: str, value: Json, declaration: Json, overridden: bool) -> Json:
    if isinstance(value, dict) and set(value) == {"secure"}:
        if overridden:
            return ""
        raise EngineError(f"{file}:1: {key} is encrypted; give its value through config= to run without the CLI")
    wanted = declaration.get("type") if isinstance(declaration, dict) else None
    if wanted in _TYPES and not (
        isinstance(value, _TYPES[wanted]) and isinstance(value, bool) == (wanted == "boolean")
    ):
        raise EngineError(f"{file}:1: {key} must be of type {wanted} (got {value!r})")
    return value


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _require_complete(file: Path, stack: str, declared: Mapping[str, Json], merged: Mapping[str, str]) -> None:
    for key, declaration in declared.items():
        if isinstance(declaration, dict) and key not in merged:
            raise EngineError(f"{file}:1: stack {stack!r} sets no value for {key}, and the project gives no default")
