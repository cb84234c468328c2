"""Readiness: every part that a request needs, each asked now, and what it says in words that name no value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from services.gateway.exchange import Denied

CHECK_DEADLINE_S = 2
READY = "ready"

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class State:
    """What the parts said. `draining`: the process was told to end and takes no new requests."""

    parts: Mapping[str, str]
    draining: bool

    @property
    def ready(self) -> bool:
        return not self.draining and all(said == READY for said in self.parts.values())

    @property
    def status(self) -> str:
        return "draining" if self.draining else READY if self.ready else "not ready"


class Readiness:
    """Asks the checks by the names under which /readyz tells them."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self.draining = False

    async def state(self) -> State:
        said = await asyncio.gather(*(_said(check) for check in self._checks.values()))
        return State(dict(zip(self._checks, said, strict=True)), self.draining)


async def _said(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S):
            await check()
    except Denied as denied:
        return f"not ready: {denied.stage}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the part is not ready
        return f"not ready: {type(error).__name__}"
    return READY
