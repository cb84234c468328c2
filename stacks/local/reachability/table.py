"""Who can reach whom as a table: a row per source tier, a column per target, ports or none."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stacks.local.reachability.network import Network
from stacks.local.reachability.paths import SERVICES
from stacks.local.reachability.summary import Summary, columns, summary


def table(network: Network, title: str) -> Table:
    found, places = summary(network), columns(network)
    drawn = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    drawn.add_column("from \\ to")
    for place in places:
        drawn.add_column(place)
    for source in places:
        if source != SERVICES:
            drawn.add_row(source, *(_cell(found, source, target) for target in places))
    return drawn


def _cell(found: Summary, source: str, target: str) -> Text:
    """One line per pair of parties; a tier with several sources says which of them."""
    lines = [
        f"{one.name} → {other.name}: {traffic}" if one.name != source else f"{other.name}: {traffic}"
        for (one, other), traffic in found.items()
        if (one.tier, other.tier) == (source, target)
    ]
    return Text("\n".join(lines)) if lines else Text("none", style="dim")
