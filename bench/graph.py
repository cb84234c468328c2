"""How long it takes to capture the production platform: to judge it with both packs, and to run every graph test."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Figure, at_most
from stacks.local import engine

REPOSITORY = Path(__file__).resolve().parents[1]
PACKS = tuple(engine.Pack(REPOSITORY / "policy_packs" / name) for name in ("baseline_security", "llm_guardrails"))
# Production's graph tests: those that name another environment ask the same of another graph.
OF_PRODUCTION = "graph_ and not (local or dev or staging or graph_34)"
HOW = ("-n", "2", "--dist", "loadfile", "-q", "-k", OF_PRODUCTION)


def measure() -> Iterator[Figure]:
    """In processes of their own, so that imports count; the packs are processes too, as in a deployment."""
    seconds, said = _timed("-m", "bench.graph")
    yield at_most("prod platform captured and judged", seconds, 10, "s", said.strip())
    seconds, said = _timed("-m", "pytest", *HOW, *_files())
    passed = re.search(r"\d+ passed", said)
    yield at_most("prod captured and every graph test", seconds, 15, "s", f"{passed and passed[0]}, two new processes")


def _files() -> list[str]:
    """Every file with a graph test over deployed programs."""
    folders = (REPOSITORY / "tests" / "criteria", REPOSITORY / "tests" / "policy_packs")
    files = (file for folder in folders for file in sorted(folder.glob("test_*.py")))
    return [str(file) for file in files if "def test_graph_" in file.read_text(encoding="utf-8")]


def _timed(*arguments: str) -> tuple[float, str]:
    began = time.monotonic()
    command: Sequence[str] = [sys.executable, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return time.monotonic() - began, run.stdout


if __name__ == "__main__":
    captured = engine.run(REPOSITORY, "prod", packs=PACKS)
    print(f"{len(captured.resources)} resources, both packs, {len(captured.findings)} findings, new process")
