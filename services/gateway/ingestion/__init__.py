"""Documents on their way in: fetched, read, cleaned, cut into passages, embedded, encrypted, stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.settings import Settings


async def ingest(settings: Settings, once: bool) -> int:
    """Works through the document queues of all registrations: until they are empty, or until SIGTERM.

    Returns the exit code: 0, or 1 when a part did not answer and documents were left in a queue.
    """
    # Imported late: the process that reads documents imports this package and must stay small.
    from services.gateway.ingestion.service import run

    return await run(settings, once=once)
