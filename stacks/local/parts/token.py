"""Fetches a bearer token of the running local platform: `make token ROLE=analyst`."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import sys
from urllib.parse import urlencode

from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.oidc import People
from stacks.local.parts.part import PartError
from stacks.local.parts.places import Places

PATIENCE_S = 10


def fetch_token(
    role: str, tenant: str = "acme", *, places: Places | None = None, addresses: Addresses | None = None
) -> str:
    """Signs in as the person who has this role in this tenant and returns the access token."""
    people = People.read(places or Places.default())
    person = people.find(tenant, role)
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    credentials = base64.b64encode(f"{people.client_id}:{people.client_secret}".encode()).decode()
    answer = _post((addresses or Addresses.default()).oidc, urlencode(form), f"Basic {credentials}")
    token = answer.get("access_token")
    if not isinstance(token, str):
        raise PartError(f"the OIDC provider gave no token for {person.username}: {answer.get('error', 'no reason')}")
    return token


def _post(port: int, form: str, authorization: str) -> dict[str, object]:
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("POST", "/token", form, headers)
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PartError(f"the OIDC provider at {HOST}:{port} does not answer: {error}") from error
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="token", description="print a bearer token of the running local platform")
    parser.add_argument("--role", required=True)
    parser.add_argument("--tenant", default="acme")
    chosen = parser.parse_args(arguments)
    try:
        print(fetch_token(chosen.role, chosen.tenant))
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
