"""What is remembered of a caller holds for that caller in that registration and role, and for no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway import per_caller
from services.gateway.exchange import Caller, Registration, Role
from services.gateway.per_caller import PerCaller
from tests.services.gateway.fakes import caller, registration, role


class Made:
    """Makes the names of all three, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, caller: Caller, registration: Registration, role: Role) -> tuple[str, str, str]:
        self.times += 1
        return caller.subject, registration.digest, role.name


def test_it_is_made_once_for_the_same_three() -> None:
    made = Made()
    remembered, alice, workload, analyst = PerCaller(made), caller(), registration(), role()
    assert {remembered(alice, workload, analyst) for _ in range(3)} == {("alice", workload.digest, "analyst")}
    assert made.times == 1


def test_another_caller_registration_or_role_has_its_own() -> None:
    remembered, alice, workload, analyst = PerCaller(Made()), caller(), registration(), role()
    assert remembered(alice, workload, analyst) == ("alice", workload.digest, "analyst")
    assert remembered(caller("bob"), workload, analyst)[0] == "bob"
    assert remembered(alice, replace(workload, digest="renewed"), analyst)[1] == "renewed"
    assert remembered(alice, workload, role("load"))[2] == "load"
    assert remembered(alice, workload, analyst) == ("alice", workload.digest, "analyst")


def test_equals_are_not_the_same() -> None:
    """A mapping that a caller or a registration holds is compared by nobody: only the very same objects count."""
    made = Made()
    remembered, workload, analyst = PerCaller(made), registration(), role()
    remembered(caller(), workload, analyst)
    remembered(caller(), workload, analyst)
    assert made.times == 2


def test_callers_without_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_caller, "CALLERS_MAX", 10)
    made, workload, analyst = Made(), registration(), role()
    remembered = PerCaller(made)
    for number in range(100):
        assert remembered(caller(f"caller-{number}"), workload, analyst)[0] == f"caller-{number}"
    assert len(remembered._made) <= 10
