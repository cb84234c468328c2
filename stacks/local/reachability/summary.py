"""Connections summed up for people: by name of source and target, over all addresses and subnets."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.local.reachability.network import Network
from stacks.local.reachability.paths import INTERNET, PRIVATE_NETWORKS, SERVICES, End, connections
from stacks.local.reachability.traffic import NOTHING, Traffic


@dataclass(frozen=True, order=True)
class Place:
    """A named end in its tier."""

    tier: str
    name: str


Summary = dict[tuple[Place, Place], Traffic]


def summary(network: Network) -> Summary:
    """What named parties can open to each other and outside, all guards together."""
    found: Summary = {}
    for connection in connections(network):
        if not connection.source.unnamed:
            pair = (_place(connection.source), _place(connection.target))
            found[pair] = found.get(pair, NOTHING) | connection.traffic
    return dict(sorted(found.items()))


def columns(network: Network) -> tuple[str, ...]:
    """From the outside inward, and out again to the services."""
    services = (SERVICES,) if network.services else ()
    return (PRIVATE_NETWORKS, *network.tiers, *services, INTERNET)


def _place(end: End) -> Place:
    return Place(end.tier, end.name)
