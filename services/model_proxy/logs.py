"""Logs: one JSON object a line, of our own fixed sentences only. What a library would say could quote a prompt."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

OWN = "services.model_proxy"


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "at": f"{record.module}:{record.lineno}",
        }
        if record.name.startswith(OWN):
            line["event"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return msgspec.json.encode(line).decode()


def write_to_stdout() -> None:
    """Replaces every handler: there is one way out."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
