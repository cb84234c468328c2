"""Text files and Markdown."""

from __future__ import annotations

import re2

from services.gateway.ingestion.formats import BINARY
from services.gateway.ingestion.rejection import Reason, Rejected


def read_text(content: bytes) -> str:
    """UTF-8, UTF-16 with a mark, or the Windows code page; Rejected when it is no text at all."""
    if content.startswith(BINARY):
        raise Rejected(Reason.UNKNOWN_TYPE)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
    if "\0" in text:
        raise Rejected(Reason.UNREADABLE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


_MARKDOWN_COMMENT = re2.compile(r"(?m)^\[(?://|comment|_metadata_:[^\]]*)\]:\s.*$")


def read_markdown(content: bytes) -> str:
    """Markdown as it is written, without the comments that are not displayed."""
    return str(_MARKDOWN_COMMENT.sub("", _without_comments(read_text(content))))


def _without_comments(text: str) -> str:
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        kept.append(text[position:start])
        end = text.find("-->", start)
        position = len(text) if end < 0 else end + 3
    return "".join(kept) + text[position:]
