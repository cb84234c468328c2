"""What the packs cover, framework by framework, and which of the ten OWASP LLM risks no rule serves.

python -m policy_packs.coverage_report [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from policy_packs import coverage
from policy_packs.packs import PACKS
from policy_packs.rule import AnyRule

Served = Mapping[str, tuple[str, ...]]  # control → names of its rules


@dataclass(frozen=True)
class Report:
    """Framework → control → rules; the ten risks stand in `risks` whether a rule serves them or not."""

    rules: int
    frameworks: Mapping[str, Served]
    risks: Served
    gaps: tuple[str, ...]


def report(packs: Mapping[str, Iterable[AnyRule]]) -> Report:
    rules = tuple({rule.name: rule for pack in packs.values() for rule in pack}.values())
    frameworks = _frameworks(rules)
    by_risk = frameworks[coverage.FRAMEWORKS["owasp_llm"]]
    risks = {risk: by_risk.get(risk, ()) for risk in coverage.OWASP_LLM_2026}
    return Report(len(rules), frameworks, risks, tuple(risk for risk, names in risks.items() if not names))


def _frameworks(rules: Sequence[AnyRule]) -> dict[str, Served]:
    controls = {title: coverage.rules_by_control(rules, name) for name, title in coverage.FRAMEWORKS.items()}
    twins = {title: coverage.rules_by_twin(rules, name) for name, title in coverage.RUNNING_ACCOUNT.items()}
    return {**controls, **twins, "Checkov": coverage.rules_by_checkov_id(rules)}


def _overview(found: Report) -> Table:
    table = Table("framework", box=SIMPLE_HEAD, title=f"{found.rules} rules", title_justify="left")
    for head in ("controls served", "rules that serve one", "rules per control"):
        table.add_column(head, justify="right")
    for title, served in found.frameworks.items():
        pairs = sum(map(len, served.values()))
        rules = {name for names in served.values() for name in names}
        table.add_row(title, str(len(served)), str(len(rules)), f"{pairs / len(served):.1f}" if served else "–")
    return table


def _controls(found: Report) -> Table:
    """Rules of each control of the frameworks that auditors ask for; checks of other tools stand in docs/rules.md."""
    table = Table("framework", "control", box=SIMPLE_HEAD)
    table.add_column("rules", justify="right")
    for title in coverage.FRAMEWORKS.values():
        for control, names in found.frameworks[title].items():
            table.add_row(title, control, str(len(names)))
    return table


def _risks(found: Report) -> Table:
    table = Table("OWASP LLM 2026", box=SIMPLE_HEAD)
    table.add_column("rules", justify="right")
    for risk, names in found.risks.items():
        table.add_row(f"[bold]{risk.removesuffix(':2026')} {coverage.OWASP_LLM_2026[risk]}", str(len(names)))
        for name in names or ("[bold red]gap: no rule serves it",):
            table.add_row(f"  {name}", "")
    return table


def show(found: Report, console: Console) -> None:
    for table in (_overview(found), _controls(found), _risks(found)):
        console.print(table)
    console.print("A rule serves a control; it does not fulfil it alone.")
    if found.gaps:
        console.print(f"No rule serves {', '.join(found.gaps)}.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m policy_packs.coverage_report", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    found = report(PACKS)
    if parser.parse_args(arguments).json:
        print(json.dumps(asdict(found), indent=2))
    else:
        show(found, Console())


if __name__ == "__main__":
    main()
