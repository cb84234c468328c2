"""Which programs the policy packs judge, in which environments and modes, and what came of each run.

Every run goes through the engine and the packs as Pulumi serves them. What a preview cannot know is not
passed: it waits for the run in which ids are known, and there it must be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from policy_packs.configuration.loading import Settings, environments, for_first_preview, settings_for
from policy_packs.packs import PACKS
from policy_packs.resource import Resource as Judged
from policy_packs.rule import AnyRule, Rule
from policy_packs.view import View, plain
from stacks.classification import DataClass, strictest
from stacks.local import engine

REPOSITORY = Path(__file__).resolve().parents[2]
PLATFORM = REPOSITORY / "stacks" / "platform"
PACK_FOLDERS = {name: REPOSITORY / "policy_packs" / name.replace("-", "_") for name in PACKS}
RULES: Mapping[str, AnyRule] = {rule.name: rule for rules in PACKS.values() for rule in rules}


class Mode(StrEnum):
    KNOWN = "known"  # as `pulumi up`: ids and ARNs exist
    PREVIEW = "preview"  # as `pulumi preview` of a new stack: they do not


@dataclass(frozen=True)
class Target:
    """One program and stack. `references` are outputs of stacks it reads that no other target gives."""

    program: Path
    stack: str
    config: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # Any: outputs as JSON
    settings: Mapping[str, Settings] = field(default_factory=dict)  # pack → rule → setting → value

    @property
    def label(self) -> str:
        folder = self.program.resolve()
        return str(folder.relative_to(REPOSITORY)) if folder.is_relative_to(REPOSITORY) else folder.name


@dataclass(frozen=True, order=True)
class Fault:
    """A rule that said no, or that could not say anything."""

    pack: str
    rule: str
    resource: str  # URN; empty for the stack as a whole
    source: str  # file:line of the program
    message: str


@dataclass(frozen=True)
class Run:
    """One program, environment and mode, judged; `error` says why it could not be."""

    target: Target
    mode: Mode
    resources: int = 0
    applied: frozenset[str] = frozenset()
    violations: tuple[Fault, ...] = ()
    waiting: tuple[Fault, ...] = ()
    exempted: tuple[Fault, ...] = ()
    error: str = ""
    may_wait: bool = True

    @property
    def is_unjudged(self) -> bool:
        """In a preview a rule may wait for `up`; where everything is known, a rule that waits judged nothing."""
        may_wait = self.may_wait and self.mode is Mode.PREVIEW
        return bool(self.error) or (bool(self.waiting) and not may_wait)


def own_targets(environment: str = "") -> tuple[Target, ...]:
    """Every program of this repository, the platform first: the others read what it promises."""
    files = [REPOSITORY / "Pulumi.yaml", *sorted((REPOSITORY / "stacks").rglob("Pulumi.yaml"))]
    return tuple(target for file in files for target in _targets(file) if environment in ("", target.stack))


def _targets(file: Path) -> Iterator[Target]:
    project = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings = file.parent / project.get("stackConfigDir", ".")
    program = (file.parent / project.get("main", ".")).resolve()
    for one in sorted(settings.glob("Pulumi.*.yaml")):
        stack = one.name.removeprefix("Pulumi.").removesuffix(".yaml")
        yield Target(program, stack, settings=settings_of(stack))


def settings_of(stack: str) -> Mapping[str, Settings]:
    """What the packs are configured with in an environment of ours: as its strictest data class demands.

    A stack that is no environment, as the organization's, is judged by the rules' own defaults.
    """
    if stack not in environments():
        return {}
    content = yaml.safe_load((PLATFORM / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    named = content["config"]["llm-pipelines:environment"]["data_classes"]
    return settings_for(stack, strictest(DataClass(one) for one in named))


class Judge:
    """Runs targets in order and remembers their outputs for the programs above them."""

    def __init__(self, *, over_grpc: bool) -> None:
        self._over_grpc = over_grpc
        self._outputs: dict[str, Mapping[str, Any]] = {}

    def judge(self, target: Target) -> Iterator[Run]:
        """Known first: a preview reads the outputs of stacks that are deployed."""
        for mode in (Mode.KNOWN, Mode.PREVIEW):
            yield self._run(target, mode)

    def _run(self, target: Target, mode: Mode) -> Run:
        try:
            deployment = engine.run(
                target.program,
                target.stack,
                config=target.config,
                preview=mode is Mode.PREVIEW,
                packs=packs(target.settings, mode, over_grpc=self._over_grpc),
                references={**self._outputs, **target.references},
            )
        except engine.EngineError as error:
            return Run(target, mode, error=str(error))
        if mode is Mode.KNOWN:
            self._outputs[f"organization/{deployment.project}/{deployment.stack}"] = deployment.outputs
        return judged_run(target, mode, deployment)


def packs(settings: Mapping[str, Settings], mode: Mode, *, over_grpc: bool) -> list[engine.Pack]:
    """Both packs, configured. Before anything exists documents without ids are unknown: they wait, none is denied."""
    chosen = for_first_preview(settings) if mode is Mode.PREVIEW else settings
    return [
        engine.Pack(folder, chosen.get(name, {}), in_process=not over_grpc) for name, folder in PACK_FOLDERS.items()
    ]


def judged_run(target: Target, mode: Mode, deployment: engine.Deployment) -> Run:
    """What the packs found in one graph."""
    sources = {one.urn: one.source for one in deployment.resources}
    faults: dict[str, set[Fault]] = {}
    for finding in deployment.findings:
        faults.setdefault(finding.level, set()).add(_fault(finding, sources))
    waiting = [fault for level, found in faults.items() if level not in ("mandatory", "exempted") for fault in found]
    return Run(
        target,
        mode,
        resources=len(deployment.resources),
        applied=frozenset(applied_rules(deployment.resources, target.settings)),
        violations=tuple(sorted(faults.get("mandatory", ()))),
        waiting=tuple(sorted(waiting)),
        exempted=tuple(sorted(faults.get("exempted", ()))),
    )


def _fault(finding: engine.Finding, sources: Mapping[str, str]) -> Fault:
    source = sources.get(finding.urn, "")
    return Fault(finding.pack, finding.policy, finding.urn, source, " ".join(finding.message.split()))


def applied_rules(
    resources: Sequence[engine.Resource], settings: Mapping[str, Settings] | None = None
) -> Iterator[str]:
    """Rules that found their subject in this graph: a rule that never applies protects nothing."""
    judged = [judged_resource(one) for one in resources]
    configured = {name: own for rules in (settings or {}).values() for name, own in rules.items()}
    for name, rule in RULES.items():
        if _applies(rule, judged, configured.get(name, {})):
            yield name


def _applies(rule: AnyRule, resources: Iterable[Judged], settings: Mapping[str, object]) -> bool:
    if isinstance(rule, Rule):
        about = [one for one in resources if rule.is_about(one.type)]
        return any(not rule.judge(one, settings).not_applicable for one in about)
    return not rule.judge(resources, settings).not_applicable


def judged_resource(resource: engine.Resource) -> Judged:
    """A resource of the captured graph as rules see it."""
    content = View(plain({**resource.inputs, **resource.outputs}))
    return Judged(resource.type, resource.name, resource.urn, content, resource.property_dependencies)
