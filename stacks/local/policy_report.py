"""`make policy`: both packs over every program, environment and mode; a table, JSON, SARIF and JUnit.

With `--state` instead: over what any other program deployed (`pulumi stack export`) or would (`pulumi preview --json`).
Exit 0: nothing found. Exit 1: a rule is violated. Exit 2: something could not be judged, which is no pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from policy_packs.configuration.loading import ConfigurationError, Settings, read
from policy_packs.packs import PACKS
from stacks.local.policy_junit import junit
from stacks.local.policy_runs import RULES, Fault, Judge, Mode, Run, Target, own_targets
from stacks.local.policy_sarif import relative, sarif
from stacks.local.policy_state import judge_state

_CLEAN, _VIOLATED, _UNJUDGED = 0, 1, 2
_PIPE_WIDTH = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges what the command line names; returns the exit code."""
    options = options_of(arguments)
    console = _console(to_stderr="-" in (options.json, options.sarif, options.junit))
    runs = [replace(run, may_wait=not options.nothing_waits) for run in _runs(options, console)]
    if not runs:
        console.print(f"no program has a stack named {options.environment!r}", style="red", highlight=False)
        return _UNJUDGED
    _print(runs, console)
    _write(options.json, _as_text(_report(runs)))
    _write(options.sarif, _as_text(sarif(runs)))
    _write(options.junit, junit(runs))
    return verdict(runs)


def _runs(options: argparse.Namespace, console: Console) -> list[Run]:
    over_grpc = not options.in_process
    if options.state:
        return [judge_state(file, over_grpc=over_grpc, settings=options.settings) for file in options.state]
    return _judge(_targets(options), over_grpc=over_grpc, console=console)


def verdict(runs: Sequence[Run]) -> int:
    if any(run.violations for run in runs):
        return _VIOLATED
    return _UNJUDGED if any(run.is_unjudged for run in runs) else _CLEAN


def _console(*, to_stderr: bool) -> Console:
    """A file or a pipe has no width of its own: wide enough for every column."""
    console = Console(stderr=to_stderr)
    return console if console.is_terminal else Console(stderr=to_stderr, width=_PIPE_WIDTH)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What a command line asks for; a wrong one ends the program with code 2 and a sentence."""
    covered = "What the rules cover, framework by framework: python -m policy_packs.coverage_report"
    parser = argparse.ArgumentParser(prog="make policy", description=__doc__, epilog=covered)
    parser.add_argument("--environment", default="", help="one environment instead of all")
    parser.add_argument("--program", type=Path, help="another program's folder instead of our own; with --stack")
    parser.add_argument("--stack", help="the stack of --program")
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a setting of --program")
    parser.add_argument("--references", type=Path, help="JSON file: stack name → outputs that --program reads")
    parser.add_argument(
        "--state",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="judge a file instead: of `pulumi stack export` (with --show-secrets, secrets are judged, never shown) "
        "or of `pulumi preview --json --show-sames`",
    )
    parser.add_argument(
        "--pack-config",
        action="append",
        default=[],
        metavar="PACK=FILE",
        help="settings and exemptions of one pack, as for `pulumi preview --policy-pack-config`",
    )
    parser.add_argument("--json", metavar="FILE", help="write the findings as JSON; - for standard output")
    parser.add_argument("--sarif", metavar="FILE", help="write the violations as SARIF 2.1.0; - for standard output")
    parser.add_argument(
        "--junit", metavar="FILE", help="write a test for each rule as JUnit XML; - for standard output"
    )
    parser.add_argument(
        "--nothing-waits",
        action="store_true",
        help="a rule that a preview cannot judge yet counts as not judged: exit 2 instead of waiting for `up`",
    )
    parser.add_argument("--in-process", action="store_true", help="run the packs without their gRPC processes: faster")
    options = parser.parse_args(arguments)
    options.settings = _settings(options.pack_config, parser)
    if bool(options.program) != bool(options.stack):
        parser.error("--program and --stack go together")
    if options.program and not options.program.is_dir():
        parser.error(f"--program: {options.program} is no folder")
    if any("=" not in pair for pair in options.config):
        parser.error("--config: write KEY=VALUE")
    if options.state and (options.program or options.environment):
        parser.error("--state judges files: without --program and --environment")
    if options.settings and not (options.program or options.state):
        parser.error("--pack-config: our own programs are configured in policy_packs/configuration")
    if (options.json, options.sarif, options.junit).count("-") > 1:
        parser.error("--json, --sarif and --junit: only one can go to standard output")
    return options


def _targets(options: argparse.Namespace) -> tuple[Target, ...]:
    if not options.program:
        return own_targets(options.environment)
    config = dict(pair.split("=", 1) for pair in options.config)
    references = json.loads(options.references.read_text(encoding="utf-8")) if options.references else {}
    return (Target(options.program, options.stack, config, references, options.settings),)


def _settings(pairs: Sequence[str], parser: argparse.ArgumentParser) -> dict[str, Settings]:
    found: dict[str, Settings] = {}
    for pair in pairs:
        pack, _, name = pair.partition("=")
        if pack not in PACKS or not Path(name).is_file():
            parser.error(
                f"--pack-config: write PACK=FILE, the pack one of {', '.join(PACKS)}, the file one that exists"
            )
        try:
            found[pack] = read(Path(name), PACKS[pack])
        except ConfigurationError as error:
            parser.error(f"--pack-config: {error}")
    return found


def _judge(targets: Sequence[Target], *, over_grpc: bool, console: Console) -> list[Run]:
    judge = Judge(over_grpc=over_grpc)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: list[Run] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("judging", total=len(targets) * len(Mode))
        for target in targets:
            progress.update(task, description=f"{target.label} {target.stack}")
            for run in judge.judge(target):
                runs.append(run)
                progress.advance(task)
    return runs


def _print(runs: Sequence[Run], console: Console) -> None:
    console.print(_table(runs))
    for run in runs:
        if run.error:
            console.print(f"[red]not judged[/] {escape(_title(run))}: {escape(run.error)}", highlight=False)
    _print_faults("violation", _distinct(runs, "violations"), console)
    _print_faults("not judged", _distinct([run for run in runs if run.is_unjudged], "waiting"), console)
    _print_exempted(_distinct(runs, "exempted"), console)
    _print_waiting([run for run in runs if run.waiting and not run.is_unjudged], console)
    console.print(_summary(runs), highlight=False)


def _print_faults(kind: str, faults: Mapping[Fault, Sequence[Run]], console: Console) -> None:
    """By rule: what it demands and what to do once, then every place."""
    for name in sorted({fault.rule for fault in faults}):
        rule = RULES[name]
        console.print(f"[red]{kind}[/] [bold]{name}[/]: {escape(rule.description)}", highlight=False)
        console.print(f"  to do: {escape(rule.remediation)}", highlight=False)
        for fault, shown_by in faults.items():
            if fault.rule == name:
                console.print(f"  {escape(_place(fault))} [dim]({escape(_where(shown_by))})[/]", highlight=False)


def _print_exempted(faults: Mapping[Fault, Sequence[Run]], console: Console) -> None:
    """What somebody answers for: which rule, until when, why and for what."""
    for fault, shown_by in faults.items():
        where = escape(_where(shown_by))
        console.print(f"[cyan]exempted[/] {fault.rule}: {escape(fault.message)} [dim]({where})[/]", highlight=False)


def _print_waiting(runs: Sequence[Run], console: Console) -> None:
    """What a preview could not judge yet: by rule, and of how many resources."""
    for name, places in sorted(_waiting_places(runs).items()):
        console.print(f"[yellow]waits for up[/] {name} [dim]({len(places)} unknown)[/]", highlight=False)


def _waiting_places(runs: Sequence[Run]) -> dict[str, set[Fault]]:
    found: dict[str, set[Fault]] = {}
    for run in runs:
        for fault in run.waiting:
            found.setdefault(fault.rule, set()).add(fault)
    return found


def _place(fault: Fault) -> str:
    """Where, what and why: the description stands above already."""
    message = fault.message.removeprefix(RULES[fault.rule].description).strip()
    name = fault.resource.rpartition("::")[2]
    return " ".join(filter(None, (relative(fault.source), name and f"'{name}'", message)))


def _table(runs: Sequence[Run]) -> Table:
    table = Table(title="Policy packs over every program", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("program", "environment", "mode"):
        table.add_column(heading, no_wrap=True)
    for heading in ("resources", "rules", "violations", "exempted", "waiting"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for run in runs:
        figures = (run.resources, f"{len(run.applied)}/{len(RULES)}", *_counts(run))
        table.add_row(escape(run.target.label), escape(run.target.stack), run.mode, *map(str, figures), _result(run))
    return table


def _counts(run: Run) -> tuple[int, int, int]:
    return len(run.violations), len(run.exempted), len(run.waiting)


def _result(run: Run) -> str:
    if run.violations:
        return "[red]violated[/]"
    if run.is_unjudged:
        return "[red]not judged[/]"
    return "[yellow]waits for up[/]" if run.waiting else "[green]clean[/]"


def _title(run: Run) -> str:
    return f"{run.target.label} {run.target.stack} {run.mode}"


def _distinct(runs: Sequence[Run], kind: str) -> dict[Fault, list[Run]]:
    """Each fault once, with the runs that show it."""
    found: dict[Fault, list[Run]] = {}
    for run in runs:
        for fault in getattr(run, kind):
            found.setdefault(fault, []).append(run)
    return found


def _where(runs: Sequence[Run]) -> str:
    """`stacks/platform dev known, preview; …`"""
    modes: dict[str, list[str]] = {}
    for run in runs:
        modes.setdefault(f"{run.target.label} {run.target.stack}", []).append(run.mode)
    return "; ".join(f"{stack} {', '.join(found)}" for stack, found in modes.items())


def _summary(runs: Sequence[Run]) -> str:
    answers = {
        _CLEAN: "[green]clean[/]: no rule is violated, and every rule that applies was judged",
        _VIOLATED: "[red]violated[/]: these stacks must not be deployed",
        _UNJUDGED: "[red]not judged[/]: what could not be judged does not pass",
    }
    code = verdict(runs)
    if code == _CLEAN and any(run.waiting for run in runs) and not any(run.mode is Mode.KNOWN for run in runs):
        return "[yellow]clean so far[/]: no rule is violated; `up` judges what waits before it exists"
    return answers[code]


def _report(runs: Sequence[Run]) -> Mapping[str, Any]:
    return {
        "verdict": {0: "clean", 1: "violated", 2: "not judged"}[verdict(runs)],
        "runs": [_plain(run) for run in runs],
    }


def _plain(run: Run) -> Mapping[str, Any]:
    return {
        "program": run.target.label,
        "environment": run.target.stack,
        "mode": str(run.mode),
        "resources": run.resources,
        "rules_applied": sorted(run.applied),
        "violations": [_plain_fault(fault) for fault in run.violations],
        "waiting": [_plain_fault(fault) for fault in run.waiting],
        "exempted": [_plain_fault(fault) for fault in run.exempted],
        "error": run.error,
    }


def _plain_fault(fault: Fault) -> Mapping[str, str]:
    severity = str(RULES[fault.rule].severity)
    return {**vars(fault), "source": relative(fault.source), "severity": severity}


def _as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def _write(destination: str | None, text: str) -> None:
    if destination is None:
        return
    if destination == "-":
        sys.stdout.write(text)
    else:
        Path(destination).parent.mkdir(parents=True, exist_ok=True)
        Path(destination).write_text(text, encoding="utf-8")


def _run_as_program() -> int:
    """A crash is no violation and no pass: nothing was judged."""
    try:
        return main()
    except Exception:  # noqa: BLE001 - whatever it is, it is shown and ends in the code for "not judged"
        traceback.print_exc()
        return _UNJUDGED


if __name__ == "__main__":
    sys.exit(_run_as_program())
