"""Tokens carry exactly the identity of the user store, signed with the key that the provider publishes."""

from __future__ import annotations

import base64
import http.client
import json
import stat
from typing import Any
from urllib.parse import urlencode

import jwt
import jwt.types
import pytest

from stacks.local.parts import token
from stacks.local.parts.oidc import AUDIENCE, ROLES, People
from stacks.local.parts.part import PartError
from stacks.local.parts.places import Places
from stacks.local.parts.token import fetch_token
from tests.stacks.local.parts.running_parts import RunningParts


def verified(running: RunningParts, encoded: str, audience: str = AUDIENCE) -> dict[str, Any]:
    issuer = running.addresses.issuer
    key = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json").get_signing_key_from_jwt(encoded)
    required: jwt.types.Options = {"require": ["iss", "aud", "exp", "sub"]}
    return jwt.decode(encoded, key, algorithms=["RS256"], audience=audience, issuer=issuer, options=required)


def ask(running: RunningParts, form: dict[str, str], secret: str | None = None) -> tuple[int, dict[str, Any]]:
    people = People.read(running.places)
    basic = base64.b64encode(f"{people.client_id}:{secret or people.client_secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", running.addresses.oidc)
    connection.request("POST", "/token", urlencode(form), headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@pytest.mark.parametrize(("tenant", "role"), [(tenant, role) for tenant, roles in ROLES.items() for role in roles])
def test_token_says_who_where_and_for_what(running: RunningParts, tenant: str, role: str) -> None:
    encoded = fetch_token(role, tenant, places=running.places, addresses=running.addresses)
    claims = verified(running, encoded)
    assert claims["tenant"] == tenant
    assert claims["roles"] == [role]
    assert claims["workload"] == "document-assistant"
    assert claims["sub"] == f"{role}@{tenant}.example"


def test_token_for_another_audience_is_not_accepted(running: RunningParts) -> None:
    encoded = fetch_token("analyst", places=running.places, addresses=running.addresses)
    with pytest.raises(jwt.InvalidAudienceError):
        verified(running, encoded, "another-service")


def test_caller_cannot_add_a_claim(running: RunningParts) -> None:
    person = People.read(running.places).find("acme", "analyst")
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    wanted = {"workload": "payroll", "department": "board"}
    status, answer = ask(running, {**form, "extra": json.dumps(wanted)})
    assert status == 200
    claims = verified(running, answer["access_token"])
    assert claims["workload"] == "document-assistant"
    assert "department" not in claims
    assert ask(running, {**form, "extra": json.dumps({"tenant": "globex"})})[0] == 400


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"username": "root@acme.example"}])
def test_wrong_person_gets_no_token(running: RunningParts, wrong: dict[str, str]) -> None:
    person = People.read(running.places).find("acme", "analyst")
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    assert ask(running, form)[0] == 200
    assert ask(running, {**form, **wrong})[0] in (400, 401)


def test_wrong_client_gets_no_token(running: RunningParts) -> None:
    person = People.read(running.places).find("acme", "analyst")
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    assert ask(running, form, secret="guess")[0] == 401


def test_service_account_is_nobody(running: RunningParts) -> None:
    _, answer = ask(running, {"grant_type": "client_credentials"})
    claims = verified(running, answer["access_token"])
    assert not {"tenant", "roles", "workload"} & set(claims)


def test_tokens_stay_valid_while_the_provider_restarts(running: RunningParts) -> None:
    encoded = fetch_token("analyst", places=running.places, addresses=running.addresses)
    running.supervisor.stop("oidc")
    with pytest.raises(PartError, match="does not answer"):
        fetch_token("analyst", places=running.places, addresses=running.addresses)
    running.supervisor.start("oidc")
    assert verified(running, encoded)["tenant"] == "acme"


def test_passwords_are_readable_by_their_owner_only_and_new_each_time(running: RunningParts) -> None:
    assert stat.S_IMODE(running.places.users.stat().st_mode) == 0o600
    passwords = {one.password for one in People.read(running.places).persons}
    assert len(passwords) == 4
    assert not passwords & {one.password for one in People.invent().persons}
    assert not any(password in running.places.log("oidc").read_text() for password in passwords)


def test_unknown_role_is_answered_with_the_known_ones(running: RunningParts) -> None:
    with pytest.raises(PartError, match="nobody has role 'admin' in tenant 'acme'; there are acme/analyst, "):
        fetch_token("admin", places=running.places, addresses=running.addresses)


def test_platform_that_does_not_run_is_one_sentence(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Places, "default", classmethod(lambda cls: cls(tmp_path)))
    assert token.main(["--role", "analyst"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "the local platform does not run: start it with `make up`\n"
