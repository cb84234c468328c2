"""What each environment costs a month while idle, and each model per million tokens, before it is deployed.

    python -m stacks.local.cost                       every environment
    python -m stacks.local.cost --environment prod    one of them
    … --json                                          the same as JSON, line by line

The figures are list prices noted on the date printed; check them again before a decision rests on them.
Exit 0: everything has a price. Exit 2: something has none; it is listed and not in the total.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from stacks.configuration import ConfigurationError
from stacks.environment import EnvironmentName
from stacks.local.captured_platform import captured, captured_workloads, configured
from stacks.local.cost.estimate import Estimate, Unpriceable, estimate
from stacks.local.cost.prices import noted
from stacks.local.cost.table import tables
from stacks.local.engine_graph import EngineError

_PRICED, _UNPRICED = 0, 2
_PIPE_WIDTH = 132


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        estimates = [estimated(name) for name in options.environments]
    except (Unpriceable, EngineError, ConfigurationError) as refusal:
        print(f"not estimated: {refusal}", file=sys.stderr)
        return _UNPRICED
    if options.json:
        print(json.dumps([as_json(one) for one in estimates], indent=2))
    else:
        _print(estimates)
    return exit_code(estimates)


def exit_code(estimates: Sequence[Estimate]) -> int:
    return _UNPRICED if any(one.unpriced for one in estimates) else _PRICED


def estimated(name: str) -> Estimate:
    platform = captured(name)
    return estimate(configured(name), (platform, *captured_workloads(name, platform)), noted())


def as_json(one: Estimate) -> dict[str, object]:
    """Amounts as text, so that no reader rounds them."""
    return {
        "environment": one.environment,
        "as_of": one.table.as_of.isoformat(),
        "region": one.table.region,
        "currency": one.table.currency,
        "note": one.table.note,
        "usd_per_month_idle": str(one.total),
        "by_boundary": {boundary: str(usd) for boundary, usd in one.by_boundary().items()},
        "lines": [_texts(dataclasses.asdict(line)) for line in one.lines],
        "charged_by_use": {kind: one.table.by_use[kind] for kind in one.by_use},
        "no_price_known": [dataclasses.asdict(entry) for entry in one.unpriced],
        "models": [_texts(dataclasses.asdict(model)) for model in one.models],
        "not_included": list(one.table.not_included),
        "assumed": _texts(one.table.assumed.model_dump()),
    }


def _texts(values: dict[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _print(estimates: Sequence[Estimate]) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=_PIPE_WIDTH)
    for one in estimates:
        for part in tables(one):
            console.print(part)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [name.value for name in EnvironmentName]
    parser = argparse.ArgumentParser(prog="python -m stacks.local.cost", description=__doc__)
    parser.add_argument("--environment", choices=names, help="one environment instead of all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    options.environments = [options.environment] if options.environment else names
    return options


if __name__ == "__main__":
    sys.exit(main())
