"""How long it takes to capture the graph of the production platform and judge it with both packs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from bench.figures import Figure, at_most


def measure() -> Iterator[Figure]:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "stacks.local.policy_report", "--environment", "prod"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    yield at_most(
        "prod programs captured and judged", time.monotonic() - began, 10, "s", "both packs, both modes, new process"
    )
