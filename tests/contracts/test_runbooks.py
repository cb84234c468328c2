"""A runbook is read when something is wrong: what it names exists."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.stacks.configurations import REPOSITORY

RUNBOOKS = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
TARGETS = set(re.findall(r"^([a-z]+):.*##", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def missing(text: str, folder: Path) -> list[str]:
    """Modules, targets, links and paths of ours that a text names and that are not there."""
    modules = re.findall(r"python -m ([\w.]+)", text)
    targets = re.findall(r"(?:`|^ *)make ([a-z]+)", text, re.MULTILINE)  # a command, not a sentence
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"\b(?:stacks|policy_packs|components)/[\w/.<>]*\w", text)
    return [
        *(module for module in modules if importlib.util.find_spec(module) is None),
        *(target for target in targets if target not in TARGETS),
        *(link for link in links if not (folder / link).exists()),
        *(path for path in paths if "<" not in path and not (REPOSITORY / path).exists()),
    ]


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: str(path.stem))
def test_what_a_runbook_names_exists(runbook: Path) -> None:
    assert missing(runbook.read_text(encoding="utf-8"), runbook.parent) == []


@pytest.mark.parametrize("wrong", ["`make dinner`", "python -m stacks.nothing", "[a](gone.md)", "stacks/gone.py"])
def test_a_name_that_is_gone_is_found(wrong: str) -> None:
    assert missing(wrong, RUNBOOKS[0].parent)


def test_every_situation_has_its_runbook() -> None:
    assert {path.stem for path in RUNBOOKS} >= {"bootstrap", "first-up", "key-rotation", "break-glass", "teardown"}
