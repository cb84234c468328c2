"""Captures the platform of an environment and proves who can reach whom.

    python -m stacks.local.reachability                       every environment
    python -m stacks.local.reachability --environment prod    one of them
    … --svg FILE                                              also draws it: one environment, else prod

Exit 0: every promise holds. Exit 1: one is broken; its path is printed. Exit 2: the graph cannot be judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from rich.console import Console

from stacks.configuration import ConfigurationError
from stacks.environment import Environment, EnvironmentName
from stacks.local.captured_platform import captured, captured_cluster, configured
from stacks.local.engine_graph import EngineError
from stacks.local.reachability.drawing import drawing
from stacks.local.reachability.network import Network
from stacks.local.reachability.pods import pod_breaches
from stacks.local.reachability.promises import EXPECTED_TIERS, Breach, Declared, breaches
from stacks.local.reachability.reading import Unjudgeable, read
from stacks.local.reachability.table import table

_HOLDS, _BROKEN, _UNJUDGED = 0, 1, 2
_PIPE_WIDTH = 132


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    console = Console()
    console = console if console.is_terminal else Console(width=_PIPE_WIDTH)
    try:
        return max([_prove(name, options.svg, console) for name in options.environments])
    except (Unjudgeable, EngineError, ConfigurationError) as refusal:
        console.print(f"not judged: {refusal}", style="red", markup=False)
        return _UNJUDGED


def _prove(name: str, svg: Path | None, console: Console) -> int:
    platform = captured(name)
    network = read(platform.resources, expected=EXPECTED_TIERS)
    cluster = captured_cluster(name, platform)
    inside = pod_breaches(cluster.resources, network) if cluster else ()
    if svg:
        svg.write_text(drawn(network, name), encoding="utf-8")
    return report(network, declared_by(configured(name)), name, console, inside)


def drawn(network: Network, name: str) -> str:
    return drawing(network, title=f"Who can reach whom in {name}")


def report(
    network: Network, declared: Declared, name: str, console: Console, inside_cluster: Sequence[Breach] = ()
) -> int:
    """Prints who can reach whom and what is broken; returns the exit code."""
    console.print(table(network, title=name))
    broken = (*breaches(network, declared), *inside_cluster)
    _say(broken, name, console)
    return _BROKEN if broken else _HOLDS


def declared_by(environment: Environment) -> Declared:
    """What the configuration of an environment says of the world outside."""
    network = environment.network
    return Declared(
        client_cidrs=tuple(map(IPv4Network, network.client_cidrs)),
        issuer_cidrs=tuple(map(IPv4Network, network.issuer_cidrs)),
        transit_gateway=network.transit_gateway_id,
        egress_hosts=frozenset(environment.egress_domains),
    )


def _say(broken: Sequence[Breach], name: str, console: Console) -> None:
    for breach in broken:
        console.print(str(breach), style="red", markup=False, highlight=False)
    if not broken:
        console.print(f"{name}: every promise holds", style="green", highlight=False)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [name.value for name in EnvironmentName]
    parser = argparse.ArgumentParser(prog="python -m stacks.local.reachability", description=__doc__)
    parser.add_argument("--environment", choices=names, help="one environment instead of all")
    parser.add_argument("--svg", type=Path, help="also draw it into this file: one environment, else prod")
    options = parser.parse_args(arguments)
    chosen = options.environment or (EnvironmentName.PROD.value if options.svg else "")
    options.environments = [chosen] if chosen else names
    return options


if __name__ == "__main__":
    sys.exit(main())
