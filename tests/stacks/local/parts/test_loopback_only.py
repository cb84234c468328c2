"""A local part stays on this machine, and a library that tries to leave meets an ordinary network error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stacks.local.parts.loopback_only import is_loopback
from stacks.local.parts.places import REPOSITORY


def attempt(call: str) -> str:
    """In a process of its own: the guard cannot be taken out again."""
    program = f"""
import socket
from stacks.local.parts import loopback_only
loopback_only.install()
try:
    {call}
except OSError as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "call",
    [
        'socket.create_connection(("192.0.2.1", 443), timeout=1)',
        'socket.create_connection(("169.254.169.254", 80), timeout=1)',
        'socket.create_connection(("s3.eu-west-1.amazonaws.com", 443), timeout=1)',
        'socket.socket(socket.AF_INET6).connect(("2001:db8::1", 443))',
    ],
)
def test_foreign_address_is_refused(call: str) -> None:
    assert attempt(call) == "LeavesTheMachine"


def test_loopback_address_is_tried() -> None:
    assert attempt('socket.create_connection(("127.0.0.1", 1), timeout=1)') == "ConnectionRefusedError"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", b"localhost", "account.localhost"])
def test_loopback_names_are_known(host: object) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "localhost.example", "127.0.0.1.example", ""])  # noqa: S104 - judged only
def test_other_names_are_foreign(host: object) -> None:
    assert not is_loopback(host)
