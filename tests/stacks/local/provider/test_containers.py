"""A task is a process made from its registered definition: command, environment, secrets, role."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session as BotocoreSession

from stacks.local.engine import run
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places
from stacks.local.parts.ports import is_free
from stacks.local.parts.processes import Record
from stacks.local.parts.supervisor import stop_recorded
from stacks.local.provider import containers
from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.container_credentials import CREDENTIALS_FILE, Grant, Server, add_grant
from stacks.local.provider.parts_of import Parts
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

# A program in the container's place: says what it was given, then ends as it is told.
PROBE = """
import json, os, sys, time
names = ("GREETING", "PASSWORD", "AWS_ENDPOINT_URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "HOME_SECRET")
print(json.dumps({name: os.environ.get(name) for name in names} | {"words": sys.argv[1:]}), flush=True)
if sys.argv[1:] == ["serve"]:
    time.sleep(60)
sys.exit(int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 0)
"""

SERVICE = """
    assume = json.dumps({{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {{"Service": "ecs-tasks.amazonaws.com"}}}}]}})
    role = aws.iam.Role("task", name="task", assume_role_policy=assume, opts=mine)
    secret = aws.secretsmanager.Secret("secret", name="planted", opts=mine)
    version = aws.secretsmanager.SecretVersion("one", secret_id=secret.id,
        secret_string=json.dumps({{"username": "owner", "password": "a word"}}), opts=mine)
    cluster = aws.ecs.Cluster("cluster", name="cluster", opts=mine)
    containers = secret.arn.apply(lambda arn: json.dumps([{{
        "name": "probe", "image": "probe", "memory": 64, "entryPoint": ["{entry}"], "command": {command},
        "environment": [{{"name": "GREETING", "value": "hello"}}],
        "secrets": [{{"name": "PASSWORD", "valueFrom": f"{{arn}}:password::"}}]}}]))
    task = aws.ecs.TaskDefinition("task", family="probe", task_role_arn=role.arn, container_definitions=containers,
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[version]))
    pulumi.export("task", task.arn)
    """
RUNNING = 'aws.ecs.Service("probe", name="probe", cluster=cluster.arn, task_definition=task.arn, opts=mine)\n'


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    ports = next(
        offset for offset in range(2000, 9000, 100) if is_free(Addresses().shifted(offset).container_credentials)
    )
    places = Places(tmp_path / "local")
    places.make()
    yield Parts(Addresses().shifted(ports), places, {"probe": (sys.executable, "-c", PROBE)})
    stop_recorded(places)


@pytest.fixture
def provider(endpoint: Endpoint, parts: Parts) -> MotoProvider:
    return MotoProvider(endpoint, parts=parts)


def deployed(folder: Path, provider: MotoProvider, command: list[str], entry: str = "probe", extra: str = "") -> str:
    body = SERVICE.format(entry=entry, command=json.dumps(command)) + extra
    task: str = run(plant(folder, body), "dev", provider=provider).outputs["task"]
    return task


def said(parts: Parts) -> dict[str, Any]:
    lines = parts.places.log("probe").read_text().splitlines()
    answer: dict[str, Any] = json.loads(lines[0])
    return answer


def test_one_off_task_gets_what_its_definition_names(tmp_path: Path, provider: MotoProvider, parts: Parts) -> None:
    log = provider.run_task(deployed(tmp_path / "program", provider, ["migrate"]))

    given = said(parts)
    assert log == str(parts.places.log("probe"))
    assert given["words"] == ["migrate"]
    assert (given["GREETING"], given["PASSWORD"]) == ("hello", "a word")
    assert given["AWS_ENDPOINT_URL"] == parts.addresses.aws_url
    assert given["HOME_SECRET"] is None


def test_variables_of_the_machine_do_not_reach_a_task(
    tmp_path: Path, provider: MotoProvider, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_SECRET", "of the developer")

    provider.run_task(deployed(tmp_path / "program", provider, ["migrate"]))

    assert said(parts)["HOME_SECRET"] is None


def test_task_that_fails_is_one_sentence_with_its_log(tmp_path: Path, provider: MotoProvider) -> None:
    task = deployed(tmp_path / "program", provider, ["3"])

    with pytest.raises(containers.TaskFailed, match=r"task probe ended with code 3: .*probe\.log\)"):
        provider.run_task(task)


def test_task_that_does_not_end_is_ended(tmp_path: Path, provider: MotoProvider) -> None:
    task = deployed(tmp_path / "program", provider, ["serve"])

    with pytest.raises(containers.TaskFailed, match="task probe did not end within 1 s"):
        provider.run_task(task, timeout_s=1)


def test_entry_point_without_a_local_program_is_refused(tmp_path: Path, provider: MotoProvider) -> None:
    task = deployed(tmp_path / "program", provider, [], entry="other")

    with pytest.raises(containers.TaskFailed, match=r"no local program stands for 'other' \(known: probe\)"):
        provider.run_task(task)


def test_service_is_a_process_that_its_deletion_ends(tmp_path: Path, provider: MotoProvider, parts: Parts) -> None:
    deployed(tmp_path / "program", provider, ["serve"], extra=RUNNING)

    record = Record.read(parts.places.record("probe"))
    assert record is not None
    assert record.identity.leader() is not None
    deadline = time.monotonic() + 30
    while not parts.places.log("probe").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said(parts)["words"] == ["serve"]

    provider_aws = Aws(provider.endpoint, "eu-west-1", parts)
    containers.stop_service(provider_aws, "probe")
    assert record.identity.leader() is None
    assert not parts.places.record("probe").exists()


def test_service_can_wait_for_a_migration(tmp_path: Path, endpoint: Endpoint, parts: Parts) -> None:
    held = MotoProvider(endpoint, parts=parts, starts_services=False)
    task = deployed(tmp_path / "program", held, ["serve"], extra=RUNNING)
    assert not parts.places.record("probe").exists()

    held.start_service("probe", task)
    assert parts.places.record("probe").exists()


def test_secret_is_read_as_ecs_reads_it(endpoint: Endpoint, parts: Parts, client: Client) -> None:
    arn = client("secretsmanager").create_secret(Name="s", SecretString='{"a": "b"}')["ARN"]
    aws = Aws(endpoint, "eu-west-1", parts)

    assert containers.resolve_secret(aws, arn) == '{"a": "b"}'
    assert containers.resolve_secret(aws, f"{arn}:a::") == "b"
    assert containers.resolve_secret(aws, f"{arn}:a:AWSCURRENT:") == "b"
    with pytest.raises(containers.TaskFailed, match="has no key 'c'"):
        containers.resolve_secret(aws, f"{arn}:c::")
    with pytest.raises(containers.TaskFailed, match="is not the ARN of a secret"):
        containers.resolve_secret(aws, "arn:aws:ssm:eu-west-1:123456789012:parameter/x")


@pytest.fixture
def credentials(endpoint: Endpoint, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    grants = tmp_path / CREDENTIALS_FILE
    server = Server(0, grants, Aws(endpoint, "eu-west-1", parts=None))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", grants
    server.shutdown()
    thread.join()
    server.server_close()


def test_task_gets_the_credentials_of_its_role_through_the_sdk(
    credentials: tuple[str, Path], endpoint: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, grants = credentials
    role = "arn:aws:iam::123456789012:role/gateway"
    path = add_grant(grants, Grant(role, "gateway", "token-of-the-task"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}{path}")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-of-the-task")

    sts: Any = BotocoreSession().create_client("sts", "eu-west-1", endpoint_url=endpoint.url)

    assert sts.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/gateway/gateway"
    assert "token-of-the-task" not in grants.read_text()
    assert grants.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("token", ["", "wrong"])
def test_credentials_are_refused_without_the_tasks_own_token(token: str, credentials: tuple[str, Path]) -> None:
    url, grants = credentials
    path = add_grant(grants, Grant("arn:aws:iam::123456789012:role/gateway", "gateway", "right"))
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": token} if token else {})  # noqa: S310 - a loopback address written here

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310 - a loopback address written here

    assert refused.value.code == 401
    assert b"Secret" not in refused.value.read()
    refused.value.close()
