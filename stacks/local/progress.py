"""Shows long work while it runs, and what came of it as a table.

On a terminal the steps are drawn live; elsewhere each is one line when it ends. Every row names the
command with which a reader can check it by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table


class StepError(Exception):
    """A step did not hold. The message is one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found: a figure to show and, by hand, the command that shows the same."""

    figure: str
    check: str


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    act: Callable[[], Outcome]


@dataclass(frozen=True, slots=True)
class Row:
    step: str
    held: bool
    figure: str
    check: str
    seconds: float

    def plain(self) -> dict[str, object]:
        return asdict(self)


def run_steps(steps: Sequence[Step], console: Console) -> list[Row]:
    """Runs the steps in order and stops after the first that does not hold."""
    rows: list[Row] = []
    for number, step in enumerate(steps, 1):
        row = _run(step, f"[{number:2}/{len(steps)}]", console)
        rows.append(row)
        mark = "[green]held[/]" if row.held else "[red]FAILED[/]"
        console.print(f"[{number:2}/{len(steps)}] {row.step} … {mark} {row.seconds:.1f} s", highlight=False)
        if not row.held:
            break
    return rows


def _run(step: Step, place: str, console: Console) -> Row:
    began = time.monotonic()
    try:
        with console.status(f"{place} {step.name} …"):
            outcome = step.act()
    except StepError as error:
        return Row(step.name, False, str(error), "", time.monotonic() - began)
    return Row(step.name, True, outcome.figure, outcome.check, time.monotonic() - began)


def table(title: str, rows: Sequence[Row]) -> Group:
    """The final table (step, result, figure, seconds) and, below it, how to check each row by hand."""
    drawn = Table(title=title, title_justify="left", show_lines=False)
    drawn.add_column("", justify="right")
    drawn.add_column("step")
    drawn.add_column("result", no_wrap=True)
    drawn.add_column("figure", ratio=1)
    drawn.add_column("s", justify="right", no_wrap=True)
    checks = Table(title="Check it by hand", title_justify="left", box=None, show_header=False)
    checks.add_column("", justify="right")
    checks.add_column("", overflow="fold", ratio=1)
    for number, row in enumerate(rows, 1):
        result = "[green]held[/]" if row.held else "[red]FAILED[/]"
        drawn.add_row(str(number), row.step, result, escape(row.figure), f"{row.seconds:.1f}")
        if row.check:
            checks.add_row(str(number), escape(row.check))
    return Group(drawn, checks)
