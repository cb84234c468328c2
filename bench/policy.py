"""How long the rules of both packs take: to be imported, and to judge 1,000 resources on one core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from bench.figures import Figure, at_most
from policy_packs.coverage import example_resources
from policy_packs.packs import PACKS
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Rule

REPOSITORY = Path(__file__).resolve().parents[1]
RULES = tuple(rule for pack in PACKS.values() for rule in pack)
RESOURCES = 1_000


def measure() -> Iterator[Figure]:
    """In processes of their own, so that imports count."""
    seconds, _ = _timed("-c", "import policy_packs.packs")
    yield at_most("policy packs imported", seconds, 2, "s", "rules of both packs, new process")
    seconds, said = _timed("-m", "bench.policy")
    yield at_most("1,000 resources judged by every rule", seconds, 5, "s", said.strip())


def synthetic(number: int) -> tuple[Resource, ...]:
    """The rules' own examples, over and over: each copy under names of its own, joined among themselves."""
    return tuple(islice((_copy(one, turn) for turn in count() for one in _examples()), number))


def judged(rules: tuple[AnyRule, ...], resources: tuple[Resource, ...]) -> tuple[int, int]:
    """How many violations were found, and how many places where a value is not known."""
    judgements = [
        judgement
        for rule in rules
        for judgement in ([rule.judge(one) for one in resources] if isinstance(rule, Rule) else [rule.judge(resources)])
    ]
    return sum(len(one.violations) for one in judgements), sum(len(one.unclear) for one in judgements)


def _examples() -> Iterator[Resource]:
    """Every resource of every example, with URNs that tell one rule's examples from another's."""
    for rule in RULES:
        yield from (_renamed(one, rule.name) for one in example_resources(rule))


def _copy(resource: Resource, turn: int) -> Resource:
    return _renamed(resource, str(turn))


def _renamed(resource: Resource, suffix: str) -> Resource:
    joined = {key: tuple(f"{urn}-{suffix}" for urn in urns) for key, urns in resource.joined.items()}
    return replace(resource, urn=f"{resource.urn}-{suffix}", joined=joined)


def _timed(*arguments: str) -> tuple[float, str]:
    began = time.monotonic()
    command = [sys.executable, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return time.monotonic() - began, run.stdout


if __name__ == "__main__":
    violations, unclear = judged(RULES, synthetic(RESOURCES))
    print(f"{len(RULES)} rules, {violations} violations, {unclear} not known, new process")
