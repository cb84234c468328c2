"""KMS, the log archive and the model backend of a simulation."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from services.gateway.audit.head import PREFIX, StoredHead
from services.gateway.exchange import Event, Finish, Grounded, TextDelta, Unavailable, Usage
from services.gateway.stages.worst_case import price
from tests.services.gateway.simulation.network import Network, Server

Answer = TypeVar("Answer")

DEADLINE_S = 2.0
SECRET = "AKIA" + "Z7" * 8  # shaped like a credential, made here


class Signer:
    """KMS. A keyed digest stands for its signature: nothing else of a simulation has the key."""

    KEY = b"of this simulation"

    def __init__(self, network: Network, server: Server) -> None:
        self._network = network
        self._server = server

    async def sign(self, text: bytes) -> bytes:
        return await self._network.call(self._server, "audit", lambda: signature(text), deadline_s=DEADLINE_S)


def signature(text: bytes) -> bytes:
    return hashlib.blake2b(text, key=Signer.KEY).digest()


def signed(text: bytes, given: bytes) -> bool:
    return given == signature(text)


class Archive:
    """The log archive: an object is put once. Shared by all gateways."""

    def __init__(self, network: Network, server: Server) -> None:
        self._network = network
        self._server = server
        self.objects: dict[str, bytes] = {}

    async def put(self, object_name: str, content: bytes) -> bool:
        def put() -> bool:
            if object_name in self.objects:
                return False
            self.objects[object_name] = content
            return True

        return await self._call(put)

    async def get(self, object_name: str) -> bytes:
        return await self._call(lambda: self.objects[object_name])

    async def last_name(self, chain: UUID, seq_near: int) -> str | None:
        del seq_near
        prefix = f"{PREFIX}{chain}/"
        return await self._call(lambda: max((n for n in self.objects if n.startswith(prefix)), default=None))

    def heads(self) -> list[StoredHead]:
        return [StoredHead(name, content) for name, content in self.objects.items()]

    async def _call(self, act: Callable[[], Answer]) -> Answer:
        return await self._network.call(self._server, "audit", act, deadline_s=DEADLINE_S)


def request_of(call_id: str) -> str:
    """The request that a call is for: its own id, or that with the number of a choice behind it."""
    return "-".join(call_id.split("-")[:2])


@dataclass(frozen=True, slots=True)
class Plan:
    """What the backend does with one call: says `parts` at `pauses_s`, then ends well or not."""

    parts: tuple[str, ...]
    pauses_s: tuple[float, ...]
    end: str  # stop, error, silence, no_usage
    usage: Usage


@dataclass
class Backend:
    """A model that bills what it says, whatever became of who asked."""

    network: Network
    asked: Callable[[Grounded], None]  # checks that it may be asked at all
    plans: dict[str, Plan] = field(default_factory=dict)  # by call
    billed: dict[str, Decimal] = field(default_factory=dict)  # by call
    answered_by: dict[str, str] = field(default_factory=dict)  # model by call, from its first word on
    spare_surcharge: Decimal = Decimal(0)  # what a fallback costs beyond its price
    calls: list[str] = field(default_factory=list)
    running: dict[str, list[str]] = field(default_factory=dict)  # requests by user, one entry a call

    async def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        admitted = grounded.governed.admitted
        call_id = admitted.submission.request_id
        self.asked(grounded)
        self.calls.append(call_id)
        plan = self.plans[call_id]
        spoken = 0
        running = self.running.setdefault(admitted.caller.subject, [])
        running.append(request_of(call_id))
        try:
            for part, pause_s in zip(plan.parts, plan.pauses_s, strict=True):
                await asyncio.sleep(pause_s)
                spoken += 1
                self._bill(grounded, Usage(plan.usage.input_tokens, min(spoken, plan.usage.output_tokens)))
                yield TextDelta(part)
            if plan.end == "error":
                raise Unavailable("model_call", "the backend broke off")
            if plan.end == "silence":
                await asyncio.sleep(3_600)
            self._bill(grounded, plan.usage)
            yield Finish("stop", None if plan.end == "no_usage" else plan.usage, "simulated-1")
        finally:
            running.remove(request_of(call_id))

    def _bill(self, grounded: Grounded, usage: Usage) -> None:
        admitted = grounded.governed.admitted
        call_id, model = admitted.submission.request_id, admitted.model
        self.answered_by[call_id] = model.id
        self.billed[call_id] = price(model, usage) + (self.spare_surcharge if model.id == "spare" else 0)
