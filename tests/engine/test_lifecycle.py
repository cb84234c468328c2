"""The life cycle on the real engine: boundary and hooks are accepted, and the gate reads what the CLI writes."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.lifecycle.preview_gate import main
from tests.engine.pulumi_cli import REPOSITORY, Pulumi, attached_provider, is_installed
from tests.stacks.local.planted import plant

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="needs the real `pulumi` on PATH"),
]
PROJECT = """\
name: planted
runtime: {name: python, options: {toolchain: uv}}
config:
  pulumi:disable-default-providers: {value: ["*"]}
"""
PROGRAM = """
import pulumi
import pulumi_aws as aws
from components.component import Component
from components.data_key import DataKey, KeyUse
from components.eventual_consistency import until_permissions_spread
from stacks.placement import Placement

class Parent(Component):
    def __init__(self, name, opts):
        super().__init__(name, opts)
        aws.iam.Role("role", name="role", assume_role_policy="{}", opts=self.child())
        aws.sns.Topic("topic", name="topic", opts=self.child(hooks=until_permissions_spread("topic")))

placement = Placement.of(region="us-east-1", account_id="111122223333", tags={"env": "dev"}, protected=False)
bounded = placement.bounded("arn:aws:iam::111122223333:policy/boundary")
Parent("parent", bounded.replaceable())
DataKey(KEY, {"purpose": "t", "alias": "alias/t", "use": KeyUse.ENCRYPT, "policy": "{}"}, bounded.lasting())
"""


@pytest.fixture
def program() -> Iterator[Path]:
    """Below the repository: there the engine finds the environment of the lock."""
    folder = REPOSITORY / "build" / "planted-lifecycle"
    shutil.rmtree(folder, ignore_errors=True)
    yield plant(folder, PROGRAM, project=PROJECT, head='KEY = "tickets"\n')
    shutil.rmtree(folder)


@pytest.fixture
def pulumi(tmp_path: Path) -> Iterator[Pulumi]:
    with attached_provider("recording", environment={}) as port:
        yield Pulumi(tmp_path, {"aws": port})


def test_a_renamed_key_is_stopped_before_it_is_lost(program: Path, pulumi: Pulumi) -> None:
    pulumi(program, "stack", "init", "dev")
    pulumi(program, "up", "--yes", "--skip-preview", "--stack", "dev")
    same = pulumi(program, "preview", "--json", "--stack", "dev").stdout
    plant(program, PROGRAM, project=PROJECT, head='KEY = "renamed"\n')
    renamed = pulumi(program, "preview", "--json", "--stack", "dev").stdout

    lost = [
        step["urn"] for step in json.loads(renamed)["steps"] if step["op"] == "delete" and "$aws:kms/" in step["urn"]
    ]
    assert len(lost) == 2
    assert main([], io.StringIO(same)) == 0
    assert main([], io.StringIO(renamed)) == 1
    assert main([argument for urn in lost for argument in ("--planned", urn)], io.StringIO(renamed)) == 0


def test_every_role_has_its_boundary_in_the_state(program: Path, pulumi: Pulumi) -> None:
    pulumi(program, "stack", "init", "dev")
    pulumi(program, "up", "--yes", "--skip-preview", "--stack", "dev")
    state = json.loads(pulumi(program, "stack", "export", "--stack", "dev").stdout)
    [role] = [one for one in state["deployment"]["resources"] if one["type"] == "aws:iam/role:Role"]

    assert role["inputs"]["permissionsBoundary"] == "arn:aws:iam::111122223333:policy/boundary"
    pulumi(program, "destroy", "--yes", "--stack", "dev")
