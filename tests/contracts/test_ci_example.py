"""The example for CI names commands and options that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from stacks.local.policy_report import options_of

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "docs" / "ci" / "policies.yml"


def example() -> Any:  # Any: YAML
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def commands() -> list[str]:
    return [step["run"] for step in example()["jobs"]["preview"]["steps"] if "run" in step]


def test_the_packs_it_names_are_here() -> None:
    packs = example()["env"]["PULUMI_OPTION_POLICY_PACK"].split(",")
    assert len(packs) == 2
    assert all((REPOSITORY / pack.removeprefix("policies/") / "PulumiPolicy.yaml").is_file() for pack in packs)


def test_every_target_it_makes_exists() -> None:
    targets = {found for command in commands() for found in re.findall(r"make -C policies (\w+)", command)}
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert targets == {"tools", "policy"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_its_options_are_understood_and_let_nothing_wait() -> None:
    [arguments] = [found[1] for command in commands() if (found := re.search(r'POLICY_ARGUMENTS="([^"]+)"', command))]
    options = options_of(arguments.split())
    assert options.nothing_waits
    assert options.sarif
    assert options.junit


def test_it_stores_no_credentials() -> None:
    assert "secrets." not in EXAMPLE.read_text(encoding="utf-8")
    assert example()["permissions"]["id-token"] == "write"
