"""Pulumi's wire values and plain JSON, there and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf import struct_pb2  # type: ignore[import-untyped]  # the wheel of protobuf has no types
from pulumi.runtime import rpc

from stacks.local.engine_graph import UNKNOWN, Json

_SIGNATURE = rpc._special_sig_key
_ASSETS = (rpc._special_asset_sig, rpc._special_archive_sig)


def plain(value: struct_pb2.Value | struct_pb2.Struct) -> Json:
    """Bare JSON: secrets opened, resource references as ids, whole numbers as integers."""
    if isinstance(value, struct_pb2.Struct):
        return _plain_struct(value)
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [plain(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _plain_struct(struct: struct_pb2.Struct) -> Json:
    fields = struct.fields
    signature = fields[_SIGNATURE].string_value if _SIGNATURE in fields else ""
    if signature == rpc._special_secret_sig:
        return plain(fields["value"])
    if signature == rpc._special_output_value_sig:
        return plain(fields["value"]) if "value" in fields else UNKNOWN
    if signature == rpc._special_resource_sig:
        return plain(fields["id"]) or UNKNOWN if "id" in fields else plain(fields["urn"])
    return {key: plain(item) for key, item in fields.items()}


def is_asset(value: Json) -> bool:
    return isinstance(value, Mapping) and value.get(_SIGNATURE) in _ASSETS


def secret_paths(value: struct_pb2.Value | struct_pb2.Struct, path: str = "") -> Iterator[str]:
    """The path of every value that travels marked as secret."""
    if isinstance(value, struct_pb2.Value) and value.WhichOneof("kind") == "list_value":
        for index, item in enumerate(value.list_value.values):
            yield from secret_paths(item, f"{path}[{index}]")
        return
    if isinstance(value, struct_pb2.Value) and value.WhichOneof("kind") != "struct_value":
        return
    fields = value.fields if isinstance(value, struct_pb2.Struct) else value.struct_value.fields
    if _SIGNATURE in fields and fields[_SIGNATURE].string_value == rpc._special_secret_sig:
        yield path
        return
    for key, item in fields.items():
        yield from secret_paths(item, f"{path}.{key}" if path else key)


def struct(values: Mapping[str, Json]) -> struct_pb2.Struct:
    """A protobuf Struct of plain JSON."""
    made = struct_pb2.Struct()
    for key, value in values.items():
        made.fields[key].CopyFrom(_wire(value))
    return made


def _wire(value: Json) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=struct(value))
    return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_wire(item) for item in value]))


def leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every scalar with its path, as `rules[0].name`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def holds_unknown(value: Json) -> bool:
    return any(leaf == UNKNOWN for _, leaf in leaves(value))
