"""Where the tests' own copy of the local parts listens and writes."""

from __future__ import annotations

import os
import random
from dataclasses import astuple, dataclass

from stacks.local.parts import ports
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places
from stacks.local.parts.supervisor import Supervisor


@dataclass(frozen=True)
class RunningParts:
    places: Places
    addresses: Addresses
    supervisor: Supervisor


def free_addresses() -> Addresses:
    """Anywhere but where the platform of a developer, other tests below 10,000, or another test process may listen."""
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        offset = random.randrange(10_000 + 20 * mine, 20_000, 20 * processes)  # noqa: S311 - not a secret
        addresses = Addresses.default().shifted(offset)
        if all(ports.is_free(port) for port in astuple(addresses)):
            return addresses
