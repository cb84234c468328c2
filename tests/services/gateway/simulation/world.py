"""Gateways of the real parts around simulated stores, the people who use them, and the promises they are held to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.database import Database, Login
from services.gateway.adapters.ledger import Ledger
from services.gateway.adapters.limits import ValkeyLimits
from services.gateway.audit.record import INTENT
from services.gateway.choices_journey import ChoicesJourney
from services.gateway.exchange import Denied, Finish, Grounded, RoleBudget, TextDelta
from services.gateway.pipeline import Journey
from services.gateway.ports import Detectors, Ports
from tests.services.gateway import fakes
from tests.services.gateway.real_parts import settings
from tests.services.gateway.simulation.driver import Driver, PostgresServer
from tests.services.gateway.simulation.first_upstream import SPARE, FirstUpstream
from tests.services.gateway.simulation.loop import Process, SimulatedLoop
from tests.services.gateway.simulation.network import Network, Server
from tests.services.gateway.simulation.own_time import EPOCH, wall_clock
from tests.services.gateway.simulation.postgres import Store
from tests.services.gateway.simulation.services import SECRET, Archive, Backend, Signer, request_of
from tests.services.gateway.simulation.valkey import ValkeyServer, dialled

USERS = ("alice", "bob")
CONCURRENT_MAX = 2
BUDGET = RoleBudget(
    usd_per_day_user=Decimal("0.0105"),
    usd_per_day_workload=Decimal("0.0165"),
    usd_per_month_tenant=Decimal("0.0145"),
)

ROLE = fakes.role(
    "analyst",
    models=("local", SPARE),
    collections=(),
    budget=BUDGET,
    limits=replace(fakes.LIMITS, concurrent_requests_max=CONCURRENT_MAX, output_tokens_max=512),
)
REGISTRATION = fakes.registration(ROLE)


@dataclass
class Asked:
    """One request of one user, as the user saw it."""

    request_id: str
    user: str
    at_s: float
    hangs_up_after_s: float | None
    reads_slowly: bool
    choices: int = 1
    texts: list[str] = field(default_factory=list)  # of each choice
    finished: int = 0
    ended: str = ""  # stop, the code of a refusal, or gone

    def __post_init__(self) -> None:
        self.texts = [""] * self.choices

    @property
    def calls(self) -> list[str]:
        """The ids of its calls at the backend."""
        return [self.request_id] if self.choices == 1 else [f"{self.request_id}-{n}" for n in range(self.choices)]


@dataclass
class Gateway:
    process: Process
    ledger: Ledger
    audit: AuditChain
    limits: ValkeyLimits
    database: Database
    ports: Ports
    journeys: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self.ledger.start()
        await asyncio.gather(self.limits.start(), self.audit.start())

    async def close(self) -> None:
        """In the order of app.py: the journeys first, what they need after them."""
        if self.journeys:
            await asyncio.wait(self.journeys)
        await self.ledger.close()
        await self.audit.close()
        await self.limits.close()
        await self.database.close()


class World:
    def __init__(
        self,
        loop: SimulatedLoop,
        random: Random,
        store: type[Store] = Store,
        detectors: Detectors | None = None,
        failing: Random | None = None,
    ) -> None:
        """`failing` decides when the upstream that is asked first fails; without it it does not, and has no other."""
        self.loop = loop
        self.random = random
        self.network = Network(loop, random)
        self._detectors = detectors or fakes.detectors()
        self.store = store(self._server_now, self.network.later)
        self.postgres = PostgresServer(self.store)
        self.valkey = ValkeyServer(lambda: loop.time() * 1000)
        self.kms, self.s3 = Server("kms"), Server("s3")
        self.archive = Archive(self.network, self.s3)
        self.backend = Backend(self.network, self._asked_of_the_model)
        self.first = None if failing is None else FirstUpstream(self.backend, failing)
        self._asked_of: set[tuple[str, str]] = set()  # call and model
        self.gateways: list[Gateway] = []
        self.requests: list[Asked] = []
        self.valkey_forgot = False  # a restart of Valkey frees all places: it keeps nothing
        self.broken: list[str] = []
        self.store.changed = self._money_is_within_budget
        loop.connect = lambda host, port, protocol: dialled(self.network, self.valkey, protocol)

    def _server_now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    # --- gateways -------------------------------------------------------------------------------------

    def gateway(self) -> Gateway:
        """A new process, not yet started."""
        process = Process(f"gateway-{len(self.gateways)}")
        one = process.context.run(self._build, process)
        self.gateways.append(one)
        return one

    def _build(self, process: Process) -> Gateway:
        database = Database(Login("postgres", 1, "", "", "", None), driver=Driver(self.network, self.postgres))
        ledger = Ledger(database)
        limits = ValkeyLimits(settings(1, "", valkey_port=1))
        audit = AuditChain(database, Signer(self.network, self.kms), self.archive, {"host": process.name})
        ports = replace(
            fakes.World(registrations=fakes.FakeRegistrations(REGISTRATION), identity=_identity()).ports(),
            limits=limits,
            budget=ledger,
            audit=audit,
            backends={"openai": self.backend},
            detectors=self._detectors,
        )
        if self.first is not None:
            ports = replace(ports, models=self.first.models(), backends=self.first.backends())
        return Gateway(process, ledger, audit, limits, database, ports)

    def within(self, gateway: Gateway, work: object) -> asyncio.Task[None]:
        """A task of the gateway's own process."""
        context = gateway.process.context.copy()
        return self.loop.create_task(work, context=context)  # type: ignore[arg-type]

    def living(self) -> list[Gateway]:
        return [one for one in self.gateways if not one.process.dead]

    def kill(self, gateway: Gateway) -> None:
        """kill -9: it runs no further, and its connections end."""
        self.network.note(f"kill -9 {gateway.process.name}")
        gateway.process.dead = True
        for server in (self.postgres, self.valkey):
            for link in [link for link in server.links if link.process is gateway.process]:
                self.network.later(self.network.delay_s(), link.cut)

    # --- requests -------------------------------------------------------------------------------------

    def ask(self, gateway: Gateway, asked: Asked) -> asyncio.Task[None]:
        self.requests.append(asked)
        task = self.within(gateway, self._journey(gateway, asked))
        gateway.journeys.add(task)
        task.add_done_callback(gateway.journeys.discard)
        if asked.hangs_up_after_s is not None:
            self.network.later(asked.hangs_up_after_s, lambda: self._hang_up(gateway, task))
        return task

    def _hang_up(self, gateway: Gateway, task: asyncio.Task[None]) -> None:
        if not gateway.process.dead:
            gateway.process.context.copy().run(task.cancel)

    async def _journey(self, gateway: Gateway, asked: Asked) -> None:
        submission = fakes.submission(
            "How many days?",
            request_id=asked.request_id,
            bearer=asked.user,
            received_at=wall_clock(self.loop),
            stream=True,
            choices=asked.choices,
        )
        caller = await gateway.ports.identity.authenticate(asked.user)
        journey = Journey if asked.choices == 1 else ChoicesJourney
        answer = journey(submission, caller, gateway.ports, lambda *_: None).answer()
        asked.ended = "gone"
        try:
            async for released in answer:
                await self._read(asked, released.event, getattr(released, "index", 0))
        except Denied as denied:
            asked.ended = denied.code
            self.network.note(f"{asked.request_id}: {denied}")
        finally:
            with suppress(Denied):
                await answer.aclose()
            self.network.note(f"{asked.request_id} of {asked.user} at {gateway.process.name}: {asked.ended}")

    async def _read(self, asked: Asked, event: object, index: int) -> None:
        if isinstance(event, TextDelta):
            asked.texts[index] += event.text
            self.require(SECRET not in asked.texts[index], f"{asked.request_id}: a credential left the gateway")
            if asked.reads_slowly:
                await asyncio.sleep(0.2)
        elif isinstance(event, Finish):
            asked.finished += 1
            if asked.finished < asked.choices:
                return
            durable = self.store.is_durable(asked.request_id, "outcome")
            self.require(durable, f"{asked.request_id}: the last byte left before its outcome was durable")
            asked.ended = "stop"

    # --- promises, at any time ----------------------------------------------------------------------------

    def require(self, kept: bool, promise: str) -> None:
        """Noted, not raised: nobody on the way may catch it."""
        if not kept:
            self.network.note(f"BROKEN {promise}")
            self.broken.append(promise)

    def _asked_of_the_model(self, grounded: Grounded) -> None:
        call_id = grounded.governed.admitted.submission.request_id
        request_id = request_of(call_id)
        self.require(self.store.is_durable(request_id, INTENT), f"{call_id}: called without a durable intent")
        model = grounded.governed.admitted.model.id
        self.require((call_id, model) not in self._asked_of, f"{call_id}: {model} was called twice")
        self.require(call_id not in self.backend.answered_by, f"{call_id}: another was called after the first word")
        self._asked_of.add((call_id, model))
        running = {*self.backend.running.get(grounded.governed.admitted.caller.subject, ())} - {request_id}
        self.require(self.valkey_forgot or len(running) < CONCURRENT_MAX, f"{call_id}: one too many at once")

    def _money_is_within_budget(self) -> None:
        for (scope, _), budget in self.store.budgets.items():
            self.require(
                budget.spent + budget.reserved <= budget.limit or not budget.limit, f"{scope}: over its budget"
            )
            self.require(budget.reserved >= 0, f"{scope}: less than nothing is reserved")


def _identity() -> fakes.FakeIdentity:
    users = (*USERS, *(f"probe-gateway-{number}" for number in range(8)))
    return fakes.FakeIdentity({user: fakes.caller(user) for user in users})
