"""`gateway check` explains every setting, agrees with the start itself, and shows no secret."""

from __future__ import annotations

import ast
import io
import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from services.gateway.configuration_check import Row, check, judged
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.setting_list import BY_NAME, SETTINGS
from services.gateway.settings import Settings, SettingsError
from tests.services.gateway.test_command import environment, run

GATEWAY = Path(__file__).parents[3] / "services" / "gateway"
REQUIRED = sorted(setting.name for setting in SETTINGS if setting.default is None)


def rows(environ: dict[str, str]) -> dict[str, Row]:
    return {row.name: row for row in judged(environ, CredentialDetector())}


def wrong(environ: dict[str, str]) -> dict[str, str]:
    return {row.name: row.verdict for row in judged(environ, CredentialDetector()) if row.verdict != "ok"}


def starts(environ: dict[str, str]) -> bool:
    try:
        Settings.from_environment(environ)
    except SettingsError:
        return False
    return True


def test_a_complete_environment_is_explained_and_good() -> None:
    result = run("check", environ=environment())
    assert result.returncode == 0
    assert result.stderr == ""
    for setting in SETTINGS:
        assert setting.name in result.stdout
        assert setting.what.split(".", 1)[0][:40] in result.stdout
    assert "The gateway starts with these." in result.stdout


def test_without_anything_each_missing_setting_is_named_at_once() -> None:
    result = run("check", "--json", environ={"PATH": environment()["PATH"]})
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    missing = sorted(row["name"] for row in told["settings"] if row["verdict"].endswith("is not set"))
    assert missing == REQUIRED


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_is_what_the_start_misses(name: str) -> None:
    environ = environment()
    del environ[name]
    assert wrong(environ) == {name: f"{name} is not set"}
    assert not starts(environ)


BAD = {
    "GATEWAY_ENVIRONMENT": "test",
    "GATEWAY_LISTEN": "8443",
    "GATEWAY_OPERATIONS_LISTEN": "8.8.8.8:9453",
    "GATEWAY_TELEMETRY_ENDPOINT": "http://collector.example",
    "GATEWAY_OIDC_ISSUERS": '[{"issuer":"http://identity.example","audience":"a","algorithms":["RS256"]}]',
    "GATEWAY_DATABASE": "database",
    "GATEWAY_VALKEY": "cache:0",
    "GATEWAY_REGISTRATION_KEY_ARN": "alias/registration",
    "GATEWAY_MODELS": "[{}]",
    "GATEWAY_EMBEDDING_MODEL": "gpt-9",
    "GATEWAY_EMBEDDING_DIMENSIONS": "-1",
    "AWS_ENDPOINT_URL": "http://aws.example",
    "AWS_ENDPOINT_URL_KMS": "http://kms.example",
    "SSLKEYLOGFILE": "keys",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_what_the_start_refuses(name: str) -> None:
    environ = environment(**{name: BAD[name]})
    assert list(wrong(environ)) == [name]
    assert not starts(environ)


def test_all_that_is_wrong_is_told_at_once() -> None:
    environ = environment(**BAD)
    assert set(wrong(environ)) == set(BAD) - {"GATEWAY_EMBEDDING_MODEL"}  # of which nothing can be said without models


def test_a_misspelt_setting_is_no_setting() -> None:
    told = wrong(environment(GATEWAY_OPERATION_LISTEN="127.0.0.1:1"))
    assert told == {"GATEWAY_OPERATION_LISTEN": "is not a setting: is GATEWAY_OPERATIONS_LISTEN meant?"}


def test_it_says_where_each_value_comes_from() -> None:
    environ = environment()
    del environ["GATEWAY_OPERATIONS_LISTEN"], environ["GATEWAY_VALKEY"]
    told = rows(environ)
    assert (told["GATEWAY_LISTEN"].source, told["GATEWAY_LISTEN"].value) == ("environment", environ["GATEWAY_LISTEN"])
    assert told["GATEWAY_OPERATIONS_LISTEN"].source == "default"
    assert (told["GATEWAY_VALKEY"].source, told["GATEWAY_VALKEY"].value) == ("nowhere", "not set")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("name", ["GATEWAY_DATABASE_PASSWORD", "GATEWAY_LISTEN", "GATEWAY_ENVIRONMENT", "GATEWAY_X"])
def test_no_secret_is_shown_wherever_it_was_put(name: str, as_json: bool) -> None:
    secret = "ghp_" + secrets.token_hex(18)
    out = io.StringIO()
    check(environment(**{name: secret}), out, CredentialDetector(), as_json=as_json)
    assert secret not in out.getvalue()
    assert re.search(rf"{name}\W+(\"value\": \")?set\b", out.getvalue())


def test_the_database_password_is_never_shown_whatever_it_looks_like() -> None:
    out = io.StringIO()
    assert check(environment(GATEWAY_DATABASE_PASSWORD="plain word"), out, CredentialDetector(), as_json=True) == 0
    assert "plain word" not in out.getvalue()


# --- one list -----------------------------------------------------------------------------------------------


def names_read() -> set[str]:
    """Every name in capitals that a call of the gateway's code is given where it reads the environment."""
    found: set[str] = set()
    for path in GATEWAY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _reads(node.func):
                given = [one.value for one in node.args if isinstance(one, ast.Constant)]
                found |= {one for one in given if isinstance(one, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", one)}
    return found


def _reads(function: ast.expr) -> bool:
    text = ast.unparse(function)
    return text.startswith("read.") or text.endswith(("environ.get", "getenv"))


def test_every_variable_that_is_read_is_on_the_list_and_the_other_way_round() -> None:
    elsewhere = {"AWS_ENDPOINT_URL", "SSLKEYLOGFILE"}  # judged by their first letters and by their being there
    assert names_read() | elsewhere == set(BY_NAME)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: one.name)
def test_every_example_would_do(setting: Any) -> None:
    environ = environment()
    if setting.name == "GATEWAY_MODELS":
        environ["GATEWAY_EMBEDDING_MODEL"] = "embedding"
    if setting.name == "GATEWAY_EMBEDDING_MODEL":
        environ["GATEWAY_MODELS"] = BY_NAME["GATEWAY_MODELS"].example
    if setting.example:
        environ[setting.name] = setting.example
    assert starts(environ), wrong(environ)


def test_every_setting_says_what_it_is_for_and_what_it_may_be() -> None:
    assert len(BY_NAME) == len(SETTINGS)
    assert all(setting.what.endswith(".") and setting.allowed for setting in SETTINGS)
    assert all(setting.example or setting.default is not None for setting in SETTINGS)
