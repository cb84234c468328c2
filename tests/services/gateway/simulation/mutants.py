"""Parts that are broken on purpose: a simulation that did not notice them would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from services.gateway.adapters import audit_recovery, audit_writer
from services.gateway.audit.record import Row
from services.gateway.ports import Detectors
from tests.services.gateway import fakes
from tests.services.gateway.simulation.postgres import Found, Held, Session, Store
from tests.services.gateway.simulation.world import World


@dataclass(frozen=True)
class Mutant:
    store: type[Store] = Store
    detectors: Callable[[], Detectors] = fakes.detectors
    spoil: Callable[[World], None] = lambda world: None


class LooksThenTakes(Store):
    """Reserving is two steps with a moment between them."""

    def _hold(self, id_: str, held: Held) -> None:
        def take() -> None:
            super(LooksThenTakes, self)._hold(id_, held)
            self.changed()

        self.later(0.02, take)


class AnswersBeforeItWrites(Store):
    """A record is acknowledged before it is on disk."""

    def commit_record(self) -> None:
        self.later(0.3, self.flush)


class BooksTwice(Store):
    """A settlement that comes again is booked again."""

    def _settle(self, session: Session, ids: Sequence[str], usd: Sequence[Decimal]) -> int:
        for id_, used in zip(ids, usd, strict=True):
            if id_ in self.held and self.held[id_].state == "settled":
                self._book(self.held[id_], spent=used)
        return super()._settle(session, ids, usd)

    _STATEMENTS: ClassVar = {**Store._STATEMENTS, "SELECT ledger.settle($1, $2)": _settle}


class LocksNobodyOut(Store):
    """Two writers may hold one chain."""

    def _try_lock(self, session: Session, chain: UUID) -> bool:
        self.locks[chain] = session
        session.locks.add(chain)
        return True

    _STATEMENTS: ClassVar = {**Store._STATEMENTS, "SELECT pg_try_advisory_lock(audit.lock_key($1))": _try_lock}


class LosesTheLock(Store):
    """Not broken, only unlucky: who has looked for open intents loses the chain's lock at once, and does not know."""

    def _open_intents(
        self, session: Session, chain: UUID, kind: str, closing: Sequence[str], first: int, end: int
    ) -> Found:
        found = super()._open_intents(session, chain, kind, closing, first, end)

        def lose() -> None:
            self._unlock(session, chain)

        if found:
            self.later(0.0, lose)
        return found

    _STATEMENTS: ClassVar = {**Store._STATEMENTS, " ".join(audit_recovery.OPEN_INTENTS.split()): _open_intents}


class ForgetsWhoTook(LosesTheLock):
    """A chain that somebody recovers is not marked, and a request may have any number of ends."""

    def _is_taken(self, session: Session, chain: UUID) -> bool | None:
        del session
        found = self.chains.get(chain)
        return None if found is None else found.closed_by is not None

    def _require_one_end(self, rows: Sequence[Row]) -> None:
        del rows

    _STATEMENTS: ClassVar = {**LosesTheLock._STATEMENTS, audit_writer.IS_TAKEN: _is_taken}


class OneEndOnly(ForgetsWhoTook):
    """A chain that somebody recovers is not marked; a request has one end all the same."""

    def _require_one_end(self, rows: Sequence[Row]) -> None:
        Store._require_one_end(self, rows)


class Blind(fakes.FakeDetector):
    """Sees nothing."""

    def find(self, text: str) -> Any:
        return ()


def _forgetful(world: World) -> None:
    """Releases nothing."""
    world.valkey.limiter._release = lambda *_: []  # type: ignore[method-assign]


def _generous(world: World) -> None:
    """Counts no places."""
    honest = world.valkey.limiter._judge

    def judge(bucket: str, leases: str, concurrent_max: int, limits: list[int], amounts: Sequence[int]) -> Any:
        return honest(bucket, leases, concurrent_max + 9, limits, amounts)

    world.valkey.limiter._judge = judge  # type: ignore[method-assign]


def lossy(world: World) -> None:
    """A slow network that cuts a third of PostgreSQL's connections every moment."""
    world.network.slowness = 20

    def cut() -> None:
        for link in [link for link in world.postgres.links if world.random.random() < 0.3]:
            link.cut()
        if world.loop.time() < 4.5:
            world.network.later(0.4, cut)

    world.network.later(0.5, cut)


def _dear(world: World) -> None:
    """A fallback bills more than its price."""
    world.backend.spare_surcharge = Decimal("0.01")


HONEST = Mutant()
UNLUCKY = Mutant(LosesTheLock, spoil=lossy)
FORGETFUL = Mutant(ForgetsWhoTook, spoil=lossy)
FORGETFUL_BUT_ONE_END = Mutant(OneEndOnly, spoil=lossy)
MUTANTS = {
    "a reservation is looked up, then taken": Mutant(LooksThenTakes),
    "a record is acknowledged before it is on disk": Mutant(AnswersBeforeItWrites),
    "a settlement is booked as often as it comes": Mutant(BooksTwice),
    "a chain's lock keeps nobody out": Mutant(LocksNobodyOut),
    "output is not looked at": Mutant(
        detectors=lambda: replace(fakes.detectors(), credentials=Blind({"aws_access_key": ""}))
    ),
    "no place is given back": Mutant(spoil=_forgetful),
    "places are not counted": Mutant(spoil=_generous),
    "a fallback costs more than its price": Mutant(spoil=_dear),
}
