"""What every backend's adapter calls through."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.adapters.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    client = Upstream()
    await client.start()
    yield client
    await client.close()
