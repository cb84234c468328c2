"""The report of a local run: one self-contained page and the same as JSON, below build/local/."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stacks.local.progress import Row

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Local run of llm-pipelines</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a1a1a; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .4rem .6rem;
  vertical-align: top; }}
tr {{ border-bottom: 1px solid #ddd; }} code {{ font-size: 13px; word-break: break-word; }}
.held {{ color: #0a6b2d; font-weight: 600; }} .failed {{ color: #b00020; font-weight: 600; }}
blockquote {{ border-left: 3px solid #888; margin: 0; padding-left: 1rem; white-space: pre-wrap; }}
</style></head><body>
<h1>Local run</h1>
<p>The unmodified programs, run by a stand-in engine against moto and real local parts. What is real and what
stands in is listed in the README. Production is <code>pulumi up</code>.</p>
<table><thead><tr><th>step</th><th>result</th><th>figure</th><th>s</th><th>check it by hand</th></tr></thead>
<tbody>{rows}</tbody></table>
{passages}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """Something to read in full: a question and its answer, or a refusal."""

    title: str
    text: str


def write(folder: Path, rows: Sequence[Row], passages: Sequence[Passage]) -> Path:
    """Writes report.html and report.json into `folder` and returns the page's path."""
    page = folder / "report.html"
    drawn = "".join(_row(row) for row in rows)
    read = "".join(f"<h2>{html.escape(p.title)}</h2><blockquote>{html.escape(p.text)}</blockquote>" for p in passages)
    page.write_text(_PAGE.format(rows=drawn, passages=read), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps([row.plain() for row in rows], indent=1), encoding="utf-8")
    return page


def _row(row: Row) -> str:
    mark = '<span class="held">held</span>' if row.held else '<span class="failed">failed</span>'
    cells = (html.escape(row.step), mark, html.escape(row.figure), f"{row.seconds:.1f}")
    check = f"<code>{html.escape(row.check)}</code>" if row.check else ""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, check)) + "</tr>"
