"""What became of documents, for people (a table) and for machines (CloudWatch's embedded metric format)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from services.gateway.exchange import Registration
from services.gateway.ingestion.rejection import Reason
from services.gateway.ingestion.worker import REJECTED, Outcome

NAMESPACE = "llm-gateway/ingestion"
_COLUMNS = ("workload", "document", "result", "chunks", "redactions")


def metric_line(outcome: Outcome, registration: Registration) -> str:
    """One JSON line from which CloudWatch makes metrics. Labels are workload and result: never what or whose."""
    metrics = ("documents", "chunks", "redactions", "lines_removed")
    definition = {
        "Namespace": NAMESPACE,
        "Dimensions": [["workload", "result"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in metrics],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [definition]},
        "workload": registration.workload,
        "result": outcome.result,
        "reason": outcome.reason.value if outcome.reason else None,
        "documents": 1,
        "chunks": outcome.chunks,
        "redactions": sum(outcome.redactions.values()),
        "lines_removed": sum(outcome.lines_removed.values()),
    }
    return msgspec.json.encode(line).decode()


def table(outcomes: Iterable[tuple[Outcome, Registration]]) -> str:
    """A row a document, and the sums."""
    told = list(outcomes)
    rows = [_COLUMNS, *(_row(outcome, registration) for outcome, registration in told)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    rejected = sum(outcome.result == REJECTED for outcome, _ in told)
    chunks = sum(outcome.chunks for outcome, _ in told)
    return "\n".join([*lines, f"{len(told)} documents, {rejected} rejected, {chunks} chunks stored"])


def _row(outcome: Outcome, registration: Registration) -> Sequence[str]:
    result = f"{outcome.result}: {outcome.reason.value}" if outcome.reason else outcome.result
    counts = {**outcome.redactions, **{f"{kind} (line removed)": n for kind, n in outcome.lines_removed.items()}}
    redactions = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
    return registration.workload, _named(outcome), result, str(outcome.chunks), redactions


def _named(outcome: Outcome) -> str:
    if outcome.reason is Reason.UNSAFE_NAME or not outcome.upload.key:
        return "(no name that can be shown)"
    return "".join(char if char.isprintable() else "?" for char in outcome.upload.key[:80])
