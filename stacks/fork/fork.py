"""Makes a fork, or lets an existing one follow its template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from stacks.configuration import ConfigurationError, load
from stacks.environment import Environment, EnvironmentName
from stacks.fork.deployers import organization_file, platform_file, with_deployer, with_governed_deployer
from stacks.fork.placing import Placed, place
from stacks.fork.rendering import render
from stacks.fork.takeover import KEPT, Change, Outcome, take_over
from stacks.fork.wish import Wish

ANSWERS = "answers.yaml"


def make(root: Path, wish: Wish, templates: Path) -> list[Outcome]:
    """Writes a new workload below `root`; everything is judged before the first byte is written."""
    folder = folder_of(wish.module)
    if (root / folder).exists():
        raise ConfigurationError(f"name: {folder} exists already; `--update` lets it follow a changed template")
    placed = place(wish, environments(root))
    files, others = render(wish, placed, templates), {**_platforms(root, wish, placed), **_organization(root, placed)}
    outcomes = take_over(root, folder, files)
    (root / folder / KEPT / ANSWERS).write_text(_answers(wish), encoding="utf-8")
    for file, text in others.items():
        (root / file).write_text(text, encoding="utf-8")
    return [*outcomes, *(Outcome(file, Change.WRITTEN) for file in others)]


def update(root: Path, name: str, templates: Path) -> list[Outcome]:
    """Lets the fork `name` follow the template as it is now, with the answers it was made from."""
    folder = folder_of(name.replace("-", "_"))
    answers = root / folder / KEPT / ANSWERS
    if not answers.is_file():
        raise ConfigurationError(f"name: {folder} is not a fork: {KEPT}/{ANSWERS} is missing")
    wish = load(Wish, yaml.safe_load(answers.read_text(encoding="utf-8")), str(folder))
    return take_over(root, folder, render(wish, place(wish, environments(root)), templates))


def folder_of(module: str) -> Path:
    return Path("stacks") / "workloads" / module


def environments(root: Path) -> tuple[Environment, ...]:
    """Every environment as its file has it."""
    texts = [platform_file(root, name.value).read_text(encoding="utf-8") for name in EnvironmentName]
    return tuple(Environment.load(yaml.safe_load(text)["config"]["llm-pipelines:environment"]) for text in texts)


def _platforms(root: Path, wish: Wish, placed: tuple[Placed, ...]) -> Mapping[Path, str]:
    """The platform's files with the new deployer, where they change."""
    changed: dict[Path, str] = {}
    for one in placed:
        file = platform_file(root, one.environment.name.value)
        before = file.read_text(encoding="utf-8")
        after = with_deployer(before, wish.name, one.deployer_role, file.name)
        if after != before:
            changed[file.relative_to(root)] = after
    return changed


def _organization(root: Path, placed: tuple[Placed, ...]) -> Mapping[Path, str]:
    """The organization's file with the new deployers; environment local is no account of the organization."""
    file = organization_file(root)
    text = before = file.read_text(encoding="utf-8")
    for one in placed:
        if one.environment.name is not EnvironmentName.LOCAL:
            text = with_governed_deployer(text, one.environment.name.value, one.deployer_role, file.name)
    return {} if text == before else {file.relative_to(root): text}


def _answers(wish: Wish) -> str:
    text: str = yaml.safe_dump(wish.model_dump(mode="json"), sort_keys=False)
    return text
