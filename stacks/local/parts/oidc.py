"""The OIDC provider of the local platform: nanoidp, with invented people of two tenants.

It is test software and listens on loopback only. Passwords and the client secret are made anew at each
start; the signing key stays while a part is stopped and started again, as a real provider's would.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.health import serves
from stacks.local.parts.part import Launch, Part, PartError
from stacks.local.parts.places import Places

AUDIENCE = "llm-gateway"
WORKLOAD = "document-assistant"
ROLES = {"acme": ("analyst", "support", "load"), "globex": ("analyst",)}
TOKEN_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Person:
    tenant: str
    role: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class People:
    """Who can sign in at this run's provider, and the client they do it with."""

    client_id: str
    client_secret: str
    persons: tuple[Person, ...]

    @classmethod
    def invent(cls) -> People:
        persons = (
            Person(tenant, role, f"{role}@{tenant}.example", secrets.token_urlsafe(18))
            for tenant, roles in ROLES.items()
            for role in roles
        )
        return cls("local-console", secrets.token_urlsafe(18), tuple(persons))

    @classmethod
    def read(cls, places: Places) -> People:
        try:
            stored = json.loads(places.users.read_text())
        except FileNotFoundError:
            raise PartError("the local platform does not run: start it with `make up`") from None
        return cls(stored["client_id"], stored["client_secret"], tuple(Person(**one) for one in stored["persons"]))

    def find(self, tenant: str, role: str) -> Person:
        for person in self.persons:
            if (person.tenant, person.role) == (tenant, role):
                return person
        known = ", ".join(f"{one.tenant}/{one.role}" for one in self.persons)
        raise PartError(f"nobody has role {role!r} in tenant {tenant!r}; there are {known}")


def part(places: Places, addresses: Addresses) -> Part:
    return Part(
        name="oidc",
        title="OIDC provider",
        distribution="nanoidp",
        module="nanoidp",
        port=addresses.oidc,
        prepare=functools.partial(_prepare, places, addresses),
        launch=functools.partial(_launch, places, addresses),
        is_ready=functools.partial(serves, addresses.oidc, "/.well-known/openid-configuration"),
    )


def _prepare(places: Places, addresses: Addresses, fresh: bool) -> None:
    if fresh or not places.users.exists():
        _write_private(places.users, json.dumps(asdict(People.invent()), indent=2))
    people = People.read(places)
    folder = places.data("oidc")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(folder / "settings.yaml", yaml.safe_dump(_settings(addresses, people, folder)))
    _write_private(folder / "users.yaml", yaml.safe_dump(_users(people)))


def _settings(addresses: Addresses, people: People, folder: Path) -> dict[str, object]:
    client = {"client_id": people.client_id, "client_secret": people.client_secret, "description": "make token"}
    return {
        "config_version": 1,
        "config_validation": "strict",
        "server": {"host": HOST, "port": addresses.oidc},
        "oauth": {
            "issuer": addresses.issuer,
            "audience": AUDIENCE,
            "token_expiry_minutes": TOKEN_MINUTES,
            "clients": [client],
        },
        "jwt": {"keys_dir": str(folder / "keys")},
        # Nobody needs the provider's own administration; a secret that nobody knows closes it.
        "session": {"secret_key": secrets.token_urlsafe(32), "management_secret": secrets.token_urlsafe(32)},
        "cors_allowed_origins": [],
    }


def _users(people: People) -> dict[str, object]:
    users = {
        one.username: {
            "password": one.password,
            "email": one.username,
            "tenant": one.tenant,
            "roles": [one.role],
            "attributes": {"workload": WORKLOAD},
        }
        for one in people.persons
    }
    return {"config_version": 1, "users": users}


def _launch(places: Places, addresses: Addresses) -> Launch:
    folder = str(places.data("oidc"))
    return Launch((sys.executable, "-m", "stacks.local.parts.oidc_server", folder, str(addresses.oidc)))


def _write_private(path: Path, text: str) -> None:
    """Readable by its owner only from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
