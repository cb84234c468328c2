"""Every policy document that any program renders, wherever it hides: in a property, in text, in a list."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.local import engine
from tests.contracts.programs import AROUND, CLUSTERS, INSIDE, TARGETS, captured

Statement = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Document:
    """One policy: where it was found, and what it says."""

    program: str
    stack: str
    kind: str
    name: str
    content: dict[str, Any]

    def statements(self) -> Iterator[Statement]:
        said = self.content["Statement"]
        yield from said if isinstance(said, list) else [said]

    def __str__(self) -> str:
        return f"{self.program} {self.stack}: {self.kind} {self.name}"


def listed(value: object) -> list[str]:
    """Action, Resource and their like: one text or several."""
    return [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []


# Every program and stack: of every environment, around them, and inside their clusters.
EVERYWHERE = (
    *TARGETS,
    *((program, program) for program in AROUND),
    *((program, stack) for program in INSIDE for stack in CLUSTERS),
)


@functools.cache
def deployments() -> tuple[tuple[str, str, engine.Deployment], ...]:
    return tuple((program, stack, captured(program, stack)) for program, stack in EVERYWHERE)


@functools.cache
def documents() -> tuple[Document, ...]:
    return tuple(document for program, stack in EVERYWHERE for document in documents_of(program, stack))


@functools.cache
def documents_of(program: str, stack: str) -> tuple[Document, ...]:
    return tuple(
        Document(program, stack, one.type.rpartition(":")[2], one.name, content)
        for one in captured(program, stack).resources
        for content in policies_in(one.inputs)
    )


def policies_in(value: object) -> Iterator[dict[str, Any]]:
    """A policy is what has a Statement with an Effect, as data or as JSON text."""
    if isinstance(value, str) and "Statement" in value and value.lstrip()[:1] == "{":
        yield from policies_in(json.loads(value))
    elif isinstance(value, Mapping):
        if "Statement" in value:
            yield dict(value)
        else:
            for inner in value.values():
                yield from policies_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from policies_in(inner)
