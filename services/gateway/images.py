"""Images that callers send: inside the request as data URLs, of a known format, of bounded size and number.

An address would be fetched by the backend from inside our network (SSRF), so none is accepted. The text
controls read text: what an image shows is seen by the model alone. That is why a role must be registered
for images and the catalogue must say that a model takes them; the audit record counts them.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error

from services.gateway.exchange import Image
from services.gateway.request_body import refuse

IMAGES_MAX = 8  # in one request
IMAGE_BYTES_MAX = 700 << 10  # what fits into a request body as base64
SIDE_PIXELS_MAX = 8_000  # what the models of Bedrock take; also keeps small files from becoming huge pictures

_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,")
_JPEG_SIZES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def image(place: str, url: str) -> Image:
    """The image in a data URL; Denied 400 naming `place`."""
    head = _DATA_URL.match(url)
    if head is None:
        refuse(
            place,
            "unsupported_value",
            "Images are accepted as data URLs only: data:image/{png,jpeg,gif,webp};base64,… No address is fetched.",
        )
    media_type, text = head[1], url[head.end() :]
    content = _content(place, text)
    size = _size(media_type, content)
    if size is None:
        refuse(place, "invalid_value", f"The image is not of type {media_type}, or is cut off.")
    if not all(1 <= side <= SIDE_PIXELS_MAX for side in size):
        refuse(place, "invalid_value", f"An image may be up to {SIDE_PIXELS_MAX} pixels wide and high.")
    return Image(media_type, text)


def refuse_too_many(param: str, count: int) -> None:
    if count > IMAGES_MAX:
        refuse(param, "invalid_value", f"A request may hold up to {IMAGES_MAX} images.")


def _content(place: str, text: str) -> bytes:
    if len(text) > IMAGE_BYTES_MAX * 4 // 3 + 4:
        refuse(place, "invalid_value", f"An image may hold up to {IMAGE_BYTES_MAX} bytes.")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        refuse(place, "invalid_value", "The image is not valid base64.")


def _size(media_type: str, content: bytes) -> tuple[int, int] | None:
    """Width and height as the content's own header says; None where it is not of that type."""
    if media_type == "image/png":
        return _png(content)
    if media_type == "image/jpeg":
        return _jpeg(content)
    return _gif(content) if media_type == "image/gif" else _webp(content)


def _png(content: bytes) -> tuple[int, int] | None:
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _gif(content: bytes) -> tuple[int, int] | None:
    if content[:6] not in (b"GIF87a", b"GIF89a") or len(content) < 10:
        return None
    return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """From segment to segment to the frame header (ITU-T T.81, B.1 and B.2.2)."""
    if content[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        if content[at + 1] in _JPEG_SIZES:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        # A fill byte, or a segment whose length counts its own two bytes.
        at += 1 if content[at + 1] == 0xFF else 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    return None


def _webp(content: bytes) -> tuple[int, int] | None:
    """RFC 9649: a lossy, a lossless or an extended file."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L" and content[20] == 0x2F:
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF
    return None
