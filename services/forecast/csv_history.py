"""History from a CSV file: `timestamp,model,input_tokens,output_tokens`, timestamps in ISO 8601 with an offset."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from services.forecast.history import HistoryError, Usage

COLUMNS = ("timestamp", "model", "input_tokens", "output_tokens")


def usages_in(path: Path) -> Iterator[Usage]:
    """Every row, in any order."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise HistoryError(f"{path.name}: the first line must be {','.join(COLUMNS)}")
        for row in rows:
            yield _usage(row, f"{path.name}, line {rows.line_num}")


def _usage(row: dict[str, str], where: str) -> Usage:
    try:
        at = datetime.fromisoformat(row["timestamp"])
        tokens = [int(row[name]) for name in COLUMNS[2:]]
    except (ValueError, TypeError):
        raise HistoryError(f"{where}: must be a time, a model and two whole numbers") from None
    if at.tzinfo is None or not row["model"] or min(tokens) < 0:
        raise HistoryError(f"{where}: the time needs an offset (Z), the model a name, tokens may not be negative")
    return Usage(at, row["model"], *tokens)
