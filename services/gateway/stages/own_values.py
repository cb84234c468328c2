"""Personal data that may leave: the caller's own, and what a passage shown to the caller holds."""

from __future__ import annotations

from services.gateway.exchange import Grounded


class OwnValues:
    """Of one request."""

    __slots__ = ("_chunks", "_values")

    def __init__(self, grounded: Grounded) -> None:
        placeholders = grounded.governed.placeholders
        self._values = frozenset(placeholders.values()) if placeholders else placeholders
        self._chunks = grounded.chunks

    def holds(self, value: str) -> bool:
        return value in self._values or any(value in chunk.text for chunk in self._chunks)
