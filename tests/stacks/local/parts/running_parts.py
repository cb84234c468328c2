"""Where the tests' own copy of the local parts listens and writes."""

from __future__ import annotations

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
    """Anywhere but where the platform of a developer, or of another test process, may listen."""
    while True:
        addresses = Addresses.default().shifted(random.randrange(500, 20_000, 20))  # noqa: S311 - not a secret
        if all(ports.is_free(port) for port in astuple(addresses)):
            return addresses
