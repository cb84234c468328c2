"""A fork is whole as it is written, refuses what its class forbids, and follows its template."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stacks.classification import TREATMENTS, Boundary, DataClass
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.fork.__main__ import CONFLICT, REFUSED, WRITTEN, main
from stacks.fork.deployers import with_deployer, with_governed_deployer
from stacks.fork.rendering import TEMPLATES
from tests.stacks.configurations import ENVIRONMENTS, REPOSITORY
from tests.workloads import promises

NAME = "claims-triage"
FOLDER = Path("stacks") / "workloads" / "claims_triage"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with nothing in it but the platform's configuration."""
    target = tmp_path / "stacks" / "platform"
    target.mkdir(parents=True)
    for file in (REPOSITORY / "stacks" / "platform").glob("Pulumi.*.yaml"):
        shutil.copy(file, target)
    organization = tmp_path / "stacks" / "organization"
    organization.mkdir()
    shutil.copy(REPOSITORY / "stacks" / "organization" / "Pulumi.organization.yaml", organization)
    return tmp_path


def _fork(root: Path, data_class: str, *more: str) -> int:
    return main(["--name", NAME, "--data-class", data_class, *more], root)


@pytest.mark.parametrize("data_class", [one.value for one in DataClass])
def test_graph_34_scaffolded_workload_passes_1_to_32(root: Path, data_class: str) -> None:
    assert _fork(root, data_class) == WRITTEN
    folder = root / FOLDER

    assert "prod" in promises.stacks(folder)
    for stack in promises.stacks(folder):
        assert promises.registered(folder, stack).workload == NAME
        assert promises.violations(folder, stack) == []
        assert promises.ways_opened(folder, stack) == []
        assert promises.unsound(folder, stack) == []
        usd_per_month, unknown = promises.cost(folder, stack)
        assert usd_per_month > 0
        assert unknown == []


@pytest.mark.parametrize("data_class", [one.value for one in DataClass])
def test_prod_holds_the_class_that_was_asked_for_and_no_environment_a_stricter_one(root: Path, data_class: str) -> None:
    _fork(root, data_class)
    order = [one.value for one in DataClass]

    for stack in promises.stacks(root / FOLDER):
        text = (root / FOLDER / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
        held = yaml.safe_load(text)["config"][f"llm-pipelines-{NAME}:workload"]["data_class"]
        assert order.index(held) <= order.index(data_class)
        assert held == data_class or stack != "prod"


@pytest.mark.parametrize(
    ("data_class", "boundary"),
    [(one.value, other.value) for one in DataClass for other in Boundary if other not in TREATMENTS[one].boundaries],
)
def test_a_boundary_that_the_class_forbids_is_refused_with_the_reason(
    root: Path, capsys: pytest.CaptureFixture[str], data_class: str, boundary: str
) -> None:
    assert _fork(root, data_class, "--boundary", boundary) == REFUSED

    refusal = capsys.readouterr().err
    assert f"{boundary} is looser than data class {data_class} allows (allowed: " in refusal
    assert not (root / FOLDER).exists()


def test_each_platform_knows_who_may_register_the_fork_and_keeps_every_other_byte(root: Path) -> None:
    _fork(root, "confidential")

    for name in ENVIRONMENTS:
        before = (REPOSITORY / "stacks" / "platform" / f"Pulumi.{name}.yaml").read_text(encoding="utf-8")
        after = (root / "stacks" / "platform" / f"Pulumi.{name}.yaml").read_text(encoding="utf-8")
        values = yaml.safe_load(after)["config"]["llm-pipelines:environment"]
        assert Environment.load(values).workload_deployers[NAME]
        assert [line for line in after.splitlines() if NAME not in line] == before.splitlines()


def test_the_organization_knows_the_forks_deployers_and_keeps_everything_else(root: Path) -> None:
    _fork(root, "confidential")
    file = Path("stacks") / "organization" / "Pulumi.organization.yaml"

    before, after = (yaml.safe_load((place / file).read_text(encoding="utf-8")) for place in (REPOSITORY, root))
    for name, around in after["config"]["llm-pipelines-organization:governance"]["environments"].items():
        assert around["deployer_roles"].pop() == f"llm-pipelines-{name}-{NAME}-deployer"
    assert after == before


def test_an_organization_file_of_another_shape_is_refused() -> None:
    text = (REPOSITORY / "stacks" / "organization" / "Pulumi.organization.yaml").read_text(encoding="utf-8")
    listed = text.replace("deployer_roles: [", "deployer_roles:\n          [")

    with pytest.raises(ConfigurationError, match=r"environments.prod.deployer_roles must be a list on one line"):
        with_governed_deployer(listed, "prod", "llm-pipelines-prod-x-deployer", "Pulumi.organization.yaml")


def test_a_platform_file_of_another_shape_is_refused_and_left_alone() -> None:
    with pytest.raises(ConfigurationError, match=r"Pulumi.prod.yaml: has no block workload_deployers"):
        with_deployer("config:\n  llm-pipelines:environment: {}\n", NAME, "role", "Pulumi.prod.yaml")


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--data-class", "secret"], "must be one of public, internal, confidential, restricted"),
        (["--name", "Claims"], "2 to 23 of a-z"),
        (["--name", "claims-"], "must have a letter or digit"),
        (["--tenants", ""], "at least one tenant"),
        (["--tenants", "acme,acme"], "each once"),
        (["--owner", "Claims Team"], "lower-case name"),
        (["--name", ""], "--name is not set"),
        (["--data-class", ""], "--data-class is not set (allowed: public, internal, confidential, restricted)"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], refusal: str
) -> None:
    assert _fork(root, "internal", *arguments) == REFUSED

    assert refusal in capsys.readouterr().err
    assert not (root / "stacks" / "workloads").exists()


def test_a_name_that_is_taken_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fork(root, "internal")

    assert _fork(root, "internal") == REFUSED
    assert "exists already" in capsys.readouterr().err


@pytest.fixture
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template that may be changed."""
    copy = tmp_path_factory.mktemp("template") / "template"
    shutil.copytree(TEMPLATES, copy)
    return copy


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_changed_template_is_taken_over_without_losing_the_teams_changes(root: Path, template: Path) -> None:
    _fork(root, "internal")
    prod, dev = root / FOLDER / "Pulumi.prod.yaml", root / FOLDER / "Pulumi.dev.yaml"
    _edit(prod, "tenants: [acme, globex]", "tenants: [initech]")
    _edit(template / "stack.yaml.template", "requests_per_minute: 60", "requests_per_minute: 30")

    assert main(["--name", NAME, "--update"], root, template) == WRITTEN

    assert "tenants: [initech]" in prod.read_text(encoding="utf-8")
    assert "requests_per_minute: 30" in prod.read_text(encoding="utf-8")
    assert "requests_per_minute: 30" in dev.read_text(encoding="utf-8")
    assert promises.violations(root / FOLDER, "prod") == []


def test_a_line_that_both_changed_is_a_conflict_that_is_named(
    root: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fork(root, "internal")
    prod = root / FOLDER / "Pulumi.prod.yaml"
    _edit(prod, "requests_per_minute: 60", "requests_per_minute: 90")
    _edit(template / "stack.yaml.template", "requests_per_minute: 60", "requests_per_minute: 30")

    assert main(["--name", NAME, "--update"], root, template) == CONFLICT

    assert "<<<<<<< yours" in prod.read_text(encoding="utf-8")
    assert "conflict" in capsys.readouterr().out


def test_a_file_that_the_team_removed_stays_removed(root: Path, template: Path) -> None:
    _fork(root, "internal")
    (root / FOLDER / "Pulumi.dev.yaml").unlink()
    _edit(template / "stack.yaml.template", "requests_per_minute: 60", "requests_per_minute: 30")

    assert main(["--name", NAME, "--update"], root, template) == WRITTEN
    assert not (root / FOLDER / "Pulumi.dev.yaml").exists()


def test_only_a_fork_can_be_updated(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", NAME, "--update"], root) == REFUSED
    assert "is not a fork" in capsys.readouterr().err


def test_whatever_is_written_passes_the_static_checks(root: Path) -> None:
    longest = "abcdefghijklmnopqrstuvw"
    assert main(["--name", longest, "--data-class", "internal"], root) == WRITTEN
    ruff = Path(sys.executable).with_name("ruff")
    files = [file for file in root.rglob("*") if file.suffix == ".py"]

    assert len(files) == 3  # what is kept for later is no Python file
    for file in files:
        for command in (["check"], ["format", "--check"]):
            arguments = [str(ruff), *command, "--stdin-filename", str(REPOSITORY / file.relative_to(root)), "-"]
            text = file.read_text(encoding="utf-8")
            run = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, cwd=REPOSITORY)
            assert run.returncode == 0, run.stdout
