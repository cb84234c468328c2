"""Limits on a real Valkey that is empty at the start of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.adapters.limits import ValkeyLimits
from tests.services.gateway.real_parts import Valkey, settings


@pytest.fixture
async def limits(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ValkeyLimits]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    limits = ValkeyLimits(settings(1, "unused", valkey_port=valkey.port))
    await limits.start()
    yield limits
    await limits.close()
