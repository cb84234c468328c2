"""Logs say what happened and never what was said."""

from __future__ import annotations

import json
import logging

from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.logs import JsonLines

CANARY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def line(name: str, message: str, *arguments: object, **extra: object) -> dict[str, str]:
    record = logging.LogRecord(name, logging.WARNING, "/app/x.py", 7, message, arguments, None)
    record.__dict__.update(extra)
    formatted: dict[str, str] = json.loads(JsonLines(CredentialDetector()).format(record))
    return formatted


def test_our_own_sentence_and_known_fields_are_printed() -> None:
    printed = line("services.gateway.edge", "unexpected %s", "failure", request_id="r-1", error="KeyError")
    assert printed["event"] == "unexpected failure"
    assert (printed["request_id"], printed["error"], printed["at"]) == ("r-1", "KeyError", "x:7")


def test_an_unknown_field_is_not_printed() -> None:
    assert "prompt" not in line("services.gateway.edge", "x", prompt="my salary")


def test_what_a_library_says_is_not_printed() -> None:
    printed = line("botocore.parsers", "got %s", "my salary")
    assert "event" not in printed
    assert "salary" not in json.dumps(printed)


def test_a_sentence_with_a_credential_is_withheld() -> None:
    printed = line("services.gateway.edge", "failed with %s", CANARY, reason=f"bad {CANARY}")
    assert CANARY not in json.dumps(printed)
    assert printed["event"].startswith("[withheld")


def test_an_exception_is_its_type_only() -> None:
    error = ValueError("my salary")
    record = logging.LogRecord("asyncio", logging.ERROR, "/x.py", 1, "x", (), (ValueError, error, None))
    printed = JsonLines(CredentialDetector()).format(record)
    assert json.loads(printed)["exception"] == "ValueError"
    assert "salary" not in printed
