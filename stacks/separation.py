"""What a configuration may name: nothing of another environment, however it is spelt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# How people write an environment's name; each stands for itself as a word of its own: llm-prod, prod.internal.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "local": ("local",),
    "dev": ("dev", "development"),
    "staging": ("staging", "stage", "stg"),
    "prod": ("prod", "prd", "production"),
}


def foreign_environments(own: str, text: str) -> list[str]:
    """The environments other than `own` that `text` names."""
    words = set(re.split(r"[^a-z0-9]+", text.lower()))
    return [name for name, spellings in SPELLINGS.items() if name != own and words.intersection(spellings)]


def texts(value: object, field: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a configuration with the field that holds it; a key that was chosen freely is a text too."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{field}.{key}".lstrip("."), str(key)
            yield from texts(inner, f"{field}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from texts(inner, f"{field}.{index}")
