"""Reads one document from standard input and writes its text, or the reason why not, to standard output.

Run by extraction.py in a process of its own: `python -m services.gateway.ingestion.extraction_process <kind>`.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from importlib import import_module

import msgspec

from services.gateway.ingestion.rejection import Extracted, Reason, Rejected

MEMORY_BYTES_MAX = 1536 << 20
CPU_S_MAX = 30
TEXT_CHARS_MAX = 4_000_000

READERS = {  # kind → module and function; only the one that is needed is loaded
    "text": ("plain_text", "read_text"),
    "markdown": ("plain_text", "read_markdown"),
    "html": ("web_page", "read_html"),
    "pdf": ("pdf", "read_pdf"),
    "docx": ("word", "read_docx"),
}


def main() -> None:
    _limit()
    answer = read(sys.argv[1], sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def read(kind: str, content: bytes) -> Extracted:
    """Text or reason. Whatever a parser raises means that the document cannot be read."""
    try:
        text = _reader(kind)(content)
    except Rejected as rejected:
        return Extracted(reason=rejected.reason)
    except (MemoryError, RecursionError):
        return Extracted(reason=Reason.TOO_MUCH_INSIDE)
    except Exception:  # noqa: BLE001 - parsers raise anything, and say it in words of the document
        return Extracted(reason=Reason.UNREADABLE)
    if len(text) > TEXT_CHARS_MAX:
        return Extracted(reason=Reason.TOO_MUCH_INSIDE)
    return Extracted(text=text.encode("utf-8", "replace").decode())


def _reader(kind: str) -> Callable[[bytes], str]:
    module, function = READERS[kind]
    reader: Callable[[bytes], str] = getattr(import_module(f"services.gateway.ingestion.formats.{module}"), function)
    return reader


def _limit() -> None:
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_FSIZE, 0),  # writes no file
        (resource.RLIMIT_NPROC, 0),  # starts no process (root is not bound by this one)
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
