"""The findings of a policy run as JUnit XML, the format in which CI systems show tests: one test a rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.etree import ElementTree

from policy_packs.packs import PACKS
from stacks.local.policy_runs import RULES, Fault, Run
from stacks.local.policy_sarif import relative

_PACK_OF: Final = {rule.name: pack for pack, rules in PACKS.items() for rule in rules}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(runs: Sequence[Run]) -> str:
    """A suite for each program, environment and mode; a test for each rule of both packs."""
    document = ElementTree.Element("testsuites", name="policy packs")
    for run in runs:
        document.append(_suite(run))
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode", xml_declaration=True) + "\n"


def _suite(run: Run) -> ElementTree.Element:
    cases = [_case(run, rule) for rule in RULES]
    count = {kind: str(sum(case.find(kind) is not None for case in cases)) for kind in ("failure", "error", "skipped")}
    suite = ElementTree.Element(
        "testsuite",
        name=_legible(f"{run.target.label} {run.target.stack} {run.mode}"),
        tests=str(len(cases)),
        failures=count["failure"],
        errors=count["error"],
        skipped=count["skipped"],
    )
    suite.extend(cases)
    return suite


def _case(run: Run, rule: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_PACK_OF[rule], name=rule)
    violations = [fault for fault in run.violations if fault.rule == rule]
    waiting = [fault for fault in run.waiting if fault.rule == rule]
    if violations:
        _add(case, "failure", RULES[rule].description, (*_lines(violations), f"To do: {RULES[rule].remediation}"))
    elif run.error:
        _add(case, "error", run.error)
    elif waiting:
        _add_waiting(case, waiting, is_error=run.is_unjudged)
    elif exempted := [fault for fault in run.exempted if fault.rule == rule]:
        _add(case, "skipped", "exempted", _lines(exempted))
    elif rule not in run.applied:
        _add(case, "skipped", "not applicable: nothing here is its subject")
    return case


def _add_waiting(case: ElementTree.Element, waiting: Iterable[Fault], *, is_error: bool) -> None:
    if is_error:
        _add(case, "error", "could not be judged", _lines(waiting))
    else:
        _add(case, "skipped", "not known in a preview: judged when the values are known", _lines(waiting))


def _add(case: ElementTree.Element, kind: str, message: str, lines: Iterable[str] = ()) -> None:
    ElementTree.SubElement(case, kind, message=_legible(message)).text = _legible("\n".join(lines))


def _lines(faults: Iterable[Fault]) -> list[str]:
    return [" ".join(filter(None, (relative(one.source), one.resource, one.message))) for one in faults]


def _legible(text: str) -> str:
    """XML has no way to write a control character."""
    return _NOT_XML.sub("�", text)
