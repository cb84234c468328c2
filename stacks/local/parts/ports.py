"""Is a port free, and if not, whose is it? Asked before anything starts."""

from __future__ import annotations

import socket
from contextlib import closing

import psutil

from stacks.local.parts.addresses import HOST


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections may linger
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def holder(port: int) -> str:
    """`process 4711 (postgres)`, or an honest `another process` where the system does not tell."""
    try:
        found = [one.pid for one in psutil.net_connections("tcp") if _listens(one, port) and one.pid]
        return f"process {found[0]} ({psutil.Process(found[0]).name()})" if found else "another process"
    except psutil.Error:
        return "another process"


def _listens(connection: psutil._ntuples.sconn, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port)
