"""For every test: sockets reach loopback only, no AWS setting of the machine leaks in, examples are not timed."""

from __future__ import annotations

import gc
import ipaddress
import os
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None})  # noqa: S104 - compared, not bound


class LeavesTheMachine(RuntimeError):
    """A test tried to reach an address that is not on this machine."""


def _refuse_foreign_addresses(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        _require_loopback(arguments[1][0])
    elif event == "socket.getaddrinfo":
        _require_loopback(arguments[0])


def _require_loopback(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in LOCAL_NAMES or (isinstance(name, str) and name.endswith(".localhost")):
        return
    if _is_loopback_address(str(name)):
        return
    raise LeavesTheMachine(f"a test may reach loopback addresses only, not {name!r}")


def _is_loopback_address(name: str) -> bool:
    """False for a host name: it is judged like any other foreign address."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


sys.addaudithook(_refuse_foreign_addresses)

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"

# A busy machine is no failure, and the same commit meets the same examples; others: --hypothesis-profile default
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: the collector looks at none of it, neither while it is loaded nor before each test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
