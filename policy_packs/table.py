"""Every rule and every control as a page, written to `docs/rules.md` from the rules themselves.

python -m policy_packs.table --write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from policy_packs import coverage
from policy_packs.packs import PACKS
from policy_packs.rule import AnyRule

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "rules.md"
HEAD: Final = """# Rules of the policy packs

Written by `python -m policy_packs.table --write`; a test compares this page with the rules. {rules} rules serve
{controls} controls and ask for at least part of what {checkov} Checkov ids ask for.
"""
RULES_HEAD: Final = """
## Rules

The types of a rule about a whole stack are those of its examples.

| rule | pack | severity | what it demands | resource types | remediation | Checkov ids |
|---|---|---|---|---|---|---|
"""
CONTROLS_HEAD: Final = """
## Controls

A rule serves a control; it does not fulfil it alone.

| framework | control | rules |
|---|---|---|
"""


def page(packs: Mapping[str, Iterable[AnyRule]]) -> str:
    rules = [rule for pack in packs.values() for rule in pack]
    return "".join((_head(rules), RULES_HEAD, *_rule_rows(packs), CONTROLS_HEAD, *_control_rows(rules)))


def _head(rules: list[AnyRule]) -> str:
    controls = sum(len(coverage.rules_by_control(rules, framework)) for framework in coverage.FRAMEWORKS)
    checkov = len(coverage.rules_by_checkov_id(rules))
    return HEAD.format(rules=len({rule.name for rule in rules}), controls=controls, checkov=checkov)


def _rule_rows(packs: Mapping[str, Iterable[AnyRule]]) -> Iterator[str]:
    for pack, rules in packs.items():
        for rule in sorted(rules, key=lambda one: one.name):
            yield _row(
                f"`{rule.name}`",
                pack,
                rule.severity.value,
                _cell(rule.description),
                ", ".join(f"`{one}`" for one in coverage.resource_types(rule)),
                _cell(rule.remediation),
                ", ".join(sorted(rule.checkov, key=coverage.in_order)) or "–",
            )


def _control_rows(rules: list[AnyRule]) -> Iterator[str]:
    for framework, title in coverage.FRAMEWORKS.items():
        for control, names in coverage.rules_by_control(rules, framework).items():
            yield _row(title, control, ", ".join(f"`{name}`" for name in names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cell(text: str) -> str:
    """A sentence of a rule inside a table: no cell ends early, no line breaks, a star is a star."""
    return re.sub(r"([\\|*<])", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    written = page(PACKS)
    if "--write" in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    else:
        print(written, end="")
