"""`python -m tests.services.gateway.faults.table --write` writes docs/gateway-promises.md from promises.py."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.services.gateway.faults.promises import SECTIONS, Promise

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "gateway-promises.md"
GATEWAY_TESTS = "tests/services/gateway"
HEAD = """# What the gateway promises, and the test of each promise

Written by `python -m tests.services.gateway.faults.table --write`; a test compares this page with the table and
finds every test that it names. Files are under `tests/services/gateway/` unless they say otherwise. A run of the
simulation is shown by `python -m tests.services.gateway.simulation --seed N`.
"""


def text() -> str:
    return HEAD + "".join(f"\n## {title}\n\n{_table(promises)}" for title, promises in SECTIONS.items())


def place(test: str) -> tuple[Path, str]:
    """The file and the function that a test's name stands for."""
    file, _, function = test.partition("::")
    return ROOT / (file if file.startswith(("tests/", "bench/")) else f"{GATEWAY_TESTS}/{file}"), function


def _table(promises: tuple[Promise, ...]) -> str:
    rows = [f"| {one.name} | {one.kept} | {'<br>'.join(f'`{test}`' for test in one.tests)} |" for one in promises]
    return "\n".join(("| what | what holds | shown by |", "|---|---|---|", *rows, ""))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.services.gateway.faults.table --write")
    PAGE.write_text(text(), encoding="utf-8")
