"""Many concurrent calls as one: what arrives while a call is under way goes together into the next.

Under no load a call starts at once and alone; under load the groups grow by themselves. Only what is deferred, because
nobody waits for it, waits for company.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from services.gateway.exchange import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCall(Generic[Item, Result]):
    """Calls `call` with up to `group_max` items at a time, one call after the other.

    A failed call fails every item of its group. `abandoned` is told of items whose caller was gone when the
    call had succeeded.
    """

    def __init__(
        self,
        stage: str,
        call: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        *,
        group_max: int,
        waiting_max: int,
        abandoned: Callable[[Item], None] | None = None,
    ) -> None:
        self._stage = stage
        self._call = call
        self._group_max = group_max
        self._waiting_max = waiting_max
        self._abandoned = abandoned
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._pressed = False
        self._due: asyncio.TimerHandle | None = None  # when what is waiting goes, unless something presses before
        self._within_s = 0.0

    async def __call__(self, item: Item) -> Result:
        future = self.begin(item)
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled just after the call had succeeded: the result is lost, and only here is it known.
            if self._abandoned is not None and not future.cancelled() and future.exception() is None:
                self._abandoned(item)
            raise

    def begin(self, item: Item) -> asyncio.Future[Result]:
        """The call, under way without a task of its own. Who cancels what comes back gives up its result only."""
        future = self._added(item)
        self._press()
        return future

    def defer(self, item: Item, within_s: float) -> asyncio.Future[Result]:
        """As `begin`, but the call may wait that long for company, which makes it cheap. Nobody should wait for it."""
        future = self._added(item)
        if self._running is None and self._due is None:
            self._due = asyncio.get_running_loop().call_later(within_s, self._press)
        self._within_s = within_s
        return future

    @property
    def idle(self) -> bool:
        """True when nothing is waiting or under way."""
        return self._running is None and not self._waiting

    async def drain(self) -> None:
        """Returns when it is idle; what was deferred goes now."""
        while not self.idle:
            self._press()
            if self._running is not None:
                await asyncio.wait([self._running])

    def _added(self, item: Item) -> asyncio.Future[Result]:
        if len(self._waiting) >= self._waiting_max:
            return failed(Unavailable(self._stage, f"{self._waiting_max} calls are waiting already"))
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        return future

    def _press(self) -> None:
        """Whatever is waiting goes, in its order."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._pressed = bool(self._waiting)
        if self._running is None and self._pressed:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._pressed:
                self._pressed = False
                left = len(self._waiting)
                while left:
                    size = min(left, self._group_max)
                    left -= size
                    await self._run_group([self._waiting.popleft() for _ in range(size)])
        finally:
            self._running = None
        if self._waiting:
            self._due = asyncio.get_running_loop().call_later(self._within_s, self._press)

    async def _run_group(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._call([item for item, _ in group])
        except Unavailable as failure:
            for _, future in group:
                if not future.done():
                    # One exception object each: raised in many tasks, a shared one would grow their tracebacks.
                    future.set_exception(Unavailable(failure.stage, failure.reason))
            return
        except Exception as failure:  # noqa: BLE001 - a defect is raised where the call was made, not lost in this task
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
            return
        for (item, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)
            elif self._abandoned is not None:
                self._abandoned(item)


def failed(error: Exception) -> asyncio.Future[Any]:
    """For who begins a call and is to be told of a failure where the result is awaited."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
