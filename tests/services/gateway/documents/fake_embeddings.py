"""Embeddings without a model: texts that share words are near each other, always the same way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from services.gateway.exchange import Unavailable

DIMENSIONS = 128


def vector(text: str) -> tuple[float, ...]:
    """Each word pushes the vector in a direction of its own."""
    sums = [1e-3] * DIMENSIONS
    for word in text.lower().split():
        for index, byte in enumerate(hashlib.shake_256(word.encode()).digest(DIMENSIONS)):
            sums[index] += byte / 127.5 - 1
    length = math.sqrt(sum(value * value for value in sums))
    return tuple(value / length for value in sums)


class HashEmbeddings:
    """An embeddings backend that can be out of order."""

    def __init__(self) -> None:
        self.broken = False
        self.batches: list[int] = []

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if self.broken:
            raise Unavailable("embeddings", "the backend is down")
        self.batches.append(len(texts))
        return tuple(vector(text) for text in texts)
