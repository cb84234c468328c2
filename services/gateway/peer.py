"""Whoever sent a request, as far as the connection knows: whether all of it has come, and whether they are gone."""

from __future__ import annotations

from collections.abc import Callable

SCOPE_KEY = "gateway.peer"


class Peer:
    """Of one request. Told by the connection, asked by the application."""

    __slots__ = ("_leaving", "body_arrived", "gone")

    def __init__(self) -> None:
        self.body_arrived = False
        self.gone = False
        self._leaving: Callable[[], object] | None = None

    def leave(self) -> None:
        """The connection is lost."""
        self.gone = True
        if self._leaving is not None:
            self._leaving()

    def when_gone(self, leaving: Callable[[], object] | None) -> None:
        """What to do then, or at once where it has happened; None for nothing any more."""
        self._leaving = leaving
        if self.gone and leaving is not None:
            leaving()
