"""Keeps a stand-in on this machine: whatever its library tries, it connects to loopback addresses only."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any


class LeavesTheMachine(OSError):
    """An OSError, because that is what a library expects of a network it cannot reach."""


def install() -> None:
    """Lasts as long as the process: an audit hook cannot be removed."""
    sys.addaudithook(_refuse_foreign_addresses)


def _refuse_foreign_addresses(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not is_loopback(arguments[1][0]):
        raise LeavesTheMachine(f"a local part may connect to loopback addresses only, not to {arguments[1][0]!r}")
    if event == "socket.getaddrinfo" and arguments[0] and not is_loopback(arguments[0]):
        raise LeavesTheMachine(f"a local part looks up no foreign name (asked for {arguments[0]!r})")


def is_loopback(host: object) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
