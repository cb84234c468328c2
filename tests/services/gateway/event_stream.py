"""application/vnd.amazon.eventstream, written by hand: what a model server of AWS streams."""

from __future__ import annotations

import json
import struct
from binascii import crc32
from typing import Any


def frame(event: str, payload: dict[str, Any], kind: str = "event") -> bytes:
    """One event, or one exception, with a JSON document, as Bedrock sends it."""
    return framed(_headers(event, kind, {":content-type": "application/json"}), json.dumps(payload).encode())


def part(payload: bytes, event: str = "PayloadPart", kind: str = "event") -> bytes:
    """One event with some bytes of an answer, as SageMaker sends it."""
    return framed(_headers(event, kind, {}), payload)


def framed(headers: bytes, body: bytes) -> bytes:
    """Prelude, its checksum, headers, body, and the checksum of all that."""
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return message + struct.pack(">I", crc32(message))


def _headers(event: str, kind: str, more: dict[str, str]) -> bytes:
    name = ":event-type" if kind == "event" else ":exception-type"
    return b"".join(
        struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for key, value in {":message-type": kind, name: event, **more}.items()
    )
