"""Parts that are broken on purpose: a simulation that did not notice them would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from services.gateway.ports import Detectors
from tests.services.gateway import fakes
from tests.services.gateway.simulation.postgres import Held, Session, Store
from tests.services.gateway.simulation.world import World


@dataclass(frozen=True)
class Mutant:
    store: type[Store] = Store
    detectors: Callable[[], Detectors] = fakes.detectors
    spoil: Callable[[World], None] = lambda world: None


class LooksThenTakes(Store):
    """Reserving is two steps with a moment between them."""

    def _hold(self, id_: UUID, held: Held) -> None:
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

    def _settle(self, session: Session, ids: Sequence[UUID], usd: Sequence[Decimal]) -> int:
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


HONEST = Mutant()
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
}
