"""The findings of a policy run as SARIF 2.1.0, the format that code scanning tools read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy_packs.rule import AnyRule, Severity
from stacks.local.policy_runs import REPOSITORY, RULES, Fault, Run

Json = Mapping[str, Any]  # a JSON object of the SARIF schema

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_SCORES: Final = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}


def sarif(runs: Sequence[Run]) -> Json:
    """One SARIF run: the rules of both packs and every distinct finding."""
    results = {repr(result): result for run in runs for result in _results(run)}
    driver = {
        "name": "llm-pipelines policy packs",
        "informationUri": "https://www.pulumi.com/docs/insights/policy/",
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    invocation = {
        "executionSuccessful": not any(run.is_unjudged for run in runs),
        "toolExecutionNotifications": [{"level": "error", "message": {"text": run.error}} for run in runs if run.error],
    }
    judged = {"tool": {"driver": driver}, "invocations": [invocation], "results": list(results.values())}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [judged]}


def _rule(rule: AnyRule) -> Json:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.description},
        "help": {"text": rule.remediation},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": list(rule.tags()), "security-severity": _SCORES[rule.severity]},
    }


def _results(run: Run) -> Iterator[Json]:
    for fault in run.violations:
        yield {"ruleId": fault.rule, "level": "error", **_place(run, fault)}
    for fault in run.exempted:
        suppression = {"kind": "external", "status": "accepted", "justification": fault.message}
        yield {"ruleId": fault.rule, "level": "error", "suppressions": [suppression], **_place(run, fault)}
    for fault in run.waiting if run.is_unjudged else ():
        yield {"ruleId": fault.rule, "kind": "open", "level": "none", **_place(run, fault)}


def _place(run: Run, fault: Fault) -> Json:
    file, _, line = fault.source.rpartition(":")
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": fault.resource or f"{run.target.label}@{run.target.stack}"}]
    }
    if file and line.isdigit():
        region = {"startLine": max(1, int(line))}
        location["physicalLocation"] = {"artifactLocation": {"uri": relative(file)}, "region": region}
    return {"message": {"text": fault.message}, "locations": [location]}


def relative(file: str) -> str:
    """Paths of this repository as the repository names them."""
    return file.removeprefix(f"{REPOSITORY}/")
