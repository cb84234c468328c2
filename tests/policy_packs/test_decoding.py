"""A message is decoded once for all policies; what a remedy changes is nobody else's."""

from __future__ import annotations

from google.protobuf import struct_pb2  # type: ignore[import-untyped]  # the wheel of protobuf has no types
from pulumi_policy import policy

from policy_packs.decoding import share_decoding

share_decoding()
INSIDE = vars(policy)


def message(**properties: object) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(properties)
    return made


def test_one_message_is_decoded_once_and_another_anew() -> None:
    decode, one = INSIDE["json_format"].MessageToDict, message(a=1)
    assert decode(one) is decode(one)
    assert decode(one) is not decode(message(a=1))
    assert decode(message(a=2)) == {"a": 2.0}


def test_what_is_only_read_is_shared() -> None:
    decoded = INSIDE["json_format"].MessageToDict(message(a=[1, 2]))
    deserialized = INSIDE["deserialize_properties"](decoded)
    assert deserialized == decoded
    assert INSIDE["deserialize_properties"](decoded) is deserialized
    assert INSIDE["unknown_checking_proxy"](deserialized) is INSIDE["unknown_checking_proxy"](deserialized)


def test_what_a_remedy_is_given_is_its_own() -> None:
    decoded = INSIDE["json_format"].MessageToDict(message(a=1))
    mine, other = (INSIDE["deserialize_properties"](decoded, True) for _ in range(2))
    mine["a"] = 2
    assert other["a"] == 1
    assert INSIDE["deserialize_properties"](decoded)["a"] == 1
    assert mine is not INSIDE["deserialize_properties"](decoded, True)


def test_sharing_twice_shares_once() -> None:
    before = INSIDE["json_format"]
    share_decoding()
    assert INSIDE["json_format"] is before
