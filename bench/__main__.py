"""Runs every benchmark and prints one table: `make bench`, or `python -m bench --json`."""

from __future__ import annotations

import json
import sys

from rich.console import Console

from bench import gateway, graph, policy
from bench.figures import Figure, table


def main() -> None:
    console = Console(stderr=True)
    figures: list[Figure] = []
    for benchmark in (policy.measure, graph.measure, gateway.measure):
        for figure in benchmark():
            console.print(f"{figure.name}: {figure.value}")
            figures.append(figure)
    if "--json" in sys.argv:
        json.dump([figure.plain() for figure in figures], sys.stdout, indent=1)
    else:
        Console().print(table(figures))


if __name__ == "__main__":
    main()
