"""A figure with the bound it should keep, and the table they are shown in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """`bound` is a sentence for people; `kept` says whether it holds; None where there is no bound."""

    name: str
    value: str
    bound: str = ""
    kept: bool | None = None
    note: str = ""

    def plain(self) -> dict[str, object]:
        return asdict(self)


def at_most(name: str, value: float, bound: float, unit: str, note: str = "") -> Figure:
    return Figure(name, f"{value:,.2f} {unit}", f"≤ {bound:g} {unit}", value <= bound, note)


def at_least(name: str, value: float, bound: float, unit: str, note: str = "") -> Figure:
    return Figure(name, f"{value:,.{0 if value >= 100 else 2}f} {unit}", f"≥ {bound:,g} {unit}", value >= bound, note)


def table(figures: Sequence[Figure]) -> Table:
    drawn = Table(title="Benchmarks", title_justify="left")
    for column in ("figure", "value", "bound", "kept", "how"):
        drawn.add_column(column)
    for figure in figures:
        mark = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[figure.kept]
        drawn.add_row(figure.name, figure.value, figure.bound, mark, figure.note)
    return drawn
