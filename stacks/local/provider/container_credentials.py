"""The container credentials endpoint of ECS, on loopback: hands a task the credentials of its role.

A task asks with the token that only it was given; the answer is what STS gives for the role, so that every
call of the task carries its role's name. Run as a process: `<port> <grants file> <region>`.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stacks.local.parts.addresses import HOST
from stacks.local.provider.aws_calls import Aws, Endpoint

CREDENTIALS_FILE = "container-credentials.json"
_SESSION_S = 3600


@dataclass(frozen=True)
class Grant:
    """One task may use one role. The token is the task's secret; only its hash is written down."""

    role_arn: str
    session: str
    token: str


def add_grant(file: Path, grant: Grant) -> str:
    """Writes the grant for the endpoint to read; returns the path at which the task finds its credentials."""
    known = _grants(file)
    path = f"/v2/credentials/{sha256(grant.token.encode()).hexdigest()[:24]}"
    known[path] = {**asdict(grant), "token": _digest(grant.token)}
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(known))
    fresh.replace(file)
    return path


def _grants(file: Path) -> dict[str, dict[str, str]]:
    if not file.exists():
        return {}
    found: dict[str, dict[str, str]] = json.loads(file.read_text())
    return found


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def answers(port: int) -> bool:
    """True when our endpoint listens there: it refuses a request without a token."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.headers.get("Server", "").startswith(_Handler.server_version)
    except OSError:
        return False
    return False


def credentials(aws: Aws, grant: dict[str, str]) -> dict[str, str]:
    """The answer of the endpoint, in the form that every SDK reads."""
    answer = aws.client("sts").assume_role(
        RoleArn=grant["role_arn"], RoleSessionName=grant["session"], DurationSeconds=_SESSION_S
    )["Credentials"]
    return {
        "AccessKeyId": answer["AccessKeyId"],
        "SecretAccessKey": answer["SecretAccessKey"],
        "Token": answer["SessionToken"],
        "Expiration": answer["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RoleArn": grant["role_arn"],
    }


class _Handler(BaseHTTPRequestHandler):
    server_version = "container-credentials"
    server: Server

    def do_GET(self) -> None:
        grant = _grants(self.server.grants).get(self.path)
        token = self.headers.get("Authorization", "")
        if grant is None or not hmac.compare_digest(grant["token"], _digest(token)):
            self._answer(HTTPStatus.UNAUTHORIZED, {"message": "unknown task or wrong token"})
            return
        self._answer(HTTPStatus.OK, credentials(self.server.aws, grant))

    def _answer(self, status: HTTPStatus, document: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class gives the name
        """The path names the task; the answer is never logged."""
        sys.stderr.write(f"{self.command} {self.path} {arguments[1] if len(arguments) > 1 else ''}\n")


class Server(ThreadingHTTPServer):
    """Holds what every request needs."""

    daemon_threads = True

    def __init__(self, port: int, grants: Path, aws: Aws) -> None:
        super().__init__((HOST, port), _Handler)
        self.grants = grants
        self.aws = aws


def main() -> None:
    port, grants, region = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    os.umask(0o077)
    Server(port, grants, Aws(Endpoint.from_environment(), region, parts=None)).serve_forever()


if __name__ == "__main__":
    main()
