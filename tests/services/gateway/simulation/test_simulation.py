"""Two thousand runs in which anything may fail at any time, and no promise is broken; a broken part is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.gateway.adapters import audit_recovery
from tests.services.gateway.simulation.loop import SimulatedLoop, Stuck
from tests.services.gateway.simulation.mutants import FORGETFUL, FORGETFUL_BUT_ONE_END, HONEST, MUTANTS, UNLUCKY, Mutant
from tests.services.gateway.simulation.run import simulate

SEEDS = 2_000
FOUND_LATER = {
    4293: "the payment of owed outcomes when a gateway closes overlapped the one every second",
    5711: "the same, two outcomes at once",
    6081: "the same, after power was lost",
    6973: "the same, at a slow network",
    1811: "what recovery could not write was owed like an outcome of one's own; seen when guesses were counted",
    11074: "a lookup of an abandoned chain got no answer and kept the lock: the server was not asked to notice",
    7205: "a withdrawal that could not be written was forgotten",
}

SEEDS_OF_RECOVERY = 120
SEEDS_UNTIL_NOTICED = 200


@pytest.mark.timeout(600)
def test_two_thousand_seeds_break_no_promise() -> None:
    broken = {run.seed: run.broken for run in map(simulate, range(SEEDS)) if run.broken}
    assert broken == {}, "see what happened: python -m tests.services.gateway.simulation --seed N"


@pytest.mark.parametrize("seed", FOUND_LATER)
def test_a_seed_that_once_broke_a_promise_breaks_none(seed: int) -> None:
    assert simulate(seed).broken == (), FOUND_LATER[seed]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_part_is_noticed(name: str) -> None:
    assert any(simulate(seed, MUTANTS[name]).broken for seed in range(SEEDS))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can recover a chain tries it all the time: often enough two are at one chain."""
    monkeypatch.setattr(audit_recovery, "INTERVAL_S", 0.1)


def _broken(mutant: Mutant, seeds: int = SEEDS_OF_RECOVERY) -> Iterator[tuple[int, tuple[str, ...]]]:
    return ((run.seed, run.broken) for run in (simulate(seed, mutant) for seed in range(seeds)) if run.broken)


def _two_ends(broken: tuple[str, ...]) -> bool:
    return any("2 outcomes" in promise for promise in broken)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("mutant", [HONEST, UNLUCKY], ids=["may lose its lock", "loses its lock"])
def test_who_recovers_a_chain_and_loses_its_lock_harms_nothing(mutant: Mutant) -> None:
    assert dict(_broken(mutant)) == {}


@pytest.mark.usefixtures("eager")
def test_without_a_mark_and_an_index_requests_would_have_two_ends_and_chains_would_look_tampered_with() -> None:
    broken = dict(_broken(FORGETFUL, SEEDS_UNTIL_NOTICED))
    twice = [seed for seed in broken if _two_ends(broken[seed])]
    assert twice
    assert not any(_two_ends(simulate(seed, FORGETFUL_BUT_ONE_END).broken) for seed in twice), "the index is enough"
    assert any("took over here after" in promise for promises in broken.values() for promise in promises)


def test_a_seed_is_replayed_to_the_byte() -> None:
    first, again, other = simulate(7), simulate(7), simulate(8)
    assert (first.digest, first.steps) == (again.digest, again.steps)
    assert first.digest != other.digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_replays_it_too(hash_seed: str) -> None:
    command = [sys.executable, "-m", "tests.services.gateway.simulation", "--seed", "427"]
    shown = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True, capture_output=True, text=True
    ).stdout
    assert shown.splitlines()[:-1] == list(simulate(427).trace)


def test_a_deadlock_is_told() -> None:
    from random import Random

    loop = SimulatedLoop(Random(0))  # noqa: S311 - not a secret
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())
    loop.close()
