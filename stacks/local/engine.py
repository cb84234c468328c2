"""A stand-in for the Pulumi engine: runs an unmodified program and returns its whole graph.

It speaks Pulumi's own protocols to the program, the provider and the policy packs. It never updates:
each run starts from nothing. Production is `pulumi up`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stacks.local.engine_backend import Invented
from stacks.local.engine_graph import UNKNOWN, Deployment, EngineError, Finding, Json, Resource
from stacks.local.engine_program import Transport, failure_line, run_program
from stacks.local.engine_project import load_project
from stacks.local.monitor import EngineLog, Monitor

__all__ = ["UNKNOWN", "Deployment", "EngineError", "Finding", "Resource", "run"]


class _NoPacks:
    def judge_resource(self, resource: Resource, checked: Mapping[str, Json], provider: Resource | None) -> bool:
        return True


def run(
    program: Path,
    stack: str,
    *,
    config: Mapping[str, str] | None = None,
    preview: bool = False,
    provider: None = None,
    packs: Sequence[object] = (),
    references: Mapping[str, Mapping[str, Json]] | None = None,
    transport: Transport = "in process",
) -> Deployment:
    """Runs the program in folder `program` for `stack`; raises EngineError when it is refused."""
    project = load_project(program, stack, config or {})
    monitor = Monitor(project, Invented(preview=preview), _NoPacks(), references or {}, preview=preview)
    log = EngineLog()
    try:
        run_program(project, monitor, log, preview=preview, transport=transport)
    except Exception as error:
        if isinstance(monitor.failure, EngineError):
            raise monitor.failure from None
        if isinstance(error, EngineError):
            raise
        where = failure_line(error, project.program)
        raise EngineError(f"{where}: {type(error).__name__}: {str(error).strip()}") from error
    return Deployment(
        project=project.name,
        stack=stack,
        preview=preview,
        resources=tuple(monitor.registered.values()),
        outputs=monitor.outputs,
        findings=(),
        messages=tuple(log.messages),
    )
