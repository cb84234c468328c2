"""One run from one seed: gateways are used while parts fail, then everything heals, then the promises are checked."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from services.gateway.adapters.ledger import RESERVATION_AGE_MAX
from services.gateway.exchange import Usage
from tests.services.gateway.simulation.loop import SimulatedLoop
from tests.services.gateway.simulation.mutants import HONEST, Mutant
from tests.services.gateway.simulation.own_time import simulated
from tests.services.gateway.simulation.promises import judge
from tests.services.gateway.simulation.services import SECRET, Plan
from tests.services.gateway.simulation.world import USERS, Asked, Gateway, World

REQUESTS = 10
GATEWAYS = 2
USED_FOR_S = 3.0
FALLBACK_EVERY, FALLBACK_AT = 7, 3  # of so many runs one has a first upstream that fails
SEVERAL_EVERY = 4  # of so many seeds one has requests for several answers: the others stay as they were
HEALED_AT_S = 5.0
SETTLED_AFTER_S = 1.0  # the ledger's own time for it is a fraction of that
RECOVERY_MAX_S = 10.0
WORDS = ("There are ", "thirty ", "days, and ", "more. ", "Ask ", SECRET[:7], SECRET[7:], " is the key. ")


@dataclass(frozen=True)
class Run:
    seed: int
    broken: tuple[str, ...]
    trace: tuple[str, ...]
    steps: int

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def simulate(seed: int, mutant: Mutant = HONEST) -> Run:
    """Everything that happens is decided by `seed`."""
    random = Random(seed)  # noqa: S311 - a simulation, not a secret
    loop = SimulatedLoop(random)
    defects: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: _collect(context, defects))
    try:
        with simulated(loop, random), _quiet():
            failing = Random(seed) if seed % FALLBACK_EVERY == FALLBACK_AT else None  # noqa: S311 - neither is this
            world = World(loop, random, mutant.store, mutant.detectors(), failing)
            mutant.spoil(world)
            loop.run_until_complete(_Story(world, several=seed % SEVERAL_EVERY == 0).tell())
            broken, trace = tuple(world.broken), tuple(world.network.trace)
            _sweep_away(world)
    finally:
        loop.close()
    if defects:
        raise defects[0]
    return Run(seed, broken, trace, loop.steps)


def _collect(context: dict[str, Any], defects: list[BaseException]) -> None:
    """A callback that raised is a defect of the simulation; what was killed complains when it is swept away."""
    if "handle" in context:
        defects.append(context["exception"])


@contextmanager
def _quiet() -> Iterator[None]:
    """A thousand lost connections are not logged."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _sweep_away(world: World) -> None:
    """The tasks of killed processes are ended, now that nobody looks any more."""
    for gateway in world.gateways:
        gateway.process.dead = False
    for server in (world.postgres, world.valkey, world.kms, world.s3):
        server.stop()
    for link in world.network.made:
        link.on_client_lost()
    for _ in range(5):
        if tasks := asyncio.all_tasks(world.loop):
            for task in tasks:
                task.cancel()
            world.loop.run_until_complete(asyncio.wait(tasks, timeout=30))
    closing = [world.loop.create_task(one.limits.close()) for one in world.gateways]
    world.loop.run_until_complete(asyncio.wait(closing, timeout=30))  # a killed one may wait for what it never heard of


class _Story:
    def __init__(self, world: World, *, several: bool) -> None:
        self._world = world
        self._several = several
        self._random = world.random

    async def tell(self) -> None:
        world = self._world
        for _ in range(GATEWAYS):
            gateway = world.gateway()
            await world.within(gateway, gateway.start())
        faults = self._arrange_faults()
        self._arrange_requests()
        await asyncio.sleep(HEALED_AT_S)
        self._heal()
        if len(world.living()) < GATEWAYS:
            replacement = world.gateway()
            await world.within(replacement, replacement.start())
        await self._everybody_recovers()
        await self._nothing_is_under_way()
        if not faults:
            await asyncio.sleep(SETTLED_AFTER_S)
            world.require(world.valkey.limiter.live() == 0, "a place was not given back although nothing failed")
            open_ = [held for held in world.store.held.values() if held.state == "reserved"]
            world.require(not open_, "money was not given back although nothing failed")
        await asyncio.gather(*(world.within(one, one.close()) for one in world.living()))
        await self._last_sweep()

    # --- who asks what ------------------------------------------------------------------------------------

    def _arrange_requests(self) -> None:
        for number in range(REQUESTS):
            at_s = self._random.uniform(0, USED_FOR_S)
            self._world.network.later(at_s, lambda number=number, at_s=at_s: self._ask(number, at_s))  # type: ignore[misc]

    def _ask(self, number: int, at_s: float) -> None:
        random = self._random
        asked = Asked(
            request_id=f"request-{number}",
            user=random.choice(USERS),
            at_s=at_s,
            hangs_up_after_s=random.uniform(0, 1.5) if random.random() < 0.3 else None,
            reads_slowly=random.random() < 0.1,
            choices=random.choice((1, 2)) if self._several else 1,
        )
        plans = {call_id: self._plan() for call_id in asked.calls}
        if asked.hangs_up_after_s is None and any(plan.end == "silence" for plan in plans.values()):
            asked.hangs_up_after_s = random.uniform(0.5, 2)
        self._world.backend.plans |= plans
        if living := self._world.living():
            self._world.ask(random.choice(living), asked)

    def _plan(self) -> Plan:
        random = self._random
        parts = WORDS if random.random() < 0.5 else WORDS[: random.randrange(len(WORDS))]
        parts = tuple(piece for part in parts for piece in _cut(part, random))
        pauses_s = tuple(random.uniform(0, 0.1) for _ in parts)
        end = random.choice(("stop", "stop", "stop", "error", "silence", "no_usage"))
        return Plan(parts, pauses_s, end, Usage(random.randrange(30, 150), len(parts)))

    # --- what goes wrong ------------------------------------------------------------------------------------

    def _arrange_faults(self) -> int:
        """Up to four of them, at any time; a tenth of all runs is fine weather."""
        count = 0 if self._random.random() < 0.1 else self._random.randint(1, 4)
        for _ in range(count):
            name = self._random.choice(sorted(self._FAULTS))
            at_s = self._random.uniform(0, HEALED_AT_S - 1)
            self._world.network.later(at_s, lambda name=name: self._strike(name))  # type: ignore[misc]
        return count

    def _strike(self, name: str) -> None:
        self._world.network.note(f"fault: {name}")
        self._FAULTS[name](self)

    def _for_a_while(self, back: Callable[[], None]) -> None:
        self._world.network.later(self._random.uniform(0.05, 2.5), back)

    def _storm(self) -> None:
        self._world.network.loss = self._random.uniform(0.02, 0.3)
        self._for_a_while(lambda: setattr(self._world.network, "loss", 0.0))

    def _slow(self) -> None:
        self._world.network.slowness = self._random.choice((10.0, 100.0))
        self._for_a_while(lambda: setattr(self._world.network, "slowness", 1.0))

    def _stop_postgres(self, *, power: bool = False) -> None:
        world = self._world
        if world.postgres.up:
            world.postgres.stop()
            world.store.stop()
            if power:
                world.store.lose_power()
            self._for_a_while(self._start_postgres)

    def _start_postgres(self) -> None:
        if not self._world.postgres.up:
            self._world.postgres.start()
            self._world.store.start()

    def _stop_valkey(self) -> None:
        world = self._world
        if world.valkey.up:
            world.valkey.stop()
            world.valkey.limiter.forget()
            world.valkey_forgot = True
            self._for_a_while(world.valkey.start)

    def _freeze_postgres(self) -> None:
        self._world.postgres.freeze()
        self._for_a_while(self._world.postgres.thaw)

    def _freeze_valkey(self) -> None:
        self._world.valkey.freeze()
        self._for_a_while(self._world.valkey.thaw)

    def _lose_aws(self) -> None:
        for server in (self._world.kms, self._world.s3):
            if self._random.random() < 0.7:
                server.stop()
                self._for_a_while(server.start)

    def _kill(self) -> None:
        if len(self._world.living()) > 1:
            self._world.kill(self._random.choice(self._world.living()))

    def _turn_clock(self) -> None:
        self._random.choice(self._world.gateways).process.skew_s = self._random.uniform(-30, 30)

    _FAULTS: ClassVar[dict[str, Callable[[_Story], None]]] = {
        "the network loses": _storm,
        "the network is slow": _slow,
        "PostgreSQL restarts": _stop_postgres,
        "PostgreSQL loses power": lambda story: story._stop_postgres(power=True),
        "PostgreSQL hangs": _freeze_postgres,
        "Valkey restarts": _stop_valkey,
        "Valkey hangs": _freeze_valkey,
        "KMS or the log archive is away": _lose_aws,
        "kill -9": _kill,
        "a clock jumps": _turn_clock,
    }

    # --- and how it ends -------------------------------------------------------------------------------------

    def _heal(self) -> None:
        world = self._world
        world.network.note("all is well again")
        world.network.loss, world.network.slowness = 0.0, 1.0
        self._start_postgres()
        for server in (world.postgres, world.valkey, world.kms, world.s3):
            server.thaw()
            server.start()

    async def _everybody_recovers(self) -> None:
        """Every gateway answers again, by itself and soon."""
        world = self._world
        for gateway in world.living():
            give_up_at = HEALED_AT_S + RECOVERY_MAX_S
            while not await self._answers(gateway):
                if world.loop.time() > give_up_at:
                    world.require(False, f"{gateway.process.name} did not recover in {RECOVERY_MAX_S} s")
                    break
                await asyncio.sleep(0.25)

    async def _answers(self, gateway: Gateway) -> bool:
        number = len(self._world.requests)
        asked = Asked(f"probe-{number}", f"probe-{gateway.process.name}", self._world.loop.time(), None, False)
        self._world.backend.plans[asked.request_id] = Plan(("Yes.",), (0.0,), "stop", Usage(30, 1))
        await self._world.ask(gateway, asked)
        return asked.ended in ("stop", "insufficient_quota")

    async def _nothing_is_under_way(self) -> None:
        """All journeys are over, and every chain that was left behind has been ended by another's writer."""
        world = self._world
        give_up_at = world.loop.time() + 30
        while self._unfinished():
            if world.loop.time() > give_up_at:
                world.require(False, f"never finished: {self._unfinished()}")
                return
            await asyncio.sleep(0.5)

    def _unfinished(self) -> list[str]:
        living = {one.audit.sealed[0] for one in self._world.living() if one.audit.sealed is not None}
        chains = [str(c) for c, one in self._world.store.chains.items() if one.closed_by is None]
        left = [f"chain {chain}" for chain in chains if chain not in living]
        return left + [f"journey at {one.process.name}" for one in self._world.living() if one.journeys]

    async def _last_sweep(self) -> None:
        """Sixteen minutes later somebody looks what was never settled."""
        world = self._world
        world.loop.jump(RESERVATION_AGE_MAX.total_seconds() + 60)
        last = world.gateway()
        expired = await world.within(last, last.ledger.sweep())  # type: ignore[func-returns-value]
        world.network.note(f"{expired} reservations expired as spent")
        judge(world, world.store.now())
        world.network.note(f"records: {len(world.store.records)}, {_fingerprint(world)}")


def _fingerprint(world: World) -> str:
    hashes = sorted(row.hash for row in world.store.records.values())
    return hashlib.sha256(b"".join(hashes)).hexdigest()[:16]


def _cut(part: str, random: Random) -> Iterator[str]:
    middle = random.randrange(len(part))
    return (piece for piece in (part[:middle], part[middle:]) if piece)
