"""The shape of every program's graph, and how a program starts: one provider, one name, nothing before its time."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi_policy import EnforcementLevel

from policy_packs.packs import PACKS
from policy_packs.serving import as_policies
from stacks.contract import CONTRACT_VERSION, ContractError, Platform
from stacks.local import engine
from tests.contracts.programs import AROUND, INSIDE, PROGRAMS, captured
from tests.criteria.rendered_documents import EVERYWHERE
from tests.stacks.configurations import REPOSITORY
from tests.stacks.local.planted import plant

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_PROGRAM = {**PROGRAMS, **AROUND, **INSIDE}
EVERY_DEPLOYMENT = pytest.mark.parametrize(("program", "stack"), EVERYWHERE)
PROVIDER = "pulumi:providers:"

# --- graph 1 --------------------------------------------------------------------------------------


def without_provider(deployment: engine.Deployment) -> list[str]:
    """Resources that would use whatever provider and credentials lie about."""
    providers = {one.urn for one in deployment.resources if one.type.startswith(PROVIDER)}
    own = [one for one in deployment.resources if one.custom and not one.type.startswith("pulumi:")]
    return [one.name for one in own if one.provider.rpartition("::")[0] not in providers]


@EVERY_DEPLOYMENT
def test_graph_1_all_resources_have_explicit_provider(program: str, stack: str) -> None:
    deployment = captured(program, stack)

    assert any(one.type.startswith(PROVIDER) for one in deployment.resources)
    assert without_provider(deployment) == []


@pytest.mark.parametrize("provider", ["", "urn:pulumi:prod::llm-pipelines::pulumi:providers:aws::default_7_51_1::1"])
def test_graph_1_a_resource_under_a_default_provider_is_found(provider: str) -> None:
    deployment = captured("platform", "prod")
    key = next(one for one in deployment.resources if one.type == "aws:kms/key:Key")
    bare = tuple(replace(one, provider=provider) if one is key else one for one in deployment.resources)

    assert without_provider(replace(deployment, resources=bare)) == [key.name]


def test_graph_1_every_project_switches_default_providers_off() -> None:
    projects = [REPOSITORY / "Pulumi.yaml", *(REPOSITORY / "stacks").rglob("Pulumi.yaml")]

    assert len(projects) >= 4
    for project in projects:
        described = yaml.safe_load(project.read_text(encoding="utf-8"))
        assert described["config"]["pulumi:disable-default-providers"] == {"value": ["*"]}, project


# --- graph 2 --------------------------------------------------------------------------------------


def twice(deployment: engine.Deployment) -> list[str]:
    return [urn for urn, times in Counter(one.urn for one in deployment.resources).items() if times > 1]


@EVERY_DEPLOYMENT
def test_graph_2_no_duplicate_urns(program: str, stack: str) -> None:
    assert twice(captured(program, stack)) == []


def test_graph_2_a_duplicate_is_refused_where_mocks_let_it_pass(tmp_path: Path) -> None:
    body = 'aws.sns.Topic("one", opts=mine)\naws.sns.Topic("one", opts=mine)\n'

    with pytest.raises(engine.EngineError, match="one"):
        engine.run(plant(tmp_path, body), "dev")


# --- graph 29 -------------------------------------------------------------------------------------


def test_graph_29_stack_contract_version_required() -> None:
    """Whoever reads the platform reads a promise of the version that it was written for, or nothing."""
    promise: dict[str, Any] = captured("platform", "prod").outputs["platform"]

    assert promise["contractVersion"] == CONTRACT_VERSION
    assert Platform.require_kept(promise, "prod") == promise


@pytest.mark.parametrize("version", [None, 0, CONTRACT_VERSION + 1, str(CONTRACT_VERSION)])
def test_graph_29_another_version_is_refused(version: object) -> None:
    promise: dict[str, Any] = {**captured("platform", "prod").outputs["platform"], "contractVersion": version}

    with pytest.raises(ContractError, match="contractVersion"):
        Platform.require_kept(promise, "prod")


def test_graph_29_nobody_reads_another_stack_around_the_contract() -> None:
    """`get_output` answers None for what is not there, and a reference of one's own has no version."""
    sources = [path for room in ("components", "stacks") for path in (REPOSITORY / room).rglob("*.py")]
    reading = [path.name for path in sources if _reads_a_stack(path.read_text(encoding="utf-8"))]

    assert reading == ["contract.py"]
    assert _reads_a_stack('pulumi.StackReference("x").get_output("platform")')


def _reads_a_stack(text: str) -> bool:
    return "StackReference(" in text and "pulumi" in text


# --- graphs 30 and 31 -----------------------------------------------------------------------------

# What Pulumi's language host does, up to the first configuration value, which is not there; every attempt to
# reach an address is written down.
START = """
import json, runpy, sys
reached = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        reached.append(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}")
sys.addaudithook(watch)
sys.path.insert(0, sys.argv[1])
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
    ended = "nothing"
except Exception as error:
    ended = type(error).__name__ + ": " + str(error)
print(json.dumps({"ended": ended, "reached": reached}))
"""


@functools.cache
def started(folder: Path) -> dict[str, Any]:
    """How a program ends that is started from its folder with nothing else on the path, and whom it called."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", START, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("program", EVERY_PROGRAM)
def test_graph_30_program_imports_with_clean_sys_path_from_main_dir(program: str) -> None:
    """It comes as far as its configuration, which is not there: every import was found."""
    assert started(EVERY_PROGRAM[program])["ended"].startswith(("ConfigMissingError", "ConfigurationError"))


def test_graph_30_a_module_that_is_only_on_the_tests_path_is_missed(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("")
    program = plant(tmp_path / "program", "import neighbour\n", head="")

    assert started(program)["ended"].startswith("ModuleNotFoundError")


@pytest.mark.parametrize("program", EVERY_PROGRAM)
def test_graph_31_program_makes_no_network_call_at_import(program: str) -> None:
    assert started(EVERY_PROGRAM[program])["reached"] == []


@pytest.mark.parametrize(
    "call",
    [
        'import socket\nsocket.create_connection(("127.0.0.1", 9), timeout=1)\n',
        'import urllib.request\nurllib.request.urlopen("http://127.0.0.1:9/", timeout=1)\n',
    ],
)
def test_graph_31_a_call_at_import_is_found(call: str, tmp_path: Path) -> None:
    assert started(plant(tmp_path, call, head=""))["reached"]


@pytest.mark.parametrize("program", EVERY_PROGRAM)
def test_graph_30_no_file_beside_a_program_stands_before_a_module_of_python(program: str) -> None:
    assert shadowing(path.stem for path in EVERY_PROGRAM[program].iterdir()) == set()


def test_graph_30_a_file_that_would_is_found() -> None:
    assert shadowing(["__main__", "logging", "gateway"]) == {"logging"}


def shadowing(names: Iterable[str]) -> set[str]:
    return set(names) & set(sys.stdlib_module_names) - {"__main__"}


# --- graph 32: how CI hands the packs over --------------------------------------------------------


def packs_on_disk() -> Sequence[Path]:
    return sorted(path.parent for path in (REPOSITORY / "policy_packs").rglob("PulumiPolicy.yaml"))


def test_graph_32_every_rule_of_every_pack_is_mandatory() -> None:
    """The SDK's own default is advisory; what is served as mandatory is proved over gRPC beside the packs."""
    served = [policy for rules in PACKS.values() for policy in as_policies(rules)]

    assert len(packs_on_disk()) == len(PACKS) >= 2
    assert len(served) >= 20
    assert [one.name for one in served if one.enforcement_level is not EnforcementLevel.MANDATORY] == []
