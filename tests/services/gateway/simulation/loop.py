"""An event loop without a machine under it: time is a number, and a seed says who runs next.

Time passes only when nobody can run. Of all that could run, the seed picks one; the order within one task, and
among plain callbacks, stays what asyncio promises. Threads are calls. A process that was killed runs no further,
not even its `finally` blocks.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

Result = TypeVar("Result")

END_OF_TIME_S = 1e6


class Stuck(Exception):
    """Nobody can run and nothing will happen: a deadlock."""


@dataclass(eq=False)
class Process:
    """What is killed together. `skew_s` is how far its wall clock is off."""

    name: str
    dead: bool = False
    skew_s: float = 0.0
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        self.context = copy_context()
        self.context.run(PROCESS.set, self)


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now_s = 0.0
        self.steps = 0
        self.connect: Callable[[str, int, asyncio.Protocol], asyncio.Future[asyncio.Transport]] | None = None

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Time passes without anybody noticing: only where nobody is waiting for anything."""
        self._now_s += seconds

    def run_in_executor(self, executor: object, func: Callable[..., Result], *args: object) -> asyncio.Future[Result]:
        del executor
        future: asyncio.Future[Result] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits
            future.set_exception(error)
        return future

    async def create_connection(  # type: ignore[override]  # the few options that a simulated network has
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        del options
        assert self.connect is not None
        protocol = protocol_factory()
        return await self.connect(host, port, protocol), protocol

    def _run_once(self) -> None:
        self._wake_due()
        if not self._ready:
            self._pass_time()
            return
        handle = self._pick()
        if handle.cancelled() or _is_dead(handle):
            return
        self.steps += 1
        handle._run()

    def _pass_time(self) -> None:
        while self._scheduled and (self._scheduled[0].cancelled() or _is_dead(self._scheduled[0])):
            heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not self._scheduled or self._scheduled[0].when() > END_OF_TIME_S:
            raise Stuck(f"at {self._now_s:.3f} s")
        self._now_s = max(self._now_s, self._scheduled[0].when())

    def _wake_due(self) -> None:
        while self._scheduled and self._scheduled[0].when() <= self._now_s:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]
            if not handle.cancelled():
                self._ready.append(handle)

    def _pick(self) -> asyncio.Handle:
        if len(self._ready) == 1:
            return self._ready.popleft()
        owner = _owner(self._ready[self._random.randrange(len(self._ready))])
        for place, handle in enumerate(self._ready):
            if _owner(handle) is owner:
                del self._ready[place]
                return handle
        raise AssertionError("unreachable: the owner has a handle")

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call."""

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""


def _owner(handle: asyncio.Handle) -> object:
    owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return owner if isinstance(owner, asyncio.Task) else None


def _is_dead(handle: asyncio.Handle) -> bool:
    process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
    return process is not None and process.dead
