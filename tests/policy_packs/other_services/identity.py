"""Functions and who they may act as, as the rules ask for them."""

from __future__ import annotations


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
