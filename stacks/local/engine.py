"""A stand-in for the Pulumi engine: runs an unmodified program and returns its whole graph.

It speaks Pulumi's own protocols to the program, the provider and the policy packs. It never updates:
each run starts from nothing. Production is `pulumi up`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pulumi.provider.experimental.provider import Provider

from stacks.local.engine_backend import Checked, Function, Invented, Scope
from stacks.local.engine_graph import UNKNOWN, Deployment, EngineError, Finding, Json, Resource
from stacks.local.engine_packs import Pack, Packs, opened
from stacks.local.engine_program import Transport, abandoned_coroutines, collected_afterwards, failure_line, run_program
from stacks.local.engine_project import Project, load_project
from stacks.local.engine_provider import ProviderBackend
from stacks.local.monitor import EngineLog, Monitor, Rejected

__all__ = ["UNKNOWN", "Deployment", "EngineError", "Finding", "Pack", "Resource", "destroy", "run"]

_log = logging.getLogger(__name__)


def run(
    program: Path,
    stack: str,
    *,
    config: Mapping[str, str] | None = None,
    preview: bool = False,
    provider: Provider | None = None,
    packs: Sequence[Pack] = (),
    references: Mapping[str, Mapping[str, Json]] | None = None,
    answers: Mapping[str, Function] | None = None,
    transport: Transport = "in process",
) -> Deployment:
    """Runs the program in folder `program` for `stack`; raises EngineError when it is refused.

    Without a provider every output is invented from the schema (in a preview: unknown), and `answers` are what
    functions say of things that exist already. With one, a mandatory violation of a pack ends the run before
    that resource is created.
    """
    project = load_project(program, stack, config or {})
    backend = ProviderBackend(provider, preview=preview) if provider else Invented(preview=preview, answers=answers)
    stops = provider is not None and not preview
    with collected_afterwards(), opened(packs, project, preview=preview, stop_at_mandatory=stops) as judge:
        monitor = Monitor(project, backend, judge, references or {}, preview=preview)
        log = EngineLog()
        if _completed(project, monitor, log, preview=preview, transport=transport):
            judge.judge_stack(monitor.registered.values(), monitor.checked)
        return _deployment(project, monitor, judge, log, preview=preview)


def _completed(project: Project, monitor: Monitor, log: EngineLog, *, preview: bool, transport: Transport) -> bool:
    """True when the program ran to its end, False when a pack stopped it."""
    # Raised out here, free of the frames of the run: they would keep its futures alive into the next.
    with abandoned_coroutines():
        refusal = _refused(project, monitor, log, preview=preview, transport=transport)
    if isinstance(refusal, EngineError):
        raise refusal
    return refusal is None


def _refused(
    project: Project, monitor: Monitor, log: EngineLog, *, preview: bool, transport: Transport
) -> EngineError | Rejected | None:
    try:
        run_program(project, monitor, log, preview=preview, transport=transport)
    except Exception as error:  # noqa: BLE001 - whatever the program raises becomes one sentence
        _log.debug("the program failed", exc_info=error)
        return _refusal(monitor.failure or error, project)
    return None


def _refusal(cause: Exception, project: Project) -> EngineError | Rejected:
    if isinstance(cause, Rejected):
        return Rejected(*cause.args)
    if isinstance(cause, EngineError):
        return EngineError(str(cause))
    where = failure_line(cause, project.program)
    return EngineError(f"{where}: {type(cause).__name__}: {str(cause).strip()}")


def _deployment(project: Project, monitor: Monitor, judge: Packs, log: EngineLog, *, preview: bool) -> Deployment:
    return Deployment(
        project=project.name,
        stack=project.stack,
        preview=preview,
        resources=tuple(monitor.registered.values()),
        outputs=monitor.outputs,
        findings=tuple(judge.findings),
        messages=tuple(log.messages),
    )


def destroy(deployment: Deployment, provider: Provider, *, force: bool = False) -> tuple[str, ...]:
    """Deletes what a run created, dependants first; returns the URNs.

    A protected resource refuses the whole destruction and a retained one is left; `force` deletes
    both, for environments that are thrown away.
    """
    backend = ProviderBackend(provider, preview=False)
    created = [resource for resource in deployment.resources if resource.custom and resource.id]
    own = [resource for resource in created if not resource.type.startswith("pulumi:")]
    _refuse_protected(own, force=force)
    # Nothing is registered before what it depends on, so the reverse is a safe order.
    going = [resource for resource in reversed(own) if force or not resource.retain_on_delete]
    for resource in going:
        _delete(backend, resource)
    return tuple(resource.urn for resource in going)


def _refuse_protected(resources: Sequence[Resource], *, force: bool) -> None:
    protected = [resource for resource in resources if resource.protect]
    if protected and not force:
        first = protected[0]
        raise EngineError(f"{first.source}: {first.type} {first.name!r} is protected; nothing was deleted")


def _delete(backend: ProviderBackend, resource: Resource) -> None:
    scope = Scope(region=resource.region)
    place = Checked(resource.urn, resource.type, resource.name, {**resource.inputs, **resource.outputs}, scope)
    try:
        backend.delete(place, resource.id)
    except EngineError as error:
        raise EngineError(f"{resource.source}: {resource.type} {resource.name!r}: {error}") from error
