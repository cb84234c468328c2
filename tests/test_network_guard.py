"""The suite itself keeps its promise: no test reaches beyond this machine."""

from __future__ import annotations

import socket

import pytest


def test_a_foreign_address_is_refused_before_a_packet_leaves() -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match=r"not '192\.0\.2\.1'"):
        connection.connect(("192.0.2.1", 443))


def test_a_foreign_name_is_not_even_looked_up() -> None:
    with pytest.raises(RuntimeError, match="loopback addresses only"):
        socket.getaddrinfo("example.com", 443)


def test_loopback_is_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        assert connection.getpeername() == server.getsockname()
