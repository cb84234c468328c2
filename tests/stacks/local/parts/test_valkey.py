"""Valkey lets the gateway's user in and nobody else, and keeps nothing on disk."""

from __future__ import annotations

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.stacks.local.parts.running_parts import RunningParts


def client(running: RunningParts, user: str | None) -> redis.Redis:
    password = "an IAM token" if user else None
    once = Retry(NoBackoff(), 0)
    return redis.Redis("127.0.0.1", running.addresses.valkey, username=user, password=password, retry=once)


def test_gateway_counts_with_any_token(running: RunningParts) -> None:
    with client(running, "gateway") as valkey:
        assert valkey.incr("count") == 1
        assert valkey.eval("return redis.call('incrby', KEYS[1], 2)", 1, "count") == 3
        valkey.delete("count")


@pytest.mark.parametrize("user", [None, "default", "stranger"])
def test_nobody_else_gets_in(running: RunningParts, user: str | None) -> None:
    with client(running, user) as valkey, pytest.raises(redis.AuthenticationError):
        valkey.incr("count")


@pytest.mark.parametrize("command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST")])
def test_gateway_may_not_administrate(running: RunningParts, command: tuple[str, ...]) -> None:
    with client(running, "gateway") as valkey, pytest.raises(redis.exceptions.NoPermissionError):
        valkey.execute_command(*command)


def test_restart_forgets_everything(running: RunningParts) -> None:
    with client(running, "gateway") as valkey:
        valkey.set("kept", "?")
    running.supervisor.stop("valkey")
    with client(running, "gateway") as valkey, pytest.raises(redis.ConnectionError):
        valkey.ping()
    running.supervisor.start("valkey")
    with client(running, "gateway") as valkey:
        assert valkey.get("kept") is None
    assert list(running.places.data("valkey").glob("*.rdb")) == []
