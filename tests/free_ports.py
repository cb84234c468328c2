"""Ports for servers that tests start, stop and start again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

HOST = "127.0.0.1"
FIRST = 29_000  # above those that the local platform of a test may be shifted to
BLOCK = 200  # of one process of tests, and another when these are used up

_names: list[int] = []  # descriptors: a socket that is collected at the end warns of it


def free_port() -> int:
    """A port that stays its asker's, also before the server listens and while it is down.

    Below those that the kernel gives to outgoing connections: one of these could hold the port by then, or even be
    connected to itself where nobody listens. No process gives a port twice, and no two give the same. Where the kernel
    keeps all of them for outgoing connections, any that is free now.
    """
    return next(filter(_is_free, _own), 0) or _free_now()


def _ports() -> Iterator[int]:
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for first in range(FIRST, outgoing - BLOCK, BLOCK):
        if _is_first_to_name(first):
            yield from range(first, first + BLOCK)


def _is_first_to_name(block: int) -> bool:
    """The kernel forgets the name with the process."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0llm-pipelines-test-ports-{block}")
    except OSError:
        name.close()
        return False
    _names.append(name.detach())
    return True


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_now() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


_own = _ports()
