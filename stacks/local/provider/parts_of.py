"""The real parts of the local platform that stand behind AWS resources: PostgreSQL, Valkey, processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places

# The entry point of an image → how the same program starts from the working tree.
ENTRY_POINTS = {"gateway": (sys.executable, "-m", "services.gateway")}


@dataclass(frozen=True)
class Parts:
    """Where the parts listen, below which folder they write, and how a container's program starts here."""

    addresses: Addresses
    places: Places
    entry_points: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: ENTRY_POINTS)

    @classmethod
    def default(cls) -> Parts:
        return cls(Addresses.default(), Places.default())
