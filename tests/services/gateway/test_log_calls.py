"""What the gateway's own code gives its logs: fixed sentences, and values of kinds that can hold no content."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.logs import FIELDS

GATEWAY = Path(__file__).parents[3] / "services" / "gateway"
LOGGERS = ("log", "_logger", "logger", "logging")
LEVELS = ("debug", "info", "warning", "error", "critical", "exception", "log")
# Each can only be a number, an id of ours, a type's name, or a reason that our own code wrote.
VALUES = {
    "chain",
    "chain.id",
    "closed_by",
    "expired",
    "failed",
    "left_out",
    "self.chain.id",
    "type(error).__name__",
    # reasons: of Unavailable and RecordError, whose sentences name kinds and fields and never quote
    "error",
    "failure",
    "failure.reason",
    "unavailable(error)",
}
FIELD_VALUES = VALUES | {
    "_origin(error)",
    "denied.stage",
    "fault",
    "reason",
    "registration.digest",
    "reply.request_id",
    "self._issuer",
    "workload",
}
# Commands print for who called them; the rest of the gateway has its log.
PRINTING = {"app.py", "command.py", "grafana_dashboard.py", "migrations.py", "service.py"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(GATEWAY)}:{node.lineno}", node


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for place, call in calls():
        function = call.func
        if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
            continue
        if function.attr in LEVELS and function.value.id in LOGGERS:
            yield place, call


def faults(call: ast.Call) -> list[str]:
    """What makes a call of the log one that could carry content."""
    assert isinstance(call.func, ast.Attribute)
    found = ["level"] if call.func.attr in ("debug", "exception", "log") else []
    sentence, *values = call.args
    if not (isinstance(sentence, ast.Constant) and isinstance(sentence.value, str)):
        found.append("a sentence that is not fixed")
    found += [ast.unparse(value) for value in values if not _is_count(value) and ast.unparse(value) not in VALUES]
    for keyword in call.keywords:
        if keyword.arg != "extra" or not isinstance(keyword.value, ast.Dict):
            found.append(f"{keyword.arg}=")
            continue
        for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
            if not isinstance(key, ast.Constant) or key.value not in FIELDS:
                found.append(f"a field that is not printed: {ast.unparse(key) if key else '**'}")
            if ast.unparse(value) not in FIELD_VALUES:
                found.append(ast.unparse(value))
    return found


def _is_count(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "len"


def test_every_log_call_gives_allowed_values_only() -> None:
    found = {place: faults(call) for place, call in log_calls()}
    assert len(found) > 20
    assert {place: wrong for place, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "code",
    [
        "log.error(f'failed with {prompt}')",
        "log.error('failed with %s', prompt)",
        "log.error('failed', extra={'prompt': reason})",
        "log.error('failed', extra={'reason': body})",
        "log.error('failed', extra={**headers})",
        "log.error('failed', exc_info=True)",
        "log.exception('failed')",
        "log.error('failed ' + text)",
        "log.error(error)",
    ],
)
def test_a_call_that_could_carry_content_is_found(code: str) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert faults(call)


def test_nothing_is_printed_beside_the_log() -> None:
    printing = {
        place.partition(":")[0].rpartition("/")[2]
        for place, call in calls()
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    }
    assert printing <= PRINTING
