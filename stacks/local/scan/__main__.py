"""Scans what every program deploys with Checkov, and holds each finding against the reviewed ones.

    python -m stacks.local.scan                       every environment
    python -m stacks.local.scan --environment prod    one of them

AWS resources are scanned in the shape of a Terraform plan, Kubernetes objects as manifests. Checkov is run by
uv in an environment of its own: it pins libraries that we use in other versions.

Exit 0: every finding is reviewed. Exit 1: one is not, or a review is no longer needed. Exit 2: not scanned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from rich.console import Console
from rich.table import Table

from stacks.environment import EnvironmentName
from stacks.local import engine
from stacks.local.captured_platform import captured, captured_workloads
from stacks.local.scan.reviewed import REVIEWED, Reviewed
from stacks.local.scan.terraform_shape import plan

CHECKOV = "checkov==3.3.30"
REVIEWED_ALL, OPEN, NOT_SCANNED = 0, 1, 2
REPOSITORY = Path(__file__).resolve().parents[3]
CLUSTER = REPOSITORY / "stacks" / "cluster"


class NotScanned(Exception):
    """Checkov could not be run, or did not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    environment: str
    check: str
    resource: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Scan:
    passed: int
    findings: tuple[Finding, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        scans = [scanned(name) for name in options.environments]
    except NotScanned as refusal:
        print(f"not scanned: {refusal}", file=sys.stderr)
        return NOT_SCANNED
    findings = [finding for scan in scans for finding in scan.findings]
    whole = len(options.environments) == len(EnvironmentName)
    return _report(sum(scan.passed for scan in scans), findings, unneeded(findings) if whole else [])


def scanned(environment: str) -> Scan:
    """Every program of one environment."""
    platform = captured(environment)
    deployments = (platform, *captured_workloads(environment, platform))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan(deployments)), encoding="utf-8")
        aws = _checkov(environment, "terraform_plan", "--file", str(file))
        objects = _manifests(environment, platform, Path(folder) / "manifests")
        kubernetes = _checkov(environment, "kubernetes", "--directory", str(objects)) if objects else Scan(0, ())
    return Scan(aws.passed + kubernetes.passed, aws.findings + kubernetes.findings)


def review(finding: Finding) -> Reviewed | None:
    return next((one for one in REVIEWED if one.covers(finding.check, finding.resource)), None)


def unneeded(findings: Sequence[Finding]) -> list[Reviewed]:
    """Reviews that no finding needs any more."""
    return [one for one in REVIEWED if not any(one.covers(each.check, each.resource) for each in findings)]


def _manifests(environment: str, platform: engine.Deployment, folder: Path) -> Path | None:
    """The cluster program's objects as files; None where the environment has no cluster."""
    if not (CLUSTER / f"Pulumi.{environment}.yaml").is_file():
        return None
    references = {f"organization/{platform.project}/{environment}": platform.outputs}
    objects = [one for one in engine.run(CLUSTER, environment, references=references).resources if "kind" in one.inputs]
    folder.mkdir()
    for number, one in enumerate(objects):
        (folder / f"{number:03}.yaml").write_text(yaml.safe_dump(one.inputs), encoding="utf-8")
    return folder


def _checkov(environment: str, framework: str, *target: str) -> Scan:
    uv = REPOSITORY / ".tools" / "uv" / "bin" / "uv"
    run = subprocess.run(
        [uv, "tool", "run", CHECKOV, "--framework", framework, "--output", "json", "--quiet", "--compact", *target],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    try:
        answer = json.loads(run.stdout)
    except json.JSONDecodeError:
        raise NotScanned(run.stderr.strip()[-500:] or f"Checkov said nothing (exit {run.returncode})") from None
    report = answer[0] if isinstance(answer, list) else answer
    if not report.get("summary", {}).get("passed"):
        raise NotScanned(f"Checkov passed nothing in {environment}: it did not understand what it was given")
    failed = report["results"]["failed_checks"]
    found = tuple(Finding(environment, one["check_id"], one["resource"], one["check_name"]) for one in failed)
    return Scan(report["summary"]["passed"], found)


def _report(passed: int, findings: Sequence[Finding], unneeded: Sequence[Reviewed]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_table(findings))
    unreviewed = [one for one in findings if review(one) is None]
    for one in unreviewed:
        console.print(f"not reviewed: {one.environment} {one.check} {one.resource}: {one.sentence}", markup=False)
    for entry in unneeded:
        console.print(f"review no longer needed: {entry.check} {entry.resources}", markup=False)
    console.print(
        f"{passed} checks passed, {len(findings)} findings, {len(unreviewed)} of them not reviewed", markup=False
    )
    return OPEN if unreviewed or unneeded else REVIEWED_ALL


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(title=f"Findings of {CHECKOV.replace('==', ' ')}", title_justify="left")
    for column in ("check", "found", "what it asks for", "why we do not follow"):
        table.add_column(column, overflow="fold")
    counts = Counter((one.check, one.sentence, review(one)) for one in findings)
    for (check, sentence, reviewed), count in sorted(counts.items(), key=lambda item: item[0][0]):
        table.add_row(check, str(count), sentence, reviewed.why if reviewed else "NOT REVIEWED")
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make scan", description="Checkov over everything that is deployed.")
    names = [name.value for name in EnvironmentName]
    parser.add_argument("--environment", dest="environments", action="append", choices=names)
    options = parser.parse_args(arguments)
    options.environments = options.environments or names
    return options


if __name__ == "__main__":
    sys.exit(main())
