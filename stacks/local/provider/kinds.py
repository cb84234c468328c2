"""What the provider knows of a resource type: how to create it, read it back and delete it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws

Inputs = Mapping[str, Json]
Outputs = dict[str, Json]


class NotKept(Exception):
    """What was read back differs from what was sent: the emulator dropped or changed it."""


@dataclass(frozen=True)
class Made:
    """A new resource's id, and outputs that only its creation tells (a token, a ciphertext)."""

    id: str
    outputs: Outputs = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One resource type. `read` answers None for what does not exist."""

    create: Callable[[Aws, Inputs], Made]
    read: Callable[[Aws, str, Inputs], Outputs | None]
    delete: Callable[[Aws, str, Inputs], None]


def left_to_owner(_aws: Aws, _identifier: str, _inputs: Inputs) -> None:
    """Deletes nothing: it is a setting of another resource, and ends with it."""


def refuse_differences(sent: Inputs, read: Mapping[str, Json]) -> None:
    """Compares every property that both sides hold."""
    for key in sorted(set(sent) & set(read)):
        found = difference(sent[key], read[key], key)
        if found:
            raise NotKept(f"the AWS API did not keep {found}")


def difference(sent: Json, read: Json, path: str) -> str:
    """The first place where what was read contradicts what was sent; empty when none does."""
    sent, read = _decoded(sent), _decoded(read)
    if isinstance(sent, dict) and isinstance(read, dict):
        pairs = [(sent[key], read[key], f"{path}.{key}") for key in sorted(set(sent) & set(read))]
    elif isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        both = zip(_sorted(sent), _sorted(read), strict=True)
        pairs = [(one, other, f"{path}[{number}]") for number, (one, other) in enumerate(both)]
    else:
        return "" if sent == read else f"{path}: sent {sent!r}, read {read!r}"
    return next((found for pair in pairs if (found := difference(*pair))), "")


def _decoded(value: Json) -> Json:
    """Policy documents are text on both sides, spaced and ordered differently."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _sorted(values: list[Json]) -> list[Json]:
    """Order carries no meaning in lists of names; it does in lists of objects."""
    return sorted(values) if all(isinstance(value, str) for value in values) else values


def tag_list(inputs: Inputs, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in sorted(tags_of(inputs).items())]


def tags_of(inputs: Inputs) -> dict[str, str]:
    return dict(inputs.get("tagsAll") or inputs.get("tags") or {})


def tag_map(listed: list[dict[str, str]] | None) -> dict[str, str]:
    """`[{Key, Value}]` in any capitals → mapping."""
    lowered = [{key.lower(): text for key, text in tag.items()} for tag in listed or []]
    return {tag.get("key", tag.get("tagkey", "")): tag.get("value", tag.get("tagvalue", "")) for tag in lowered}


def given(**arguments: Json) -> dict[str, Json]:
    """Arguments of an API call without those that are not set."""
    return {key: value for key, value in arguments.items() if value not in (None, "", [], {})}


def pascal(value: Json) -> Json:
    """Pulumi's `camelCase` keys as the AWS API's `PascalCase`."""
    return _renamed(value, lambda key: key[:1].upper() + key[1:])


def camel(value: Json) -> Json:
    """The AWS API's `PascalCase` keys as Pulumi's `camelCase`."""
    return _renamed(value, lambda key: key[:1].lower() + key[1:])


def _renamed(value: Json, rename: Callable[[str], str]) -> Json:
    if isinstance(value, Mapping):
        return {rename(key): _renamed(item, rename) for key, item in value.items()}
    return [_renamed(item, rename) for item in value] if isinstance(value, list) else value
