"""Ids that nobody can guess or meet twice: the system's random bytes, asked for by the block.

As random as `secrets.token_hex`, which asks the kernel each time; a process that is forked off draws its own. For
names only: keys, and words that must not be known before their time, are drawn when they are needed.
"""

from __future__ import annotations

import os
from collections import deque

BLOCK_IDS = 128


class RandomIds:
    """Gives a new id of twice as many hexadecimal digits with every call, from any thread."""

    __slots__ = ("_ready", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._ready: deque[str] = deque()
        os.register_at_fork(after_in_child=self._ready.clear)

    def __call__(self) -> str:
        try:
            return self._ready.popleft()
        except IndexError:
            first, *others = self._block()
            self._ready.extend(others)
            return first

    def _block(self) -> list[str]:
        digits, block = 2 * self.size_bytes, os.urandom(self.size_bytes * BLOCK_IDS).hex()
        return [block[start : start + digits] for start in range(0, len(block), digits)]
