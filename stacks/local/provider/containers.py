"""Runs what a task definition describes, as a process: its command, environment, secrets and role.

Everything a container gets in ECS comes from the registered task definition or from the standard variables
of the AWS SDKs; nothing is added that the service would have to know. What a process cannot be given
(an image, a network of its own, a read-only root, limits of memory) is not pretended.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from stacks.local.engine_graph import Json
from stacks.local.parts import aws as aws_part
from stacks.local.parts import processes
from stacks.local.parts.addresses import HOST
from stacks.local.parts.part import Launch
from stacks.local.parts.processes import Record
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.container_credentials import CREDENTIALS_FILE, Grant, add_grant, answers
from stacks.local.provider.parts_of import Parts

_SECRET = re.compile(r"^(arn:[^:]+:secretsmanager:[^:]+:\d+:secret:[^:]+)(?::([^:]*):([^:]*):([^:]*))?$")
_START_TIMEOUT_S = 60.0
_RECORD_VERSION = "task"


class TaskFailed(Exception):
    """A task could not start, or ended with an error. The sentence names its log."""


def start_service(aws: Aws, name: str, definition: str) -> Record:
    """Starts one task of a service; it goes on when this process ends. Its record stands below build/local/run."""
    parts = _parts(aws)
    launch, port = _launch(aws, definition)
    identity = processes.spawn(launch, parts.places.log(name))
    record = Record(name, f"ECS service {name}", _RECORD_VERSION, port, identity.pid, identity.created, signal.SIGTERM)
    record.write(parts.places.record(name))
    return record


def stop_service(aws: Aws, name: str) -> None:
    """Ends the task of a service, if one runs."""
    path = _parts(aws).places.record(name)
    record = Record.read(path)
    if record is not None:
        processes.end(record.identity, record.stop_signal)
        path.unlink(missing_ok=True)


def run_task(aws: Aws, definition: str, *, timeout_s: float = 120.0) -> str:
    """Runs one task to its end and returns the path of its log; raises when it fails."""
    parts = _parts(aws)
    launch, _ = _launch(aws, definition)
    family = definition.rpartition("/")[2].partition(":")[0]
    log = parts.places.log(family)
    code = _run_to_end(launch, log, timeout_s)
    if code != 0:
        raise TaskFailed(f"task {family} {_ended(code, timeout_s)}: {_last_line(log)} (log: {log})")
    return str(log)


def task_environment(aws: Aws, definition: str) -> Mapping[str, str]:
    """The environment of one more task of this definition, with its own grant of the role's credentials."""
    return _launch(aws, definition)[0].environment


def _run_to_end(launch: Launch, log: Path, timeout_s: float) -> int | None:
    """The exit code; None when time was up."""
    with log.open("ab") as output:
        try:
            return subprocess.run(
                launch.command,
                env=launch.complete_environment,
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=timeout_s,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def _ended(code: int | None, timeout_s: float) -> str:
    return f"did not end within {timeout_s:.0f} s" if code is None else f"ended with code {code}"


def _parts(aws: Aws) -> Parts:
    if aws.parts is None:
        raise TaskFailed("no local parts are given: a task has nowhere to run")
    return aws.parts


def _launch(aws: Aws, definition: str) -> tuple[Launch, int]:
    """The process of a task definition, read from the AWS API and not from the program that registered it."""
    found = aws.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
    container = found["containerDefinitions"][0]
    environment = {
        **{one["name"]: one["value"] for one in container.get("environment", [])},
        **{one["name"]: resolve_secret(aws, one["valueFrom"]) for one in container.get("secrets", [])},
        **aws_part.client_environment(_parts(aws).places, _parts(aws).addresses),
        **_credentials(aws, found),
    }
    ports = [one["containerPort"] for one in container.get("portMappings", [])]
    return Launch(_command(container, _parts(aws).entry_points), environment), ports[0] if ports else 0


def _command(container: Mapping[str, Json], entry_points: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    words: list[str] = [*(container.get("entryPoint") or []), *(container.get("command") or [])]
    entry = words[0] if words else ""
    if entry not in entry_points:
        known = ", ".join(entry_points)
        raise TaskFailed(f"container {container['name']!r}: no local program stands for {entry!r} (known: {known})")
    return (*entry_points[entry], *words[1:])


def resolve_secret(aws: Aws, value_from: str) -> str:
    """`<secret ARN>[:<JSON key>:<stage>:<version>]`, as ECS reads it."""
    match = _SECRET.match(value_from)
    if match is None:
        raise TaskFailed(f"{value_from!r} is not the ARN of a secret")
    arn, key, stage, version = match.groups(default="")
    options = {"VersionStage": stage} if stage else {"VersionId": version} if version else {}
    text: str = aws.client("secretsmanager").get_secret_value(SecretId=arn, **options)["SecretString"]
    if not key:
        return text
    document = json.loads(text)
    if key not in document:
        raise TaskFailed(f"the secret {arn} has no key {key!r}")
    return str(document[key])


def _credentials(aws: Aws, definition: Mapping[str, Json]) -> dict[str, str]:
    """The role of the task through the container credentials endpoint, as the ECS agent gives it."""
    role = definition.get("taskRoleArn")
    if not role:
        return {}
    parts = _parts(aws)
    _require_endpoint(aws, parts)
    grant = Grant(role_arn=role, session=definition["family"][:64], token=secrets.token_urlsafe(32))
    path = add_grant(parts.places.run / CREDENTIALS_FILE, grant)
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{HOST}:{parts.addresses.container_credentials}{path}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": grant.token,
    }


def _require_endpoint(aws: Aws, parts: Parts) -> None:
    """Starts the endpoint once; every later task finds it running."""
    port = parts.addresses.container_credentials
    if answers(port):
        return
    parts.places.make()
    module = "stacks.local.provider.container_credentials"
    command = (sys.executable, "-m", module, str(port), str(parts.places.run / CREDENTIALS_FILE), aws.region)
    environment = {"AWS_ENDPOINT_URL": aws.endpoint.url, "AWS_CA_BUNDLE": aws.endpoint.ca_bundle}
    name = "container-credentials"
    identity = processes.spawn(Launch(command, environment), parts.places.log(name))
    title = "ECS container credentials"
    record = Record(name, title, _RECORD_VERSION, port, identity.pid, identity.created, signal.SIGTERM)
    record.write(parts.places.record(name))
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not answers(port):
        if identity.leader() is None or time.monotonic() > deadline:
            raise TaskFailed(
                f"the credentials endpoint does not serve on port {port}: {_last_line(parts.places.log(name))}"
            )
        time.sleep(0.05)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
