"""Logs: one JSON object a line, of known fields only, so that no text of a prompt can end up in them.

Our own modules log fixed sentences with names, numbers and kinds. What a library would say is not printed:
its messages can quote what it was given. Only where it said it, and how loud, is. Exceptions appear as type
and place. As a last resort a line in which the credentials detector sees something loses its sentence.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from services.gateway.ports import Detector

FIELDS = ("request_id", "stage", "error", "workload", "digest", "reason", "issuer")
SENTENCE_CHARS_MAX = 300
OWN = "services.gateway"


class JsonLines(logging.Formatter):
    """Formats what may be said, and nothing else."""

    def __init__(self, credentials: Detector) -> None:
        super().__init__()
        self._credentials = credentials

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "at": f"{record.module}:{record.lineno}",
        }
        if record.name.startswith(OWN):
            line["event"] = self._clean(record.getMessage())
            line.update((name, self._clean(str(value))) for name in FIELDS if (value := getattr(record, name, None)))
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return msgspec.json.encode(line).decode()

    def _clean(self, text: str) -> str:
        text = text[:SENTENCE_CHARS_MAX]
        return "[withheld: it looks like a credential]" if any(True for _ in self._credentials.find(text)) else text


def write_to_stdout(credentials: Detector) -> None:
    """Replaces every handler: there is one way out."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(credentials))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in (("botocore", logging.WARNING), ("boto3", logging.WARNING), ("uvicorn", logging.WARNING)):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
