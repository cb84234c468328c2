"""`python -m tests.services.gateway.simulation --seed N` shows what happened; `--seeds N` looks for a bad run."""

from __future__ import annotations

import argparse
import sys
import time

from tests.services.gateway.simulation.mutants import HONEST, MUTANTS
from tests.services.gateway.simulation.run import Run, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services.gateway.simulation")
    parser.add_argument("--seed", type=int, default=0, help="the run to show, or the first of many")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs, one seed after the other")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with this part broken")
    given = parser.parse_args()
    mutant = MUTANTS[given.mutant] if given.mutant else HONEST
    began = time.monotonic()
    bad = [run for run in (simulate(given.seed + n, mutant) for n in range(given.seeds)) if _told(run, given.seeds)]
    print(f"{given.seeds} seeds in {time.monotonic() - began:.1f} s, {len(bad)} with a broken promise")
    return 1 if bad else 0


def _told(run: Run, seeds: int) -> bool:
    if seeds == 1:
        print("\n".join(run.trace))
    for promise in run.broken:
        print(f"seed {run.seed}: {promise}")
    return bool(run.broken)


if __name__ == "__main__":
    sys.exit(main())
