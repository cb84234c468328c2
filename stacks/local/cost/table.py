"""An estimate for the terminal: components, boundaries, models, and what has no known price."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stacks.local.cost.estimate import Estimate


def tables(one: Estimate) -> Iterator[RenderableType]:
    yield _components(one)
    yield _models(one)
    yield Text("charged by use only: " + "; ".join(f"{_short(kind)} {one.table.by_use[kind]}" for kind in one.by_use))
    amounts = one.table.assumed.model_dump().items()
    yield Text("assumed while idle: " + ", ".join(f"{name.replace('_', ' ')} {amount}" for name, amount in amounts))
    yield Text(
        f"{one.table.region}, list prices noted on {one.table.as_of}, not fetched: check them again", style="yellow"
    )
    for entry in one.unpriced:
        yield Text(f"no price known: {entry.type} {entry.resource}: {entry.why}", style="red")


def _components(one: Estimate) -> Table:
    drawn = Table(title=f"{one.environment}: USD a month while idle", box=SIMPLE_HEAD, title_justify="left")
    drawn.add_column("component")
    drawn.add_column("boundary")
    drawn.add_column("USD", justify="right")
    for (component, boundary), usd in one.by_component().items():
        drawn.add_row(component, boundary, _usd(usd))
    drawn.add_section()
    for boundary, usd in one.by_boundary().items():
        drawn.add_row("all", boundary, _usd(usd))
    missing = f" and {len(one.unpriced)} without a known price" if one.unpriced else ""
    drawn.add_row(f"total{missing}", "", _usd(one.total), style="bold")
    return drawn


def _models(one: Estimate) -> Table:
    drawn = Table(title="USD per million tokens", box=SIMPLE_HEAD, title_justify="left")
    for name in ("model", "boundary", "input", "output"):
        drawn.add_column(name)
    for model in one.models:
        prices = (model.usd_per_million_input_tokens, model.usd_per_million_output_tokens)
        drawn.add_row(model.model, model.boundary, *map(str, prices))
    return drawn


def _short(kind: str) -> str:
    return kind.rpartition(":")[2]


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}"
