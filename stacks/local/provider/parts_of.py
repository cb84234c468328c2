"""The real parts of the local platform that stand behind AWS resources: PostgreSQL, Valkey, processes."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places


@dataclass(frozen=True)
class Parts:
    """Where the parts listen, and below which folder they write."""

    addresses: Addresses
    places: Places

    @classmethod
    def default(cls) -> Parts:
        return cls(Addresses.default(), Places.default())
