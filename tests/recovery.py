"""How long a gateway may take to recover from a fault, without a restart: ten seconds of a machine that runs.

What else happens in the background and sets no event is waited for in the same way, with a bound of its own.
"""

from __future__ import annotations

import asyncio
import math
import time

RECOVERY_S = 10.0
PAUSE_S = 0.05


class Recovery:
    """Runs from when it is made. AssertionError when time is up.

    A pause counts for no more than twice what it should be: for what else it took, the machine stood still.
    """

    def __init__(self, within_s: float = RECOVERY_S) -> None:
        self._within_s = within_s
        self._left_s = within_s
        self._looked_at = time.monotonic()

    async def pause(self) -> None:
        self._spend()
        await asyncio.sleep(PAUSE_S)
        self._spend(2 * PAUSE_S)

    def rest(self) -> None:
        """As `pause`, where nothing else runs."""
        self._spend()
        time.sleep(PAUSE_S)
        self._spend(2 * PAUSE_S)

    def _spend(self, at_most_s: float = math.inf) -> None:
        now = time.monotonic()
        self._left_s -= min(now - self._looked_at, at_most_s)
        self._looked_at = now
        assert self._left_s > 0, f"did not recover in {self._within_s:g} s"
