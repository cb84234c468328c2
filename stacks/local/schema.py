"""What a resource type accepts and returns, read from the SDK's own annotations.

Keyword arguments are already checked by Python; this closes what Python lets pass: unknown keys in
nested dictionaries, wrong types and wrong enumerated values. It works for every token of an
installed provider SDK, since the annotations are generated from the provider's schema.
"""

from __future__ import annotations

import ast
import collections.abc
import difflib
import functools
import importlib
import importlib.util
import inspect
import json
import re
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pulumi
from pulumi import _types

from stacks.local import schema_enums
from stacks.local.engine_graph import UNKNOWN, EngineError, Json
from stacks.local.engine_values import is_asset

# Enumerations that the cloud extends faster than the SDK: any text is accepted there.
_OPEN_ENUMS = ("InstanceType", "ManagedPolicy", "Runtime", "EngineType")
# Groups of Kubernetes' own end in k8s.io; those are known to the SDK or misspelt.
_CUSTOM_RESOURCE = re.compile(
    r"kubernetes:(?![a-z0-9.-]*\bk8s\.io/)[a-z0-9-]+(\.[a-z0-9-]+)+/v[a-z0-9]+:[A-Z][A-Za-z0-9]+"
)
_DEPTH_MAX = 4  # some types hold themselves
_PLUMBING: frozenset[Any] = frozenset({collections.abc.Awaitable, pulumi.Output})


@dataclass(frozen=True)
class Problem:
    """Where inputs differ from the schema, as a path and a sentence."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


@dataclass(frozen=True)
class Shape:
    """The properties of one object type: wire name to annotation, and which are required."""

    properties: Mapping[str, Any]
    required: frozenset[str]


@functools.cache
def tokens(package: str) -> Mapping[str, tuple[str, str]]:
    """Every resource token of an installed SDK → its module and class, from the SDK's registration call."""
    spec = importlib.util.find_spec(f"pulumi_{package.replace('-', '_')}")
    if spec is None or spec.origin is None:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "resource_modules" and isinstance(node.value, ast.Constant):
            for module in json.loads(str(node.value.value)):
                found.update({token: (module["fqn"], name) for token, name in module["classes"].items()})
    return found


@functools.cache
def resource_class(token: str) -> type[pulumi.Resource] | None:
    """The SDK's class of a token such as `aws:s3/bucket:Bucket`; None when no installed SDK has it."""
    if token.startswith("pulumi:providers:"):
        module, name = f"pulumi_{token.rsplit(':', 1)[1].replace('-', '_')}", "Provider"
    else:
        module, name = tokens(token.split(":", 1)[0]).get(token, _custom(token))
    if not module or importlib.util.find_spec(module.split(".")[0]) is None:
        return None
    with warnings.catch_warnings():
        # Importing a service warns of the classes that it keeps for older programs.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: type[pulumi.Resource] = getattr(importlib.import_module(module), name)
    return found


def _custom(token: str) -> tuple[str, str]:
    """A Kubernetes type of a group that no SDK knows is a custom resource: its envelope is checked, its spec is not.

    The specification belongs to a CustomResourceDefinition, which a test judges by.
    """
    if not _CUSTOM_RESOURCE.fullmatch(token):
        return "", ""
    return "pulumi_kubernetes.apiextensions.CustomResource", "CustomResource"


@functools.cache
def input_shape(token: str) -> Shape:
    cls = resource_class(token)
    if cls is None:
        raise EngineError(f"no installed provider SDK knows the resource type {token!r}")
    module = importlib.import_module(cls.__module__)
    arguments = getattr(module, f"{cls.__name__}InitArgs", None) or getattr(module, f"{cls.__name__}Args")
    return _shape(arguments)


@functools.cache
def text_properties(token: str) -> frozenset[str]:
    """The properties that can only be text, whatever the text holds (a kubeconfig may be written as JSON)."""
    accepted = input_shape(token).properties if resource_class(token) else {}
    return frozenset(key for key, annotation in accepted.items() if set(choices(annotation)) == {str})


@functools.cache
def property_paths(token: str) -> frozenset[str]:
    """Every property that inputs may hold, also nested: `kmsKeyId`, `blockDeviceMappings.ebs.kmsKeyId`."""
    return frozenset(_paths(input_shape(token), ""))


def _paths(shape: Shape, inside: str) -> Iterator[str]:
    for key, annotation in shape.properties.items():
        path = _join(inside, key)
        yield path
        if path.count(".") < _DEPTH_MAX:
            for nested in filter(_is_object, _members(annotation)):
                yield from _paths(_shape(nested), path)


def _members(annotation: Any) -> Iterator[Any]:
    """What an annotation allows, alone or as the elements of a list."""
    for choice in choices(annotation):
        listed = typing.get_origin(choice) in (list, collections.abc.Sequence)
        yield from _members(typing.get_args(choice)[0]) if listed else (choice,)


@functools.cache
def output_types(token: str) -> Mapping[str, Any]:
    """Wire name → annotation of every output of a resource type."""
    cls = resource_class(token)
    return _types.resource_types(cls) if cls else {}


@functools.cache
def _shape(cls: Any) -> Shape:
    hints = _hints(cls)
    names = {python: wire for python, wire, _ in _types._py_properties(cls)}
    parameters = inspect.signature(cls).parameters
    required = frozenset(
        names.get(name, name) for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty
    )
    return Shape({names.get(name, name): hints[name] for name in parameters if name in hints}, required)


def _hints(cls: Any) -> dict[str, Any]:
    namespace = dict(vars(importlib.import_module(cls.__module__)))
    namespace.setdefault("T", Any)
    namespace.setdefault("Output", pulumi.Output)
    constructor = vars(cls)["__init__"]
    # A local namespace of its own: without one, typing remembers what a name meant in the first module that used it.
    return typing.get_type_hints(constructor, namespace, {})


def problems(token: str, inputs: Mapping[str, Json]) -> list[Problem]:
    """Everything in `inputs` that the schema of `token` does not allow."""
    found = list(_object_problems("", input_shape(token), inputs))
    return found + [Problem(path, sentence) for path, sentence in schema_enums.wrong_values(token, inputs)]


def _object_problems(path: str, shape: Shape, value: Mapping[str, Json]) -> Iterator[Problem]:
    for key in value:
        if key not in shape.properties and not key.startswith("__"):
            yield Problem(_join(path, key), _unknown_sentence(key, shape))
    for key in sorted(shape.required - set(value)):
        yield Problem(_join(path, key), "is required and missing")
    for key, item in value.items():
        if key in shape.properties:
            yield from _value_problems(_join(path, key), shape.properties[key], item)


def _unknown_sentence(key: str, shape: Shape) -> str:
    folded = {name.lower(): name for name in shape.properties}
    close = difflib.get_close_matches(key.replace("_", "").lower(), folded, n=1, cutoff=0.6)
    allowed = ", ".join(sorted(shape.properties))
    return f"unknown property; did you mean {folded[close[0]]}?" if close else f"unknown property (allowed: {allowed})"


def _value_problems(path: str, annotation: Any, value: Json) -> Iterator[Problem]:
    if value == UNKNOWN or value is None:
        return
    members = tuple(choices(annotation))
    if not members or Any in members:
        return
    attempts = [list(_choice_problems(path, choice, value)) for choice in _ordered(members)]
    if all(attempts):
        yield from attempts[0]


def choices(annotation: Any) -> Iterator[Any]:
    """The members of a union without Pulumi's plumbing (Output, Awaitable) and None."""
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        for member in typing.get_args(annotation):
            yield from choices(member)
    elif annotation is not type(None) and not {origin, annotation} & _PLUMBING and not _is_dictionary_form(annotation):
        yield annotation


def _is_dictionary_form(annotation: Any) -> bool:
    """The TypedDict beside every argument class says the same with other names."""
    return inspect.isclass(annotation) and typing.is_typeddict(annotation)


def _ordered(choices: tuple[Any, ...]) -> tuple[Any, ...]:
    """A closed enumeration beside `str` is the narrower promise: only it counts."""
    enums = [choice for choice in choices if _is_closed_enum(choice)]
    return tuple(enums) if enums and set(choices) - set(enums) <= {str} else choices


def _is_closed_enum(choice: Any) -> bool:
    return inspect.isclass(choice) and issubclass(choice, Enum) and choice.__name__ not in _OPEN_ENUMS


def _choice_problems(path: str, choice: Any, value: Json) -> Iterator[Problem]:
    origin = typing.get_origin(choice)
    if _is_object(choice):
        if isinstance(value, dict):
            yield from _object_problems(path, _shape(choice), value)
        else:
            yield _wrong_type(path, "an object", value)
    elif origin in (list, collections.abc.Sequence):
        yield from _list_problems(path, typing.get_args(choice), value)
    elif origin in (dict, collections.abc.Mapping):
        yield from _map_problems(path, typing.get_args(choice), value)
    else:
        yield from _scalar_problems(path, choice, value)


def _is_object(choice: Any) -> bool:
    return inspect.isclass(choice) and _types.is_input_type(choice)


def _list_problems(path: str, arguments: tuple[Any, ...], value: Json) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _wrong_type(path, "a list", value)
        return
    for index, item in enumerate(value):
        yield from _value_problems(f"{path}[{index}]", arguments[0], item)


def _map_problems(path: str, arguments: tuple[Any, ...], value: Json) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _wrong_type(path, "a mapping", value)
        return
    for key, item in value.items():
        yield from _value_problems(f"{path}[{key!r}]", arguments[1], item)


def _scalar_problems(path: str, choice: Any, value: Json) -> Iterator[Problem]:
    if inspect.isclass(choice) and issubclass(choice, (pulumi.Asset, pulumi.Archive)):
        if not is_asset(value):
            yield _wrong_type(path, "an asset or archive", value)
    elif inspect.isclass(choice) and issubclass(choice, Enum):
        allowed = [member.value for member in choice]
        if value not in allowed and choice.__name__ not in _OPEN_ENUMS:
            yield Problem(path, f"must be one of {', '.join(map(str, allowed))} (got {value!r})")
    elif choice in (str, int, float, bool) and not _fits(choice, value):
        yield _wrong_type(
            path, {str: "text", int: "a whole number", float: "a number", bool: "a boolean"}[choice], value
        )


def _fits(choice: type, value: Json) -> bool:
    if isinstance(value, bool) or choice is bool:
        return isinstance(value, bool) and choice is bool
    return isinstance(value, (int, float) if choice is float else choice)


def _wrong_type(path: str, wanted: str, value: Json) -> Problem:
    return Problem(path, f"must be {wanted} (got {type(value).__name__})")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
