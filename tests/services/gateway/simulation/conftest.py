"""Simulated time: a busy machine changes nothing in it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def patience() -> None:
    """None: what is simulated are the gateway's own deadlines."""
