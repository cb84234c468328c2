"""What follows from who asks and from nothing else in a request: made once for a caller and its role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from services.gateway.exchange import Caller, Registration, Role

CALLERS_MAX = 4_096

Value = TypeVar("Value")


class PerCaller(Generic[Value]):
    """Remembers what `make` made for as long as all three are the very same objects.

    A token is verified once and its caller kept, a registration is loaded once: with every renewal of either there
    are new objects, and nothing that was made of the old ones is used again.
    """

    def __init__(self, make: Callable[[Caller, Registration, Role], Value]) -> None:
        self._make = make
        self._made: dict[int, tuple[Caller, Registration, Role, Value]] = {}

    def __call__(self, caller: Caller, registration: Registration, role: Role) -> Value:
        known = self._made.get(id(caller))  # nobody else's: what is remembered keeps its caller alive
        if known is not None and known[0] is caller and known[1] is registration and known[2] is role:
            return known[3]
        if len(self._made) >= CALLERS_MAX:
            self._made.clear()
        made = self._make(caller, registration, role)
        self._made[id(caller)] = caller, registration, role, made
        return made
