"""Starts a new AI workload: a folder, its tests and its place in every environment.

    python -m stacks.fork --name claims-triage --data-class confidential
    … --boundary self_hosted --owner claims-team --tenants acme,globex
    python -m stacks.fork --name claims-triage --update       follow a changed template

What is missing is asked for on a terminal, and refused elsewhere. Exit 0: written. Exit 1: written, with
conflicts to settle. Exit 2: refused; nothing was written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt
from rich.table import Table

from stacks.classification import Boundary, DataClass, choose
from stacks.configuration import ConfigurationError, load
from stacks.fork.fork import make, update
from stacks.fork.rendering import TEMPLATES
from stacks.fork.takeover import Change, Outcome
from stacks.fork.wish import Wish, usual_boundary

WRITTEN, CONFLICT, REFUSED = 0, 1, 2
REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY, templates: Path = TEMPLATES) -> int:
    options = _options(arguments)
    try:
        outcomes = update(root, options.name, templates) if options.update else make(root, _wish(options), templates)
    except ConfigurationError as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return REFUSED
    _print(outcomes)
    return CONFLICT if any(one.change is Change.CONFLICT for one in outcomes) else WRITTEN


def _wish(options: argparse.Namespace) -> Wish:
    name = options.name or _asked("--name", "Name of the workload", "claims-triage")
    data_class = choose(
        DataClass, options.data_class or _asked("--data-class", "Data class", "internal", DataClass), "data_class"
    )
    usual = usual_boundary(data_class).value
    boundary = options.boundary or (_asked("", "Boundary", usual, Boundary) if sys.stdin.isatty() else usual)
    return load(
        Wish,
        {
            "name": name,
            "data_class": data_class,
            "boundary": boundary,
            "owner": options.owner or f"{name}-team",
            "tenants": [tenant for tenant in options.tenants.split(",") if tenant],
        },
        "workload",
    )


def _asked(flag: str, question: str, example: str, choices: Sequence[str] | type[DataClass | Boundary] = ()) -> str:
    allowed = [str(choice) for choice in choices]
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{flag} is not set (allowed: {', '.join(allowed) or f'a name such as {example}'})")
    return Prompt.ask(question, choices=allowed or None, default=example)


def _print(outcomes: Sequence[Outcome]) -> None:
    table = Table(title="The workload's files", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("what became of it")
    for one in outcomes:
        table.add_row(str(one.file), one.change.value)
    console = Console()
    console.print(table)
    tests = [str(one.file) for one in outcomes if one.file.name.startswith("test_")]
    console.print(f"Next: .venv/bin/pytest {' '.join(tests)}; then docs/workloads.md", markup=False)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make workload", description="Starts a new AI workload.")
    parser.add_argument("--name", default="", help="2 to 23 of a-z, 0-9 and -")
    parser.add_argument("--data-class", default="", help=", ".join(DataClass))
    parser.add_argument("--boundary", default="", help=", ".join(Boundary))
    parser.add_argument("--owner", default="", help="the team; <name>-team if not given")
    parser.add_argument("--tenants", default="acme,globex", help="comma-separated")
    parser.add_argument("--update", action="store_true", help="follow a changed template")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
