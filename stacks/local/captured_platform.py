"""The platform of one environment without a cloud: its configuration, and the graph the program makes of it."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

from stacks.environment import Environment
from stacks.local import engine
from stacks.local.engine_project import load_project

_PROGRAM = Path(__file__).resolve().parents[2]


def configured(name: str) -> Environment:
    """What `Pulumi.<name>.yaml` says, judged as the program judges it."""
    project = load_project(_PROGRAM, name, {})
    return Environment.load(json.loads(project.config[f"{project.name}:environment"]))


@cache
def captured(name: str) -> engine.Deployment:
    """Every resource with all ids known; nothing is created. The program is run once a process."""
    with warnings.catch_warnings():
        # The SDK warns of its own older resources while its modules are loaded.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run(_PROGRAM, name)


def captured_cluster(name: str, platform: engine.Deployment) -> engine.Deployment | None:
    """The inside of the model cluster on top of the platform given; None where the environment has none."""
    folder = _PROGRAM / "stacks" / "cluster"
    if not (folder / f"Pulumi.{name}.yaml").exists():
        return None
    return engine.run(folder, name, references={f"organization/{platform.project}/{name}": platform.outputs})


def captured_workloads(name: str, platform: engine.Deployment) -> tuple[engine.Deployment, ...]:
    """Every workload that has a stack in this environment, on top of the platform given."""
    references = {f"organization/{platform.project}/{name}": platform.outputs}
    folders = sorted(file.parent for file in (_PROGRAM / "stacks" / "workloads").glob(f"*/Pulumi.{name}.yaml"))
    return tuple(engine.run(folder, name, references=references) for folder in folders)
