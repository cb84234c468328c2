"""Valkey as the limiter sees it: RESP3 on a simulated socket, and limits.lua's arithmetic over again.

test_faithfulness.py compares it, call by call, with the real script on a real Valkey.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.gateway.adapters.limits import SCRIPT_SHA1
from tests.services.gateway.simulation.loop import PROCESS
from tests.services.gateway.simulation.network import Link, Network, Server

MINUTE_MS = 60_000
SLACK = 0.000001


@dataclass
class Bucket:
    used: list[float]
    limits: list[int]
    at_ms: float


@dataclass
class Limiter:
    """The data, and the script that decides. `now_ms` is the server's own clock."""

    now_ms: Callable[[], float]
    buckets: dict[str, Bucket] = field(default_factory=dict)
    leases: dict[str, dict[str, float]] = field(default_factory=dict)
    loaded: bool = False

    def forget(self) -> None:
        """A restart: nothing is kept."""
        self.buckets.clear()
        self.leases.clear()
        self.loaded = False

    def live(self) -> int:
        return sum(until > self.now_ms() for leases in self.leases.values() for until in leases.values())

    def evaluate(self, keys: Sequence[str], arguments: Sequence[str]) -> list[int]:
        what, lease, *numbers = arguments
        if what == "acquire":
            return self._acquire(keys, lease, [int(number) for number in numbers])
        if what == "renew":
            for name in keys[1::2]:
                self.leases.setdefault(name, {})[lease] = self.now_ms() + int(numbers[0])
            return []
        return self._release(keys, lease, (0, int(numbers[0]), int(numbers[1])))

    def _acquire(self, keys: Sequence[str], lease: str, numbers: list[int]) -> list[int]:
        lease_ms, amounts = numbers[0], [1, *numbers[1:3]]
        if lease in self.leases.get(keys[1], {}):
            amounts = [0, 0, 0]
        states: list[Bucket] = []
        refusal = (0, 0, 0)
        for scope in range(len(keys) // 2):
            asked = numbers[3 + 4 * scope : 7 + 4 * scope]
            state, over, retry_ms = self._judge(keys[2 * scope], keys[2 * scope + 1], asked[0], asked[1:], amounts)
            states.append(state)
            if refusal[0] == 0 and over:
                refusal = (over, scope + 1, retry_ms)
        if refusal[0] == 0 and amounts[0]:
            self._charge(keys, lease, lease_ms, states, amounts)
        return [*refusal, *_report(states)]

    def _charge(
        self, keys: Sequence[str], lease: str, lease_ms: int, states: Sequence[Bucket], amounts: Sequence[int]
    ) -> None:
        for scope, state in enumerate(states):
            state.used = [used + amount for used, amount in zip(state.used, amounts, strict=True)]
            self.buckets[keys[2 * scope]] = state
            self.leases.setdefault(keys[2 * scope + 1], {})[lease] = self.now_ms() + lease_ms

    def _judge(
        self, bucket: str, leases: str, concurrent_max: int, limits: list[int], amounts: Sequence[int]
    ) -> tuple[Bucket, int, int]:
        now = self.now_ms()
        kept = self.leases.setdefault(leases, {})
        for lease in [lease for lease, until in kept.items() if until <= now]:
            del kept[lease]
        over, retry_ms = 0, 0
        if amounts[0] and len(kept) >= concurrent_max:
            over, retry_ms = 4, 1000 if concurrent_max > 0 else -1
        used = self._leaked(bucket, limits)
        for index, (limit, amount) in enumerate(zip(limits, amounts, strict=True)):
            excess = used[index] + amount - limit - SLACK
            if over == 0 and excess > 0 and amount > 0:
                over = index + 1
                retry_ms = -1 if amount > limit else math.ceil(excess * MINUTE_MS / limit)
        return Bucket(used, limits, now), over, retry_ms

    def _leaked(self, name: str, limits: Sequence[int]) -> list[float]:
        bucket = self.buckets.get(name)
        if bucket is None:
            return [0.0, 0.0, 0.0]
        age_ms = max(0.0, self.now_ms() - bucket.at_ms)
        return [max(0.0, used - age_ms * limit / MINUTE_MS) for used, limit in zip(bucket.used, limits, strict=True)]

    def _release(self, keys: Sequence[str], lease: str, corrections: Sequence[int]) -> list[int]:
        for scope in range(len(keys) // 2):
            bucket = self.buckets.get(keys[2 * scope])
            was_held = self.leases.get(keys[2 * scope + 1], {}).pop(lease, None) is not None
            if was_held and bucket is not None:
                used = self._leaked(keys[2 * scope], bucket.limits)
                bucket.used = [max(0.0, one + change) for one, change in zip(used, corrections, strict=True)]
                bucket.at_ms = self.now_ms()
        return []


def _report(states: Sequence[Bucket]) -> list[int]:
    answer: list[int] = []
    for rate in range(3):
        remaining = [max(0, math.floor(state.limits[rate] - state.used[rate] + SLACK)) for state in states]
        least = min(remaining)
        tightest = remaining.index(least)
        state = states[tightest]
        answer += [tightest + 1, least, math.ceil(state.used[rate] * MINUTE_MS / state.limits[rate])]
    return answer


class ValkeyServer(Server):
    def __init__(self, now_ms: Callable[[], float]) -> None:
        super().__init__("valkey")
        self.limiter = Limiter(now_ms)

    def answer(self, words: list[str]) -> bytes:
        """RESP3 for one command."""
        command = words[0].upper()
        if command == "HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if command == "SCRIPT":
            self.limiter.loaded = True
            return f"+{SCRIPT_SHA1}\r\n".encode()
        if command == "EVALSHA":
            if not self.limiter.loaded:
                return b"-NOSCRIPT No matching script\r\n"
            count = int(words[2])
            numbers = self.limiter.evaluate(words[3 : 3 + count], words[3 + count :])
            return b"*%d\r\n" % len(numbers) + b"".join(b":%d\r\n" % number for number in numbers)
        return b"+PONG\r\n" if command == "PING" else b"+OK\r\n"


class _Socket(Link, asyncio.Transport):
    """The client's end of a connection; commands are whole in every write, as redis-py sends them."""

    def __init__(self, network: Network, server: ValkeyServer, protocol: asyncio.Protocol) -> None:
        Link.__init__(self, network, server)
        asyncio.Transport.__init__(self)
        self._valkey = server
        self._protocol = protocol
        self._closing = False
        self._silent = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        fate = self.network.fate()
        commands = _commands(bytes(data))
        if fate.silent and (fate.lost_there or fate.lost_back):
            self._silent = True  # nothing of this connection gets through any more

        def arrive() -> None:
            if not self.open or (fate.lost_there and self._silent):
                return
            if fate.lost_there:
                self.cut()
                return
            answer = b"".join(self._valkey.answer(command) for command in commands)
            self.answer(fate.back_s, lambda: self._arrived(answer, lost=fate.lost_back))

        self.deliver(fate.there_s, arrive)

    def _arrived(self, answer: bytes, *, lost: bool) -> None:
        if lost and not self._silent:
            self.cut()
        elif not lost and not self._silent and not self._closing and self.open:
            self._protocol.data_received(answer)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.deliver(self.network.delay_s(), self._hung_up)
            self.network.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: object = None) -> object:
        del name
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        """Answers are small."""

    def resume_reading(self) -> None:
        """Answers are small."""

    def on_client_lost(self) -> None:
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(ConnectionResetError("cut"))

    def _hung_up(self) -> None:
        self.open = False
        self.server.links.pop(self, None)


def _commands(data: bytes) -> list[list[str]]:
    """RESP arrays of bulk strings, whole ones only."""
    commands: list[list[str]] = []
    at = 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        words = []
        count, at = int(data[at + 1 : end]), end + 2
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size, at = int(data[at + 1 : end]), end + 2
            words.append(data[at : at + size].decode())
            at += size + 2
        commands.append(words)
    return commands


def dialled(network: Network, server: ValkeyServer, protocol: asyncio.Protocol) -> asyncio.Future[asyncio.Transport]:
    """A new connection; refused when the server is down, never answered while it is frozen."""
    loop = network.loop
    future: asyncio.Future[asyncio.Transport] = loop.create_future()
    fate, process = network.fate(), PROCESS.get()

    def arrive() -> None:
        if future.done():
            return
        if not server.up or fate.lost_there:
            future.set_exception(ConnectionRefusedError("no server"))
            return
        transport = _Socket(network, server, protocol)
        transport.process = process
        protocol.connection_made(transport)
        future.set_result(transport)

    network.later(fate.there_s, lambda: server.when_awake(arrive))
    return future
