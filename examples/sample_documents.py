"""Sample documents of two tenants: acme's handbook in five file types, and globex's with other facts.

The support tickets hold invented personal data and pasted credentials. Credentials are not stored here: the
files have marks in their place, which `samples` fills with new ones on every call.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "documents"
PERSONAL_DATA = (
    "Maria Keller",
    "maria.keller@example.com",
    "+49 30 901820",
    "jonas.weber@example.org",
    "203.0.113.24",
    "Okafor",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "12 March 1985",
    "536-90-4399",
    "12 Market Street",
)

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Sample:
    """A document to be uploaded. None of its `secrets` and `personal_data` may ever come out again."""

    key: str  # <tenant>/<collection>/<file name>
    content: bytes
    secrets: tuple[str, ...] = ()
    personal_data: tuple[str, ...] = ()


def samples() -> tuple[Sample, ...]:
    """All sample documents, the pasted credentials made up anew."""
    paths = sorted(path for path in FOLDER.glob("*/*/*") if path.is_file())
    return tuple(_sample(path) for path in paths)


def _sample(path: Path) -> Sample:
    key = path.relative_to(FOLDER).as_posix()
    content = path.read_bytes()
    if path.name != "support-tickets.txt":
        return Sample(key, content)
    made_up = made_up_credentials()
    text = content.decode()
    for name, value in made_up.items():
        text = text.replace(f"{{{name}}}", value)
    return Sample(key, text.encode(), tuple(made_up.values()), PERSONAL_DATA)


def made_up_credentials() -> dict[str, str]:
    """Credentials that look real and open nothing."""
    claims = json.dumps({"sub": secrets.token_hex(4), "iat": 1_750_000_000}).encode()
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
    payload = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    return {
        "github_token": "ghp_" + _drawn(36, _LETTERS_AND_DIGITS),
        "aws_access_key": "AKIA" + _drawn(16, string.ascii_uppercase + "234567"),
        "aws_secret_key": _drawn(40, _LETTERS_AND_DIGITS + "+/"),
        "json_web_token": f"{header}.{payload}.{secrets.token_urlsafe(48)}",
    }


def _drawn(length: int, alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
