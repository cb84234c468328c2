"""How long the rules of both packs take: to be imported, and to judge 1,000 and 5,000 resources on one core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, islice, product
from pathlib import Path

from bench.figures import Figure, at_most
from policy_packs.packs import PACKS
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Rule
from policy_packs.view import UNKNOWN, View

REPOSITORY = Path(__file__).resolve().parents[1]
RULES = tuple(rule for pack in PACKS.values() for rule in pack)
LIMITS_S = {1_000: 5, 5_000: 25}  # resources → seconds: five times as many may take five times as long
BUCKET, SATELLITE = "aws:s3/bucket:Bucket", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"


def measure() -> Iterator[Figure]:
    """In processes of their own, so that imports count."""
    seconds, _ = _timed("-c", "import policy_packs.packs")
    yield at_most("policy packs imported", seconds, 2, "s", "rules of both packs, new process")
    for stack, (resources, limit_s) in product(STACKS, LIMITS_S.items()):
        seconds, said = _timed("-m", "bench.policy", stack, str(resources))
        yield at_most(f"{resources:,} resources, every rule: {stack}", seconds, limit_s, "s", said.strip())


def mixed() -> Iterator[Resource]:
    """The rules' own examples, what obeys and what breaks in turn, under names of their own, some not known yet."""
    for turn in count():
        for rule in RULES:
            for one in _example(rule, turn):
                yield _copy(one, f"{rule.name}-{turn}", is_known=turn % 3 < 2)


def joined() -> Iterator[Resource]:
    """The worst for a rule about a whole stack: every other resource belongs to the one before it."""
    for number in count():
        bucket = Resource.example(BUCKET, {"bucket": f"bucket-{number}"}, f"bucket-{number}")
        yield bucket
        yield Resource.example(SATELLITE, {"bucket": f"bucket-{number}"}, f"block-{number}", bucket=bucket.name)


STACKS = {"mixed": mixed, "joined": joined}


def judged(rules: tuple[AnyRule, ...], resources: tuple[Resource, ...]) -> tuple[int, int]:
    """How many violations were found, and how many places where a value is not known."""
    judgements = [
        judgement
        for rule in rules
        for judgement in ([rule.judge(one) for one in resources] if isinstance(rule, Rule) else [rule.judge(resources)])
    ]
    return sum(len(one.violations) for one in judgements), sum(len(one.unclear) for one in judgements)


def _example(rule: AnyRule, turn: int) -> tuple[Resource, ...]:
    kind: Mapping[str, Resource | tuple[Resource, ...]] = rule.breaks if turn % 2 else rule.obeys
    example = list(kind.values())[turn // 2 % len(kind)]
    return (example,) if isinstance(example, Resource) else example


def _copy(resource: Resource, suffix: str, *, is_known: bool) -> Resource:
    """Copies of one example stay joined among themselves, and to nothing else."""
    joined = {key: tuple(f"{urn}-{suffix}" for urn in urns) for key, urns in resource.joined.items()}
    props = resource.props if is_known else View(UNKNOWN)
    return replace(resource, urn=f"{resource.urn}-{suffix}", joined=joined, props=props)


def _timed(*arguments: str) -> tuple[float, str]:
    began = time.monotonic()
    command = [sys.executable, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return time.monotonic() - began, run.stdout


if __name__ == "__main__":
    resources = tuple(islice(STACKS[sys.argv[1]](), int(sys.argv[2])))
    violations, unclear = judged(RULES, resources)
    print(f"{len(RULES)} rules, {violations} violations, {unclear} not known, new process")
