"""Seals a chain: once a second, when there is something new, a signed head goes to the log archive.

Until a record is under a head, whoever owns the database could change it unseen. So that this window cannot
be held open, the chain refuses new records when sealing has been failing for `OVERDUE_S`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from services.gateway.adapters.audit_writer import ChainWriter
from services.gateway.audit.head import name, seal, state
from services.gateway.exchange import Unavailable

STAGE = "audit"
INTERVAL_S = 1.0
OVERDUE_S = 10.0

_logger = logging.getLogger(__name__)


class Signer(Protocol):
    async def sign(self, text: bytes) -> bytes:
        """ECDSA over SHA-384 with the audit key; Unavailable when it cannot be had."""


class Archive(Protocol):
    async def put(self, object_name: str, content: bytes) -> bool:
        """Stores an object that does not exist yet: False when one of that name does. Unavailable on failure."""

    async def get(self, object_name: str) -> bytes:
        """Reads an object; Unavailable on failure."""

    async def last_name(self, chain: UUID, seq_near: int) -> str | None:
        """The name of a chain's last head, or None."""


class Sealer:
    def __init__(self, writer: ChainWriter, signer: Signer, archive: Archive) -> None:
        self._writer = writer
        self._signer = signer
        self._archive = archive
        self._sealed: tuple[UUID, int] | None = None  # chain and size under the last head
        self._unfinished: tuple[UUID, int, bytes] | None = (
            None  # chain, size, a head whose storing failed or is unknown
        )
        self._unsealed_since: float | None = None
        self._sealing = asyncio.Lock()

    def committed(self) -> None:
        """There are records that no head covers."""
        if self._unsealed_since is None:
            self._unsealed_since = time.monotonic()

    @property
    def sealed(self) -> tuple[UUID, int] | None:
        """The chain and how many of its records the last stored head covers; None before the first."""
        return self._sealed

    @property
    def lag_s(self) -> float:
        """How long the oldest record that no head covers has been waiting; 0 when there is none."""
        return 0.0 if self._unsealed_since is None else time.monotonic() - self._unsealed_since

    @property
    def overdue(self) -> bool:
        return self.lag_s > OVERDUE_S

    async def run(self) -> None:
        while True:
            try:
                await self.seal()
            except Unavailable as failure:
                _logger.warning("head of the audit chain put off: %s", failure.reason)
            await asyncio.sleep(INTERVAL_S)

    async def seal(self) -> None:
        """Puts a head over everything that is durable now, if the last one does not cover it already."""
        async with self._sealing:
            chain = self._writer.chain
            await self._finish_unfinished(chain.id)
            frontier, last_hash, began = chain.frontier.copy(), chain.last_hash, time.monotonic()
            if self._sealed == (chain.id, frontier.size):
                self._unsealed_since = None
                return
            text = state(chain.id, frontier, last_hash, chain.id, datetime.now(UTC))
            # Kept until it is stored: after a lost answer the same bytes are tried again, never a second head.
            self._unfinished = chain.id, frontier.size, seal(text, await self._signer.sign(text))
            await self._finish_unfinished(chain.id)
            is_all = self._writer.chain.id == chain.id and self._writer.chain.size == frontier.size
            self._unsealed_since = None if is_all else began

    async def _finish_unfinished(self, chain: UUID) -> None:
        if self._unfinished is None:
            return
        of_chain, size, content = self._unfinished
        if of_chain != chain:
            # The writer had to begin another chain; whoever recovers the old one puts a head over its end.
            self._unfinished = None
            return
        object_name = name(of_chain, size - 1)
        if not await self._archive.put(object_name, content) and await self._archive.get(object_name) != content:
            # Never overwritten and never accepted: the chain stays unsealed, so it stops taking records.
            raise Unavailable(STAGE, f"{object_name} exists and is not the head this writer made")
        self._unfinished = None
        self._sealed = of_chain, size
