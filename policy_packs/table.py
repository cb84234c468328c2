"""Every rule and every control as a page, `docs/rules.md`, and as one table, `docs/frameworks.csv`.

Both are written from the rules themselves:

python -m policy_packs.table --write
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from policy_packs import checkov, coverage
from policy_packs.packs import PACKS
from policy_packs.rule import AnyRule

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "rules.md"
FRAMEWORKS: Final = PAGE.with_name("frameworks.csv")
HEAD: Final = """# Rules of the policy packs

Written by `python -m policy_packs.table --write`; a test compares this page with the rules. {rules} rules serve
{controls} controls and ask for at least part of what {checkov} Checkov ids ask for. The controls of each rule in every
framework, one line a rule, stand in [frameworks.csv](frameworks.csv).
"""
RULES_HEAD: Final = """
## Rules

The types of a rule about a whole stack are those of its examples. The last column names the checks of AWS Security Hub
and of Prowler that ask a running account for part of the same.

| rule | pack | severity | what it demands | resource types | remediation | Checkov ids | in a running account |
|---|---|---|---|---|---|---|---|
"""
CONTROLS_HEAD: Final = """
## Controls

A rule serves a control; it does not fulfil it alone.

| framework | control | rules |
|---|---|---|
"""
CHECKOV_HEAD: Final = """
## Checkov ids

Of the ids that Checkov has for these services, {matched} are matched; each other one is left out for a reason.

| id | about | state | rules, or the reason |
|---|---|---|---|
"""
RUNNING_HEAD: Final = """
## Checks of a running account

What finds the same, at least in part, once the resource exists.

| product | check | rules |
|---|---|---|
"""


def page(packs: Mapping[str, Iterable[AnyRule]]) -> str:
    rules = [rule for pack in packs.values() for rule in pack]
    rule_rows = (RULES_HEAD, *_rule_rows(packs))
    others = (*_checkov_section(rules), RUNNING_HEAD, *_running_rows(rules))
    return "".join((_head(rules), *rule_rows, CONTROLS_HEAD, *_control_rows(rules), *others))


def frameworks_csv(packs: Mapping[str, Iterable[AnyRule]]) -> str:
    """The one table of all frameworks: a line a rule, a column a framework, names apart by a space."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("rule", "pack", "severity", *coverage.FRAMEWORKS, *coverage.RUNNING_ACCOUNT, "checkov"))
    for pack, rules in packs.items():
        lines.writerows(_line(pack, rule) for rule in sorted(rules, key=lambda one: one.name))
    return text.getvalue()


def _line(pack: str, rule: AnyRule) -> tuple[str, ...]:
    controls = (coverage.controls_of(rule.controls, framework) for framework in coverage.FRAMEWORKS)
    twins = (coverage.twins_in(rule, product) for product in coverage.RUNNING_ACCOUNT)
    served = (" ".join(sorted(ids, key=coverage.in_order)) for ids in (*controls, *twins, rule.checkov))
    return (rule.name, pack, rule.severity.value, *served)


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
                _twins(rule) or "–",
            )


def _twins(rule: AnyRule) -> str:
    return ", ".join(f"`{one}`" for product in coverage.RUNNING_ACCOUNT for one in coverage.twins_in(rule, product))


def _checkov_section(rules: list[AnyRule]) -> Iterator[str]:
    found = list(checkov.covered(rules))
    yield CHECKOV_HEAD.format(matched=sum(one.state is checkov.State.MATCHED for one in found))
    for one in found:
        said = (", ".join(f"`{name}`" for name in one.rules), _cell(one.reason))
        yield _row(one.checkov_id, one.subject, one.state.value, ": ".join(part for part in said if part))


def _running_rows(rules: list[AnyRule]) -> Iterator[str]:
    for product, title in coverage.RUNNING_ACCOUNT.items():
        for check, names in coverage.rules_by_twin(rules, product).items():
            yield _row(title, f"`{check}`", ", ".join(f"`{name}`" for name in names))


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
        FRAMEWORKS.write_text(frameworks_csv(PACKS), encoding="utf-8")
    else:
        print(written, end="")
