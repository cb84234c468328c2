"""Reading a request body strictly: size, encoding, depth, duplicate keys, shape, in this order.

A field is accepted with a meaning, or refused by name; none is silently dropped. Nothing in a body ever
forms a URL, names a policy or switches a control.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from services.gateway.exchange import Denied

BODY_BYTES_MAX = 1 << 20
JSON_DEPTH_MAX = 32
JSON_OPENERS_MAX = 50_000  # objects and arrays in one body: bounds the time that reading can take
NAME_CHARS_MAX = 128

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Probability = Annotated[float, msgspec.Meta(gt=0, le=1)]
# Known to OpenAI and never accepted here. The published schema says null.
Never = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "null"})]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are errors, at every depth."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before its body is read."""

    request_id: str
    client_request_id: str | None
    received_at: datetime
    bearer: str


class Off:
    """Fields that may only be switched off: each with the values that mean "off", and why nothing else is accepted."""

    def __init__(self, *fields: tuple[str, tuple[object, ...], str]) -> None:
        self._fields = fields
        self._values = attrgetter(*(name for name, _, _ in fields))
        self._unset = (None,) * len(fields)

    def refuse_on(self, read: Strict) -> None:
        """Refuses, by name, a field that is set to anything but a value that means "off"."""
        values = self._values(read)
        if values == self._unset:
            return
        for value, (name, off, sentence) in zip(values, self._fields, strict=True):
            if value is not None and value not in off:
                refuse(name, "unsupported_parameter", sentence)


def refuse(param: str | None, code: str, public: str) -> NoReturn:
    """A request whose shape is wrong: 400, naming the place."""
    # The reason, which is kept, does not repeat the caller's own words; the sentence to the caller may.
    raise Denied("schema", code, status=400, code=code, public=public, param=param)


def as_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


B = TypeVar("B")
# From a quote on it always matches and never goes back, closed or not: linear in whatever a caller sends.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)
_PLACE = re.compile(r" - (?:at|in) `(?:key in )?\$\.?([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")


def decode(body: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """The body in its shape; Denied 400 naming the field that is wrong."""
    _check_json(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_shape(str(error))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        refuse(None, "invalid_json", "The request body is not valid JSON.")


def _check_json(body: bytes) -> None:
    """UTF-8, bounded depth, no key twice: what the typed decoder would let through."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        refuse(None, "invalid_json", "The request body is not valid UTF-8.")
    openers = body.count(b"{") + body.count(b"[")
    if openers > JSON_OPENERS_MAX:
        refuse(None, "invalid_json", f"The request body holds more than {JSON_OPENERS_MAX} objects and arrays.")
    if openers > JSON_DEPTH_MAX:
        _check_depth(body)
    try:
        _duplicate_finder.decode(text)
    except (ValueError, RecursionError):
        refuse(None, "invalid_json", "The request body is not valid JSON.")


def _check_depth(body: bytes) -> None:
    depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                refuse(None, "invalid_json", f"The request body is nested deeper than {JSON_DEPTH_MAX} levels.")
        else:
            depth -= 1


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        refuse(None, "duplicate_parameter", "The request body holds the same key twice in one object.")


_duplicate_finder = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)


def _refuse_shape(message: str) -> NoReturn:
    """Turns the decoder's sentence into OpenAI's error; field names are cut so that nobody can send an essay."""
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown is not None:
        parent = (unknown[2] or "").lstrip(".")
        param = _field_name(f"{parent}.{unknown[1]}" if parent else unknown[1])
        refuse(param, "unknown_parameter", f"Unknown parameter: '{param}'.")
    place = _PLACE.search(message)
    param = _field_name(place[1]) if place else ""
    missing = _MISSING_FIELD.search(message)
    if missing is not None:
        param = f"{param}.{missing[1]}" if param else missing[1]
        refuse(param, "missing_required_parameter", f"Missing required parameter: '{param}'.")
    wanted = message.split(" - at ")[0].replace("`", "")
    refuse(param or None, "invalid_value", f"Invalid value for '{param or 'body'}': {wanted[:200]}.")


def _field_name(name: str) -> str:
    return re.sub(r"[^\w.\[\]$-]", "?", name)[:100]
