"""Fails when a preview would replace, delete or unprotect what holds state.

    pulumi preview --json | python -m stacks.lifecycle.preview_gate [--planned URN]...

A policy pack does not see what an update does to a resource, and a green preview does not say it loudly: one
changed name replaces a key, and with it goes everything that was encrypted under it. A planned deletion is
named, URN by URN; a name that the preview does not contain fails too, so that no list outlives its change.
What cannot be read is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

DESTRUCTIVE = {"replace", "delete", "create-replacement", "delete-replaced", "discard-replaced", "discard"}
HARMLESS = {"same", "create", "update", "read", "refresh", "import", "read-replacement", "import-replacement"}
# Services whose resources hold data, keys, evidence or the cluster that everything runs in.
STATEFUL_SERVICES = {
    "acmpca",
    "backup",
    "cloudtrail",
    "dynamodb",
    "ebs",
    "ecr",
    "efs",
    "eks",
    "elasticache",
    "kms",
    "rds",
    "s3",
    "secretsmanager",
    "sqs",
}
STATEFUL_TYPES = {
    "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:ec2/vpc:Vpc",
}
# Made anew with every change of their content, and held elsewhere.
REMADE = {
    "aws:kms/ciphertext:Ciphertext",
    "aws:s3/bucketObject:BucketObject",
    "aws:s3/bucketObjectv2:BucketObjectv2",
}


class UnreadablePreview(ValueError):
    """The text is not a preview: nothing can be said of it, so nothing may be deployed on it."""


@dataclass(frozen=True, slots=True)
class Danger:
    """One step that the gate stops."""

    urn: str
    does: str
    because: str

    def __str__(self) -> str:
        return f"{self.does} {self.urn}{f' (because of {self.because})' if self.because else ''}"


def dangers(preview: Mapping[str, Any]) -> list[Danger]:  # Any: as the CLI writes it
    """Every step that touches state; raises UnreadablePreview for what is no preview."""
    steps = preview.get("steps")
    if not isinstance(steps, list):
        raise UnreadablePreview("no list of steps: give the output of `pulumi preview --json`")
    return [danger for step in steps for danger in _of_step(step)]


def _of_step(step: Mapping[str, Any]) -> Iterator[Danger]:
    operation, urn = step.get("op"), step.get("urn")
    if operation not in DESTRUCTIVE | HARMLESS or not isinstance(urn, str):
        raise UnreadablePreview(f"unknown operation {operation!r} on {urn!r}")
    if not is_stateful(type_of(urn)) and not _protected(step, "oldState"):
        return
    if operation in DESTRUCTIVE:
        yield Danger(urn, str(operation), ", ".join(step.get("replaceReasons") or []))
    elif _protected(step, "oldState") and not _protected(step, "newState"):
        yield Danger(urn, "unprotect", "")


def _protected(step: Mapping[str, Any], state: str) -> bool:
    return bool((step.get(state) or {}).get("protect"))


def type_of(urn: str) -> str:
    """urn:pulumi:stack::project::parent$type::name → type."""
    parts = urn.split("::")
    if len(parts) < 4:
        raise UnreadablePreview(f"not a URN: {urn!r}")
    return parts[2].rpartition("$")[2]


def is_stateful(kind: str) -> bool:
    package, _, rest = kind.partition(":")
    return kind in STATEFUL_TYPES or (
        package == "aws" and rest.partition("/")[0] in STATEFUL_SERVICES and kind not in REMADE
    )


def unplanned(found: Sequence[Danger], planned: Collection[str]) -> list[str]:
    """What stops the update: dangers that nobody planned, and plans that nothing matches."""
    named = {danger.urn for danger in found}
    return [str(danger) for danger in found if danger.urn not in planned] + [
        f"planned, but not in this preview: {urn}" for urn in sorted(set(planned) - named)
    ]


def main(arguments: Sequence[str] | None = None, preview: TextIO = sys.stdin) -> int:
    """0: go on. 1: stopped. 2: not readable."""
    parser = argparse.ArgumentParser(description="Stops an update that would destroy state.")
    parser.add_argument("--planned", action="append", default=[], metavar="URN", help="this one is meant to go")
    options = parser.parse_args(arguments)
    try:
        stopped = unplanned(dangers(_read(preview)), options.planned)
    except UnreadablePreview as error:
        print(f"preview gate: {error}", file=sys.stderr)
        return 2
    for sentence in stopped:
        print(f"preview gate: {sentence}", file=sys.stderr)
    return 1 if stopped else 0


def _read(preview: TextIO) -> Mapping[str, Any]:
    try:
        content = json.load(preview)
    except json.JSONDecodeError as error:
        raise UnreadablePreview(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UnreadablePreview(f"not an object (got {type(content).__name__})")
    return content


if __name__ == "__main__":
    sys.exit(main())
