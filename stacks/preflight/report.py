"""The rows of a preflight as a table for people and as JSON for pipelines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stacks.preflight.row import Row


def table(environment: str, rows: Sequence[Row]) -> RenderableType:
    failed = sum(not row.held for row in rows)
    title = f"preflight of {environment}: {len(rows)} looked at, {failed} to do"
    drawn = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for column in ("", "check", "subject", "found", "what to do"):
        drawn.add_column(column, overflow="fold")
    for row in rows:
        mark = Text("holds", style="green") if row.held else Text("fails", style="red")
        drawn.add_row(mark, *(Text(text) for text in (row.check, row.subject, row.found, row.todo)))
    return drawn


def as_json(environment: str, rows: Sequence[Row]) -> str:
    held = all(row.held for row in rows)
    listed = [dataclasses.asdict(row) for row in rows]
    return json.dumps({"environment": environment, "held": held, "rows": listed}, indent=2)
