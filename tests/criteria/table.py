"""Which test answers which criterion: read from the tests themselves, written to `docs/criteria.md`.

python -m tests.criteria.table --write
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.criteria.criteria import CRITERIA

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "criteria.md"
LIVE = REPOSITORY / "docs" / "live-checks.md"
FORKS = "workloads"
_NAME = re.compile(r"test_(?:(?P<letter>[a-d])|(?P<graph>graph))_(?P<number>\d+)_")
_ROW = re.compile(r"^\| ((?:[A-D]|graph)-\d+) \|", re.MULTILINE)
HEAD = """# Acceptance criteria, and the tests that answer them

Written by `python -m tests.criteria.table --write`; a test compares this page with the tests. *offline*: proved
on every run of `make test`. *offline, live*: proved as far as that goes without an account; what only a live
account shows, with the command that checks it, stands in [live-checks.md](live-checks.md).

| id | what is asked | state | tests |
|---|---|---|---|
"""


def criterion(test: str) -> str | None:
    """The id in a test's name: test_a_7_… → A-7, test_graph_12_… → graph-12."""
    match = _NAME.match(test)
    return (
        f"{(match['letter'] or match['graph']).upper() if match['letter'] else 'graph'}-{match['number']}"
        if match
        else None
    )


@functools.cache
def answers(folder: Path = REPOSITORY / "tests") -> Mapping[str, list[str]]:
    """Criterion → tests as `file::name`."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.rglob("test_*.py")):
        if file.parent.name == FORKS:
            continue  # each fork brings the same tests; the page is the platform's
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (name := criterion(node.name)):
                found[name].append(f"{file.relative_to(folder.parent).as_posix()}::{node.name}")
    return found


def live_checks(text: str) -> set[str]:
    """The criteria for which `docs/live-checks.md` has a row."""
    return set(_ROW.findall(text))


def page(tests: Mapping[str, list[str]], live: set[str]) -> str:
    return HEAD + "".join(_row(name, asked, tests.get(name, []), name in live) for name, asked in CRITERIA.items())


def _row(name: str, asked: str, tests: list[str], live: bool) -> str:
    state = ", ".join([*(["offline"] if tests else []), *(["live"] if live else [])]) or "**open**"
    return f"| {name} | {asked} | {state} | {_files(tests)} |\n"


def _files(tests: list[str]) -> str:
    """File, and how many tests in it: the names carry the id."""
    files: defaultdict[str, int] = defaultdict(int)
    for test in tests:
        files[test.partition("::")[0]] += 1
    return ", ".join(f"[{Path(file).name}](../{file}) ({count})" for file, count in sorted(files.items())) or "–"


if __name__ == "__main__":
    written = page(answers(), live_checks(LIVE.read_text(encoding="utf-8")))
    if "--write" in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    else:
        print(written)
