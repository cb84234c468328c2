"""The image and the task definitions agree: entry point, user, writable paths."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stacks.local import engine

DOCKERFILE = Path("services/gateway/Dockerfile").read_text(encoding="utf-8")
DEFINITIONS = [
    json.loads(resource.inputs["containerDefinitions"])[0]
    for resource in engine.run(Path(), "prod").of_type("aws:ecs/taskDefinition:TaskDefinition")
]


def test_the_image_has_the_executable_that_every_task_starts() -> None:
    assert DEFINITIONS
    assert {tuple(one["entryPoint"]) for one in DEFINITIONS} == {("gateway",)}
    assert "> /opt/gateway/bin/gateway" in DOCKERFILE
    assert 'ENTRYPOINT ["gateway"]' in DOCKERFILE


def test_the_image_runs_as_the_user_of_the_tasks_and_never_as_root() -> None:
    users = {one["user"].split(":")[0] for one in DEFINITIONS}
    last = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)[-1]
    assert users == {last}
    assert last != "0"


def test_the_only_writable_path_of_the_tasks_is_a_volume_of_the_image() -> None:
    writable = {mount["containerPath"] for one in DEFINITIONS for mount in one["mountPoints"] if not mount["readOnly"]}
    assert all(one["readonlyRootFilesystem"] for one in DEFINITIONS)
    assert writable == set(re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.MULTILINE))


def test_every_base_is_pinned_by_digest_and_dependencies_by_the_lock() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert [base for base in bases if "@$" not in base and "@sha256:" not in base] == []
    assert "uv sync --locked" in DOCKERFILE
