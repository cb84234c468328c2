"""The gateway's clocks and dice, for as long as a simulation runs: virtual time, seeded identifiers.

Wherever a module of the gateway holds a clock or a source of randomness, that name stands for the simulated one;
so does the place where credentials come from. Nothing else of it is touched.
"""

from __future__ import annotations

import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from types import ModuleType, SimpleNamespace

import boto3

from services.gateway.random_ids import RandomIds
from tests.services.gateway.simulation.loop import PROCESS, SimulatedLoop

CREDENTIALS = boto3.Session(
    aws_access_key_id="simulated",
    aws_secret_access_key="simulated",
    region_name="eu-west-1",
)
EPOCH = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)


def wall_clock(loop: SimulatedLoop) -> datetime:
    """What a clock on the wall of the running process says."""
    process = PROCESS.get()
    return EPOCH + timedelta(seconds=loop.time() + (0.0 if process is None else process.skew_s))


@contextmanager
def simulated(loop: SimulatedLoop, random: Random) -> Iterator[None]:
    """Clocks are the loop's, identifiers and delimiters the seed's."""
    changed: list[tuple[ModuleType, str, object]] = []
    stand_ins = _stand_ins(loop, random)
    for module in [one for name, one in sys.modules.items() if name.startswith("services.gateway")]:
        for name, value in list(vars(module).items()):
            stand_in = _drawn(random, value) if isinstance(value, RandomIds) else stand_ins.get(id(value))
            if stand_in is not None:
                changed.append((module, name, value))
                setattr(module, name, stand_in)
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


def _drawn(random: Random, ids: RandomIds) -> Callable[[], str]:
    """Ids of the same length, the same ones for the same seed."""
    return lambda: random.randbytes(ids.size_bytes).hex()


def _stand_ins(loop: SimulatedLoop, random: Random) -> dict[int, object]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # plain, as others make them
            return wall_clock(loop).astimezone(tz)

    def uuid4() -> uuid.UUID:
        return uuid.UUID(int=random.getrandbits(128), version=4)

    def token_hex(size_bytes: int) -> str:
        return random.randbytes(size_bytes).hex()

    monotonic: Callable[[], float] = loop.time
    return {
        id(time): SimpleNamespace(monotonic=monotonic, time=lambda: wall_clock(loop).timestamp()),
        id(time.monotonic): monotonic,
        id(datetime): Clock,
        id(uuid.uuid4): uuid4,
        id(boto3): SimpleNamespace(Session=lambda **_: CREDENTIALS),
        id(secrets): SimpleNamespace(choice=random.choice, token_hex=token_hex),
    }
