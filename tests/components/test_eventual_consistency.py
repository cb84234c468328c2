"""What failed because a permission had not spread is tried again; what is wrong fails at once, and once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.provider.experimental import provider as api

from components.eventual_consistency import DELAYS_S, NOT_YET, is_worth_waiting
from stacks.local import engine
from tests.stacks.local.planted import plant

REFUSED = "ValidationException: Failed to validate permissions for log group with the role"
PROGRAM = """
    from components.eventual_consistency import until_permissions_spread
    waiting = until_permissions_spread("topic", delays_s=(0, 0, 0))
    aws.sns.Topic("topic", name="topic", opts=pulumi.ResourceOptions(provider=provider, hooks=waiting))
    """


class Slow(api.Provider):
    """An AWS whose permissions take some attempts to spread."""

    def __init__(self, refusals: int, reason: str) -> None:
        self.refusals = refusals
        self.reason = reason
        self.attempts = 0

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(request.new_inputs)

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        return api.ConfigureResponse()

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        self.attempts += 1
        if self.attempts <= self.refusals:
            raise ValueError(self.reason)
        return api.CreateResponse("one", request.properties)


def test_a_creation_is_repeated_until_the_permission_has_spread(tmp_path: Path) -> None:
    provider = Slow(refusals=2, reason=REFUSED)

    deployment = engine.run(plant(tmp_path, PROGRAM), "dev", provider=provider)

    assert deployment.named("aws:sns/topic:Topic", "topic").id == "one"
    assert provider.attempts == 3


def test_it_ends_after_the_last_delay(tmp_path: Path) -> None:
    provider = Slow(refusals=100, reason=REFUSED)

    with pytest.raises(engine.EngineError, match="Failed to validate permissions"):
        engine.run(plant(tmp_path, PROGRAM), "dev", provider=provider)
    assert provider.attempts == 4


def test_another_failure_is_not_repeated(tmp_path: Path) -> None:
    provider = Slow(refusals=1, reason="ValidationException: topic name is invalid")

    with pytest.raises(engine.EngineError, match="topic name is invalid"):
        engine.run(plant(tmp_path, PROGRAM), "dev", provider=provider)
    assert provider.attempts == 1


def test_without_the_hook_nothing_is_repeated(tmp_path: Path) -> None:
    provider = Slow(refusals=1, reason=REFUSED)

    with pytest.raises(engine.EngineError):
        engine.run(plant(tmp_path, 'aws.sns.Topic("topic", name="topic", opts=mine)\n'), "dev", provider=provider)
    assert provider.attempts == 1


@given(st.sampled_from(["create", "update", "delete"]), st.lists(st.sampled_from([REFUSED, "other"]), max_size=8))
def test_only_the_newest_reason_of_a_creation_or_update_counts(operation: str, errors: list[str]) -> None:
    wanted = operation != "delete" and 0 < len(errors) <= len(DELAYS_S) and errors[0] == REFUSED

    assert is_worth_waiting(operation, errors, len(DELAYS_S)) is wanted


def test_a_minute_is_enough_and_reasons_are_compared_in_small_letters() -> None:
    assert 60 <= sum(DELAYS_S) <= 90
    assert list(NOT_YET) == sorted(reason.lower() for reason in NOT_YET)
