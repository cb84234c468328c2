"""How long it takes to capture the graph of the production platform and judge it with both packs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, at_most
from stacks.local import engine

REPOSITORY = Path(__file__).resolve().parents[1]
PACKS = tuple(engine.Pack(REPOSITORY / "policy_packs" / name) for name in ("baseline_security", "llm_guardrails"))


def measure() -> Iterator[Figure]:
    """In a process of its own, so that imports count; the packs are processes too, as in a deployment."""
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-m", "bench.graph"], check=True, capture_output=True, text=True)
    yield at_most("prod platform captured and judged", time.monotonic() - began, 10, "s", run.stdout.strip())


if __name__ == "__main__":
    captured = engine.run(REPOSITORY, "prod", packs=PACKS)
    print(f"{len(captured.resources)} resources, both packs, {len(captured.findings)} findings, new process")
