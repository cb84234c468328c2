"""Only a file that the format describes to its last byte is a safetensors file."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model_weights.safetensors_header import NotSafetensors, require_safetensors
from tests.services.model_weights.bundles import safetensors


def judge(content: bytes) -> None:
    require_safetensors(io.BytesIO(content), len(content))


def one(**changes: Any) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


def test_well_formed_files_are_accepted() -> None:
    accepted = []
    for content in (
        safetensors(),
        safetensors(one()),
        safetensors(one(dtype="F4", shape=[32])),
        safetensors(one(shape=[], dtype="I64", data_offsets=[0, 8]), bytes(8)),
        safetensors({"empty": {"dtype": "F32", "shape": [0, 7], "data_offsets": [0, 0]}}, b""),
    ):
        judge(content)
        accepted.append(content)

    assert len(accepted) == 5


@pytest.mark.parametrize(
    ("tensors", "data", "says"),
    [
        (one(), bytes(17), "belong to no tensor"),
        (one(), bytes(15), "overlap, or bytes"),
        (one(data_offsets=[1, 17]), bytes(17), "overlap, or bytes"),
        (one(data_offsets=[16, 0]), bytes(16), "does not fit"),
        (one(data_offsets=[0, 8]), bytes(8), "does not fit"),
        (one(shape=[1 << 62, 1 << 62]), bytes(16), "does not fit"),
        (one(shape=[-4]), bytes(16), "whole numbers"),
        (one(shape=[4.0]), bytes(16), "whole numbers"),
        (one(shape=[True] * 4), bytes(16), "whole numbers"),
        (one(shape=[1] * 17), bytes(16), "whole numbers"),
        (one(data_offsets=[0, 16, 16]), bytes(16), "whole numbers"),
        (one(dtype="PICKLE"), bytes(16), "unknown type"),
        (one(extra=1), bytes(16), "exactly dtype"),
        ({"a": 1}, b"", "exactly dtype"),
        ({"__metadata__": {"a": 1}}, b"", "not text by name"),
        ({"__metadata__": []}, b"", "not text by name"),
    ],
)
def test_header_that_does_not_describe_the_file_is_refused(tensors: dict[str, object], data: bytes, says: str) -> None:
    with pytest.raises(NotSafetensors, match=says):
        judge(safetensors(tensors, data))


def test_tensors_that_overlap_are_refused() -> None:
    both = {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"}
    with pytest.raises(NotSafetensors, match="overlap"):
        judge(safetensors(both, bytes(16)))


def test_name_that_stands_twice_is_refused() -> None:
    entry = json.dumps(one()["a"])
    header = f'{{"a":{entry},"a":{entry}}}'.encode()
    with pytest.raises(NotSafetensors, match="twice"):
        judge(len(header).to_bytes(8, "little") + header + bytes(16))


@pytest.mark.parametrize(
    "content",
    [b"", b"1234567", bytes(8), b"\x02" + bytes(7) + b"[]", (1 << 63).to_bytes(8, "little") + b"{}", b"\x80\x04" * 40],
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(NotSafetensors):
        judge(content)


def _is_header(content: bytes) -> bool:
    """Of a file without tensors: `{}` and its like."""
    try:
        return isinstance(json.loads(content.decode()), dict)
    except ValueError:
        return False


@given(st.binary(max_size=200).filter(lambda content: not _is_header(content)))
def test_random_bytes_are_refused_and_crash_nothing(content: bytes) -> None:
    header = len(content).to_bytes(8, "little") + content
    for candidate in (content, header):
        with pytest.raises(NotSafetensors):
            judge(candidate)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_changed_header_is_refused_or_still_covers_the_file(at: int, flip: int) -> None:
    content = bytearray(safetensors())
    content[at % (len(content) - 16)] ^= flip
    try:
        judge(bytes(content))
    except NotSafetensors:
        return
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    entries.pop("__metadata__", None)
    assert max(entry["data_offsets"][1] for entry in entries.values()) == len(content) - 8 - length
