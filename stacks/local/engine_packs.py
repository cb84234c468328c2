"""Policy packs, started and asked as the CLI does: every resource before it is created, the stack at the end.

The CLI's own part is done here too: defaults of the configuration schema are filled in, and every
policy is given its enforcement level (a Configure without one silently makes it advisory).
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # the wheel of protobuf has no types
from pulumi.runtime import config as pulumi_config
from pulumi.runtime import settings as pulumi_settings
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from stacks.local import schema
from stacks.local.engine_graph import UNKNOWN, EngineError, Finding, Json, Resource
from stacks.local.engine_project import ORGANIZATION, Project
from stacks.local.engine_values import plain, struct

_START_TIMEOUT_S = 30
_LEVELS = {
    analyzer_pb2.ADVISORY: "advisory",
    analyzer_pb2.MANDATORY: "mandatory",
    # No remediation runs here, so what it would have repaired still stands: the SDK says mandatory too.
    analyzer_pb2.REMEDIATE: "mandatory",
}
_UNJUDGED = "can't run policy"  # how pulumi-policy begins its note on a rule that met an unknown value
_EXEMPTED = "exempted until "  # how a rule begins the reason why a fault does not count


@dataclass(frozen=True)
class Pack:
    """A policy pack folder and its configuration, by policy name.

    `in_process` runs the pack's own servicer without a process: the same answers, faster.
    """

    path: Path
    config: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    in_process: bool = False


class Analyzer(Protocol):
    """The calls of `pulumirpc.Analyzer` that are made."""

    def GetAnalyzerInfo(self, request: Any) -> Any: ...  # noqa: N802 - the protocol's name
    def ConfigureStack(self, request: Any) -> Any: ...  # noqa: N802 - the protocol's name
    def Configure(self, request: Any) -> Any: ...  # noqa: N802 - the protocol's name
    def Analyze(self, request: Any) -> Any: ...  # noqa: N802 - the protocol's name
    def AnalyzeStack(self, request: Any) -> Any: ...  # noqa: N802 - the protocol's name


class Packs:
    """All packs of one run, open. `findings` grows as resources are registered."""

    def __init__(self, analyzers: Sequence[tuple[str, Analyzer]], *, stop_at_mandatory: bool) -> None:
        self._analyzers = analyzers
        self._stop_at_mandatory = stop_at_mandatory
        self.findings: list[Finding] = []

    def judge_resource(self, resource: Resource, checked: Mapping[str, Json], provider: Resource | None) -> bool:
        """Asks every pack about the checked inputs; False when a mandatory rule forbids creating it."""
        request = analyzer_pb2.AnalyzeRequest(
            type=resource.type,
            urn=resource.urn,
            name=resource.name,
            properties=struct(_public(checked)),
            options=_options(resource),
            provider=_provider(provider),
        )
        before = len(self.findings)
        for name, analyzer in self._analyzers:
            self._collect(name, resource.urn, lambda: analyzer.Analyze(request))  # noqa: B023 - called at once
        new = self.findings[before:]
        return not (self._stop_at_mandatory and any(finding.level == "mandatory" for finding in new))

    def judge_stack(self, resources: Iterable[Resource], checked: Mapping[str, Mapping[str, Json]]) -> None:
        """Asks every pack about the whole stack."""
        by_urn = {resource.urn: resource for resource in resources}
        # The engine sends resources in no order; a fixed shuffle keeps rules from relying on one.
        shuffled = sorted(by_urn.values(), key=lambda resource: hashlib.sha256(resource.urn.encode()).digest())
        request = analyzer_pb2.AnalyzeStackRequest(
            resources=[_analyzed(resource, checked.get(resource.urn, {}), by_urn) for resource in shuffled]
        )
        for name, analyzer in self._analyzers:
            self._collect(name, "", lambda: analyzer.AnalyzeStack(request))  # noqa: B023 - called at once

    def _collect(self, pack: str, urn: str, ask: Any) -> None:
        try:
            response = ask()
        except grpc.RpcError as error:
            raise EngineError(f"{pack}:1: the pack failed on {urn or 'the stack'}: {error.details()}") from error
        except Exception as error:  # an exception of a rule stops a real deployment too
            raise EngineError(f"{pack}:1: the pack failed on {urn or 'the stack'}: {error!r}") from error
        for diagnostic in response.diagnostics:
            level = "unknown" if diagnostic.message.startswith(_UNJUDGED) else _LEVELS[diagnostic.enforcementLevel]
            self.findings.append(
                Finding(
                    pack=diagnostic.policyPackName,
                    policy=diagnostic.policyName,
                    level=level,
                    urn=diagnostic.urn or urn,
                    message=diagnostic.message,
                )
            )
        for one in response.not_applicable:
            if one.reason.startswith(_EXEMPTED):
                self.findings.append(Finding(pack, one.policy_name, "exempted", urn, one.reason))


def _public(properties: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in properties.items() if not key.startswith("__")}


def _options(resource: Resource) -> analyzer_pb2.AnalyzerResourceOptions:
    return analyzer_pb2.AnalyzerResourceOptions(
        protect=resource.protect,
        ignoreChanges=resource.ignore_changes,
        aliases=resource.aliases,
        parent=resource.parent,
    )


def _provider(provider: Resource | None) -> analyzer_pb2.AnalyzerProviderResource | None:
    if provider is None:
        return None
    return analyzer_pb2.AnalyzerProviderResource(
        type=provider.type, urn=provider.urn, name=provider.name, properties=struct(provider.inputs)
    )


def _analyzed(
    resource: Resource, checked: Mapping[str, Json], by_urn: Mapping[str, Resource]
) -> analyzer_pb2.AnalyzerResource:
    return analyzer_pb2.AnalyzerResource(
        type=resource.type,
        urn=resource.urn,
        name=resource.name,
        parent=resource.parent,
        properties=struct(_public(state(resource, checked))),
        options=_options(resource),
        provider=_provider(by_urn.get(resource.provider.rpartition("::")[0])),
        dependencies=resource.dependencies,
        propertyDependencies={
            key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns)
            for key, urns in resource.property_dependencies.items()
        },
    )


def state(resource: Resource, checked: Mapping[str, Json]) -> dict[str, Json]:
    """What the engine knows of a resource; an output that nobody returned is unknown, not absent."""
    known = {**checked, **resource.outputs}
    if not resource.custom or resource.type.startswith("pulumi:"):
        return known
    accepted = schema.input_shape(resource.type).properties
    missing = [key for key in schema.output_types(resource.type) if key not in known and key not in accepted]
    return {**dict.fromkeys(missing, UNKNOWN), **known, "id": resource.id or UNKNOWN}


# --- starting and configuring


@contextmanager
def opened(packs: Sequence[Pack], project: Project, *, preview: bool, stop_at_mandatory: bool) -> Iterator[Packs]:
    """Starts and configures every pack; ends them afterwards."""
    with ExitStack() as stack:
        started = [stack.enter_context(_started(pack, project, preview=preview)) for pack in packs]
        analyzers = []
        for pack, connect in zip(packs, started, strict=True):
            analyzer = stack.enter_context(connect())
            _configure(pack, analyzer, project, preview=preview)
            analyzers.append((str(pack.path / "__main__.py"), analyzer))
        yield Packs(analyzers, stop_at_mandatory=stop_at_mandatory)


@contextmanager
def _started(
    pack: Pack, project: Project, *, preview: bool
) -> Iterator[Callable[[], AbstractContextManager[Analyzer]]]:
    """The way to a pack that is starting: the next one starts meanwhile."""
    if pack.in_process:
        yield partial(_in_process, pack, project, preview=preview)
        return
    process = _spawned(pack, project, preview=preview)
    try:
        yield partial(_connected, pack, process)
    finally:
        process.kill()  # it holds nothing, and takes its time to leave in order
        process.communicate(timeout=_START_TIMEOUT_S)


def _spawned(pack: Pack, project: Project, *, preview: bool) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PULUMI_PROJECT": project.name,
        "PULUMI_STACK": project.stack,
        "PULUMI_ORGANIZATION": ORGANIZATION,
        "PULUMI_DRY_RUN": "true" if preview else "false",
        "PULUMI_CONFIG": json.dumps(project.config),
    }
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(pack.path.resolve())]
    return subprocess.Popen(
        command, cwd=pack.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def _connected(pack: Pack, process: subprocess.Popen[str]) -> Iterator[Analyzer]:
    with grpc.insecure_channel(f"127.0.0.1:{_port(pack, process)}") as channel:
        yield analyzer_pb2_grpc.AnalyzerStub(channel)


def _port(pack: Pack, process: subprocess.Popen[str]) -> int:
    first = process.stdout.readline().strip() if process.stdout else ""
    if first.isdigit():
        return int(first)
    process.terminate()
    _, errors = process.communicate(timeout=_START_TIMEOUT_S)
    last = errors.strip().splitlines()[-1] if errors.strip() else f"its first line was {first!r}, not a port"
    raise EngineError(f"{pack.path / '__main__.py'}:1: the pack did not start: {last}")


class _Served(BaseException):
    """Ends a pack's `__main__.py` at the point where it would serve for ever."""

    def __init__(self, servicer: Any) -> None:
        super().__init__()
        self.servicer = servicer


class _Stop:
    """Stands where the pack would make its gRPC server: takes the servicer and goes no further."""

    def __init__(self, servicer: Any, server: Any) -> None:
        raise _Served(servicer)


class _InProcess:
    """The pack's own servicer, called with the settings that its process would have."""

    def __init__(self, servicer: Any, context: contextvars.Context) -> None:
        self._servicer = servicer
        self._context = context

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._servicer, name)
        return lambda request: self._context.run(method, request, None)


@contextmanager
def _in_process(pack: Pack, project: Project, *, preview: bool) -> Iterator[Analyzer]:
    context = contextvars.Context()
    context.run(_settle, project, preview=preview)
    yield _InProcess(_servicer(pack), context)


def _settle(project: Project, *, preview: bool) -> None:
    pulumi_settings.configure(
        pulumi_settings.Settings(project=project.name, stack=project.stack, dry_run=preview, organization=ORGANIZATION)
    )
    pulumi_config.set_all_config(project.config)


def _servicer(pack: Pack) -> Any:
    """Runs the pack's program up to the moment at which it serves."""
    served = mock.patch.object(analyzer_pb2_grpc, "add_AnalyzerServicer_to_server", _Stop)
    folder = pack.path.resolve()
    with served, contextlib.chdir(folder):
        try:
            runpy.run_path(str(folder), run_name="__main__")
        except _Served as end:
            return end.servicer
        except Exception as error:
            raise EngineError(f"{pack.path / '__main__.py'}:1: the pack did not start: {error!r}") from error
    raise EngineError(f"{pack.path / '__main__.py'}:1: the pack made no PolicyPack")


def _configure(pack: Pack, analyzer: Analyzer, project: Project, *, preview: bool) -> None:
    analyzer.ConfigureStack(
        analyzer_pb2.AnalyzerStackConfigureRequest(
            stack=project.stack,
            project=project.name,
            organization=ORGANIZATION,
            dry_run=preview,
            config=project.config,
        )
    )
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty())
    names = [policy.name for policy in info.policies]
    for name in pack.config:
        if name not in (*names, "all"):
            raise EngineError(f"{pack.path}:1: configures the unknown policy {name!r} (there are: {', '.join(names)})")
    configured = {policy.name: _policy_config(pack, policy, info.initialConfig) for policy in info.policies}
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=configured))


def _policy_config(pack: Pack, policy: Any, initial: Mapping[str, Any]) -> analyzer_pb2.PolicyConfig:
    """Schema defaults, then the pack's own configuration, then that of `all`, then that of the policy."""
    properties = {key: plain(value) for key, value in policy.configSchema.properties.fields.items()}
    values = {key: declared["default"] for key, declared in properties.items() if "default" in declared}
    level = policy.enforcementLevel
    if policy.name in initial:
        level = initial[policy.name].enforcementLevel
        values.update(plain(initial[policy.name].properties))
    given = {**pack.config.get("all", {}), **pack.config.get(policy.name, {})}
    if "enforcementLevel" in given:
        level = analyzer_pb2.EnforcementLevel.Value(str(given.pop("enforcementLevel")).upper())
    values.update(given)
    missing = [key for key in policy.configSchema.required if key not in values]
    unknown = [key for key in given if key not in properties]
    if missing or unknown:
        wrong = f"misses {', '.join(missing)}" if missing else f"has the unknown {', '.join(unknown)}"
        raise EngineError(f"{pack.path}:1: the configuration of policy {policy.name!r} {wrong}")
    return analyzer_pb2.PolicyConfig(enforcementLevel=level, properties=struct(values))
