"""Is a file really a safetensors file? A renamed pickle has the right name and the wrong first bytes.

Format: eight bytes with the header's length N (little endian), N bytes of JSON, then the tensors' bytes. Every
tensor states type, shape and where it lies; together they cover the rest of the file without overlap or hole
(https://huggingface.co/docs/safetensors, section Format; checks after its audit by Trail of Bits, 2023).
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, BinaryIO

HEADER_BYTES_MAX = 100_000_000  # the format's own limit
DIMENSIONS_MAX = 16

_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


class NotSafetensors(Exception):
    """Says in which way it is not."""


def require_safetensors(file: BinaryIO, size: int) -> None:
    """Reads the header only; NotSafetensors when it does not describe a file of `size` bytes exactly."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(HEADER_BYTES_MAX, size - 8):
        raise NotSafetensors("is no safetensors file: its first eight bytes are not the length of a header")
    header = file.read(length)
    if not header.startswith(b"{"):
        raise NotSafetensors("is no safetensors file: its header does not begin with {")
    try:
        tensors = json.loads(header.decode("utf-8"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise NotSafetensors(f"has a header that is not JSON: {type(error).__name__}") from None
    _require_text(tensors.pop("__metadata__", {}))
    _require_cover([_place(name, entry) for name, entry in tensors.items()], size - 8 - length)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotSafetensors("has a header that names something twice")
    return found


def _require_text(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise NotSafetensors("has __metadata__ that is not text by name")


def _place(name: str, entry: object) -> tuple[int, int]:
    """Where a tensor begins and ends, when that fits its type and shape."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise NotSafetensors(f"has a tensor {name!r} without exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise NotSafetensors(f"has a tensor {name!r} of unknown type {dtype!r}")
    if not _whole(shape) or len(shape) > DIMENSIONS_MAX or not _whole(offsets) or len(offsets) != 2:
        raise NotSafetensors(f"has a tensor {name!r} whose shape or place is not of whole numbers")
    begin, end = offsets
    if (end - begin) * 8 != math.prod(shape) * _BITS[dtype]:
        raise NotSafetensors(f"has a tensor {name!r} whose place does not fit its type and shape")
    return begin, end


def _whole(numbers: object) -> bool:
    return isinstance(numbers, list) and all(type(one) is int and 0 <= one < 1 << 63 for one in numbers)


def _require_cover(places: list[tuple[int, int]], data_bytes: int) -> None:
    ordered = sorted(places)
    edges = [(0, 0), *ordered, (data_bytes, data_bytes)]
    for (_, end), (begin, _) in pairwise(edges):
        if begin != end:
            raise NotSafetensors("has tensors that overlap, or bytes that belong to no tensor")
