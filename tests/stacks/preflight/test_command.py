"""The preflight as a command: what it prints, and what its exit code says."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from stacks.preflight.__main__ import main, needs_of
from stacks.preflight.report import as_json, table
from stacks.preflight.row import Row

ROWS = [
    Row("account", "prod", held=True, found="333344445555"),
    Row("vCPU quota", "Running On-Demand G and VT instances", held=False, found="0 of 64 vCPUs", todo="ask for 64"),
]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of nobody, and an API that nobody answers at."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)


def test_without_a_way_to_aws_the_command_fails_and_says_so_for_every_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--environment", "dev", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["environment"] == "dev"
    assert report["held"] is False
    assert report["rows"]
    assert not any(row["held"] for row in report["rows"])
    assert all(row["todo"] for row in report["rows"])


def test_the_local_environment_has_no_account_to_examine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--environment", "local"])
    assert refused.value.code == 2
    assert "invalid choice: 'local'" in capsys.readouterr().err


def test_the_endpoints_asked_about_are_those_of_the_program() -> None:
    services = needs_of("dev").endpoint_services
    assert {"com.amazonaws.us-east-1.bedrock-runtime", "com.amazonaws.us-east-1.kms"} <= set(services)
    assert "com.amazonaws.us-east-1.s3" not in services  # a gateway endpoint lies in every zone


def test_json_holds_every_row_and_the_verdict() -> None:
    report = json.loads(as_json("prod", ROWS))
    assert (report["held"], len(report["rows"])) == (False, 2)
    assert json.loads(as_json("prod", ROWS[:1]))["held"] is True


def test_the_table_shows_what_to_do() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(table("prod", ROWS))
    printed = console.export_text()
    assert "preflight of prod: 2 looked at, 1 to do" in printed
    assert "ask for 64" in printed
