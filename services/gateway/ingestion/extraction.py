"""The text of a document, read in a process of its own.

Parsers of PDF and Word files meet whatever somebody uploads. So they run where a crash, an endless loop or a
bomb ends one document and nothing else: a process with limits on time, memory and files, without our
environment (no credentials), that gets bytes and gives back text or a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import msgspec

from services.gateway.ingestion.rejection import Extracted, Reason, Rejected

DEADLINE_S = 45.0
KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}
_ROOT = Path(__file__).parents[3]  # where the package `services` lies


def kind_of(name: str) -> str:
    """How to read a file, by the end of its name; Rejected when there is no way."""
    kind = KINDS.get(Path(name).suffix.lower())
    if kind is None:
        raise Rejected(Reason.UNKNOWN_TYPE)
    return kind


async def extract(name: str, content: bytes, *, deadline_s: float = DEADLINE_S) -> str:
    """The text of a document; Rejected with the reason when there is none to be had."""
    answer = await _in_process(kind_of(name), content, deadline_s)
    if answer.reason is not None:
        raise Rejected(answer.reason)
    if not answer.text.strip():
        raise Rejected(Reason.EMPTY)
    return answer.text


async def _in_process(kind: str, content: bytes, deadline_s: float) -> Extracted:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-s", "-m", "services.gateway.ingestion.extraction_process", kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # parsers quote what they read
        cwd="/",
        env={"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath},
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, _ = await process.communicate(content)
    except TimeoutError:
        raise Rejected(Reason.TOO_SLOW) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _answer(process.returncode, out)


def _answer(exit_code: int | None, out: bytes) -> Extracted:
    if exit_code != 0:  # killed by a limit, or by its own fault
        raise Rejected(Reason.UNREADABLE)
    try:
        return msgspec.json.decode(out, type=Extracted)
    except msgspec.MsgspecError:
        raise Rejected(Reason.UNREADABLE) from None
