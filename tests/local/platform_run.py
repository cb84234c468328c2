"""A local platform for tests: `make up` beside whatever else runs, on other ports and below another root."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.local_parts import local_supervisor
from stacks.local.parts.places import REPOSITORY, Places
from stacks.local.parts.postgresql import run_as_superuser
from stacks.local.parts.supervisor import Supervisor
from stacks.local.parts.token import fetch_token

PORT_OFFSET = 1000
ROOT = REPOSITORY / "build" / "test-platform"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found


@dataclass(frozen=True, slots=True)
class Platform:
    """The running platform as its users, its administrators and an attacker of its stores see it."""

    places: Places
    addresses: Addresses

    @property
    def supervisor(self) -> Supervisor:
        return local_supervisor(self.places, self.addresses)

    @property
    def connection(self) -> Any:
        return json.loads((self.places.root / "connection.json").read_text())

    def token(self, role: str = "support", tenant: str = "acme") -> str:
        return fetch_token(role, tenant, places=self.places, addresses=self.addresses)

    def call(self, method: str, path: str, *, body: bytes = b"", token: str = "") -> Answer:
        port = self.addresses.operations if path in ("/readyz", "/metrics") else self.addresses.gateway
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def chat(self, token: str, text: str = "What is the capital of France?", **fields: Any) -> Answer:
        document = {"model": "local", "messages": [{"role": "user", "content": text}], "max_tokens": 24, **fields}
        return self.call("POST", "/v1/chat/completions", body=json.dumps(document).encode(), token=token)

    def model_requests(self) -> int:
        """How many requests reached the model server so far."""
        path = self.places.model_requests
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    def sql(self, statement: str) -> str:
        return run_as_superuser(self.places, self.addresses, statement, database="llm").strip()

    def audit_records(self, kind: str) -> int:
        return int(self.sql(f"\\t on\n\\a\nselect count(*) from audit.record where kind = '{kind}';").splitlines()[-1])

    def audit_verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        """`gateway audit verify` as an auditor would run it."""
        verify = 'exec "$0" -m services.gateway audit verify "$@"'
        script = f"set -a; . '{self.places.root}/gateway.env'; {verify}"
        return subprocess.run(
            ["sh", "-c", script, sys.executable, *options], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )

    def is_sealed(self) -> bool:
        """Whether a signed head covers every record."""
        verdict = self.audit_verify("--json")
        return verdict.returncode == 0 and all(one["unsealed"] == 0 for one in json.loads(verdict.stdout)["chains"])


def make(verb: str, *arguments: str, root: Path = ROOT, offset: int = PORT_OFFSET) -> list[str]:
    """The command behind `make up` or `make down`, for another root and other ports."""
    moved = ["--port-offset", str(offset)] if verb == "up" else []
    return [sys.executable, "-m", f"stacks.local.{verb}", "--root", str(root), *moved, *arguments]


def run(verb: str, *arguments: str, root: Path = ROOT, offset: int = PORT_OFFSET) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        make(verb, *arguments, root=root, offset=offset),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    )


def await_until(holds: Callable[[], bool], seconds: float) -> float:
    """Waits until something holds; returns how long it took, or fails."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"did not hold within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - began
