"""Every program in every environment on the real engine: preview, up, nothing to do, destroy; both packs judge.

Environment `local` is created in moto by our provider; the others, which no emulator holds, are recorded by
it. So this proves that the programs, packs and our provider's protocol work on the real engine, and proves
nothing about AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.local.parts import aws as aws_part
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places
from stacks.local.parts.ports import is_free
from stacks.local.parts.supervisor import Supervisor
from tests.engine.pulumi_cli import REPOSITORY, Pulumi, attached_provider, is_installed, policy_options
from tests.stacks.configurations import ENVIRONMENTS, PLATFORM, WORKLOAD, environment_values

CLUSTER = REPOSITORY / "stacks" / "cluster"
ORGANIZATION = REPOSITORY / "stacks" / "organization"

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not is_installed(), reason="needs the real `pulumi` on PATH"),
]


@pytest.fixture(autouse=True)
def stack_files_stay() -> Iterator[None]:
    """`pulumi stack init` writes the salt of its passphrase into Pulumi.<stack>.yaml; a test leaves no trace."""
    folders = (REPOSITORY / "stacks" / "platform", CLUSTER, ORGANIZATION, WORKLOAD)
    kept = {path: path.read_bytes() for folder in folders for path in folder.glob("Pulumi.*.yaml")}
    yield
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The AWS API with bucket policies judged; yields the variables by which it is found."""
    places = Places(tmp_path_factory.mktemp("aws"))
    offset = next(offset for offset in range(3000, 9000, 100) if is_free(Addresses().shifted(offset).aws))
    addresses = Addresses().shifted(offset)
    supervisor = Supervisor([aws_part.part(places, addresses)], places)
    supervisor.start_all()
    yield aws_part.client_environment(places, addresses)
    supervisor.stop_all()


@pytest.fixture
def pulumi(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pulumi]:
    """For `local` the provider for moto, in the roles of the environment; for the others the recording one."""
    kind, variables = ["recording"], {}
    if request.node.callspec.params["environment"] == "local":
        values = environment_values("local")
        kind = ["moto", values["deployer_role"], values["break_glass_role"]]
        variables = request.getfixturevalue("moto")
    with (
        attached_provider(*kind, environment=variables) as aws,
        attached_provider("recording", "kubernetes", environment={}) as kubernetes,
    ):
        yield Pulumi(tmp_path, {"aws": aws, "kubernetes": kubernetes})


def _programs(environment: str) -> list[Path]:
    """What is deployed in an environment, in order: the platform, its cluster where it has one, the workload."""
    cluster = [CLUSTER] if (CLUSTER / f"Pulumi.{environment}.yaml").is_file() else []
    return [REPOSITORY, *cluster, WORKLOAD]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_programs_live_their_whole_life_on_the_real_engine(environment: str, pulumi: Pulumi) -> None:
    programs = _programs(environment)
    for program in programs:
        pulumi(program, "stack", "init", environment)
        pulumi(program, "preview", "--stack", environment, *policy_options())
        pulumi(program, "up", "--yes", "--skip-preview", "--stack", environment, *policy_options())
        pulumi(program, "preview", "--expect-no-changes", "--stack", environment, *policy_options())

    for program in reversed(programs):
        pulumi(program, "state", "unprotect", "--all", "--yes", "--stack", environment)
        pulumi(program, "destroy", "--yes", "--skip-preview", "--stack", environment)
        left = json.loads(pulumi(program, "stack", "export", "--stack", environment).stdout)
        assert [one["urn"] for one in left["deployment"].get("resources", []) if one["custom"]] == []


@pytest.mark.parametrize("environment", ["organization"])
def test_the_organization_lives_its_whole_life_on_the_real_engine(environment: str, pulumi: Pulumi) -> None:
    pulumi(ORGANIZATION, "stack", "init", environment)
    pulumi(ORGANIZATION, "up", "--yes", "--skip-preview", "--stack", environment, *policy_options())
    pulumi(ORGANIZATION, "preview", "--expect-no-changes", "--stack", environment, *policy_options())
    pulumi(ORGANIZATION, "state", "unprotect", "--all", "--yes", "--stack", environment)
    pulumi(ORGANIZATION, "destroy", "--yes", "--skip-preview", "--stack", environment)
    left = json.loads(pulumi(ORGANIZATION, "stack", "export", "--stack", environment).stdout)
    assert [one["urn"] for one in left["deployment"].get("resources", []) if one["custom"]] == []


@pytest.mark.parametrize("environment", ["prod"])
def test_protected_platform_refuses_to_be_destroyed(environment: str, pulumi: Pulumi) -> None:
    pulumi(REPOSITORY, "stack", "init", environment)
    pulumi(REPOSITORY, "up", "--yes", "--skip-preview", "--stack", environment)

    refused = pulumi(REPOSITORY, "destroy", "--yes", "--skip-preview", "--stack", environment, check=False)

    assert refused.returncode != 0
    assert "protected" in refused.stdout + refused.stderr


def test_both_programs_are_those_of_the_repository() -> None:
    assert (REPOSITORY / "Pulumi.yaml").is_file()
    assert (WORKLOAD / "Pulumi.yaml").is_file()
    assert (PLATFORM / "__main__.py").is_file()
