"""What lies between a gateway and its stores: it delays, loses and cuts, as the seed says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from services.gateway.exchange import Unavailable
from tests.services.gateway.simulation.loop import PROCESS, SimulatedLoop

Answer = TypeVar("Answer")
Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one request and its answer. What is lost is lost silently or with the connection cut."""

    there_s: float
    back_s: float
    lost_there: bool = False
    lost_back: bool = False
    silent: bool = False


@dataclass(eq=False)
class Server:
    """A store as the network sees it: up or down, awake or frozen."""

    name: str
    up: bool = True
    frozen: bool = False
    _waiting: list[Act] = field(default_factory=list)
    links: dict[Link, None] = field(default_factory=dict)  # in the order they were made

    def when_awake(self, act: Act) -> None:
        if self.frozen:
            self._waiting.append(act)
        else:
            act()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()

    def stop(self) -> None:
        """The process ends: what it had not looked at is gone, and so are its connections."""
        self.up, self.frozen, self._waiting = False, False, []
        for link in list(self.links):
            link.cut()

    def start(self) -> None:
        self.up = True


class Link:
    """One connection to a server, of the process that made it."""

    def __init__(self, network: Network, server: Server) -> None:
        self.network = network
        self.server = server
        self.process = PROCESS.get()
        self._there_at = 0.0  # what was sent later arrives no earlier
        self._back_at = 0.0
        self.open = True
        server.links[self] = None
        network.made.append(self)

    def cut(self) -> None:
        """Both ends learn of it, the client a moment later."""
        if self.open:
            self.open = False
            self.server.links.pop(self, None)
            self.on_server_lost()
            self.network.later(self.network.delay_s(), self._client_learns)

    def deliver(self, delay_s: float, act: Act) -> None:
        """To the server, in order; dropped when the connection is gone by then."""
        self._there_at = max(self._there_at, self.network.loop.time() + delay_s)
        self.network.later(self._there_at - self.network.loop.time(), lambda: self.server.when_awake(act))

    def answer(self, delay_s: float, act: Act) -> None:
        """To the client, in order; not to a process that was killed."""
        self._back_at = max(self._back_at, self.network.loop.time() + delay_s)

        def arrive() -> None:
            if self.process is None or not self.process.dead:
                act()

        self.network.later(self._back_at - self.network.loop.time(), arrive)

    def _client_learns(self) -> None:
        if self.process is None or not self.process.dead:
            self.on_client_lost()

    def on_server_lost(self) -> None:
        """For who keeps something for a connection."""

    def on_client_lost(self) -> None:
        """For who waits on a connection."""


class Network:
    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.loss = 0.0  # of a request or an answer, 0 to 1
        self.slowness = 1.0
        self._random = random
        self._neutral = copy_context()
        self.trace: list[str] = []
        self.made: list[Link] = []  # every connection there ever was

    def note(self, what: str) -> None:
        self.trace.append(f"{self.loop.time():9.4f} {what}")

    def later(self, delay_s: float, act: Act) -> None:
        """Belongs to no process: what is on its way arrives although its sender is gone."""
        self.loop.call_later(max(delay_s, 0.0), act, context=self._neutral)

    def delay_s(self) -> float:
        return self._random.uniform(0.0002, 0.004) * self.slowness

    def fate(self) -> Fate:
        random, loss = self._random, self.loss
        if not loss:
            return Fate(self.delay_s(), self.delay_s())
        lost = random.random() < loss
        there = random.random() < 0.5
        return Fate(
            self.delay_s(),
            self.delay_s(),
            lost_there=lost and there,
            lost_back=lost and not there,
            silent=random.random() < 0.5,
        )

    async def call(self, server: Server, stage: str, act: Callable[[], Answer], *, deadline_s: float) -> Answer:
        """One request to a service over HTTP; Unavailable when no answer comes. It may have been done all the same."""
        reply: asyncio.Future[Answer] = self.loop.create_future()
        fate = self.fate()

        def work() -> None:
            if server.up:
                answer = act()
                if not fate.lost_back:
                    self.later(fate.back_s, lambda: None if reply.done() else reply.set_result(answer))

        if not fate.lost_there:
            self.later(fate.there_s, lambda: server.when_awake(work))
        try:
            async with asyncio.timeout(deadline_s if server.up else fate.there_s + fate.back_s):
                return await reply
        except TimeoutError as error:
            raise Unavailable(stage, f"{server.name} does not answer") from error
