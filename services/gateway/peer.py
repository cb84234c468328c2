"""Whoever sent a request, as far as the connection knows: what of it has come, and whether they are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

SCOPE_KEY = "gateway.peer"


class Peer:
    """Of one request. Told by the connection, asked by the application."""

    __slots__ = ("_leaving", "gone")

    def __init__(self) -> None:
        self.gone = False
        self._leaving: Callable[[], object] | None = None

    def body(self) -> bytes | None:
        """All of the request's body where it has come already; None where it has to be waited for. Asked once."""
        return None

    def take(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """A whole answer in one write, headers and all; False where it has to go the usual way, piece by piece.

        The headers are the gateway's own: nothing of a caller's or a model's is in them.
        """
        del status, headers, body
        return False

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
