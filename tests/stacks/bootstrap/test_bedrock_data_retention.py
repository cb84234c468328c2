"""Data retention is set and read back in every region, against botocore's own model of the two calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber

from stacks.bootstrap.bedrock_data_retention import KeptAfterAll, forbid_retention, main, regions_of
from stacks.environment import Environment
from tests.stacks.configurations import ENVIRONMENTS, changed, environment_values

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

ACROSS_REGIONS = {
    "residency": "geography",
    "models.0.geo_profile": "us.amazon.nova-lite-v1:0",
    "models.0.destination_regions": ["us-east-1", "us-east-2", "us-west-2"],
}


class Account:
    """One stubbed client a region: expects the setting, then answers what the region says afterwards."""

    def __init__(self, modes: dict[str, str], stubs: ExitStack) -> None:
        self.set: list[str] = []
        self._modes, self._stubs = modes, stubs

    def __call__(self, region: str) -> BedrockClient:
        client = boto3.client("bedrock", region_name=region, aws_access_key_id="test", aws_secret_access_key="test")
        stub = self._stubs.enter_context(Stubber(client))
        stub.add_response("put_account_data_retention", {"mode": "none"}, {"mode": "none"})
        stub.add_response("get_account_data_retention", {"mode": self._modes[region]}, {})
        self.set.append(region)
        return client


@pytest.fixture
def stubs() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_a_20_every_region_where_a_call_may_run_keeps_nothing(stubs: ExitStack) -> None:
    regions = regions_of(Environment.load(changed(environment_values("dev"), ACROSS_REGIONS)))
    account = Account(dict.fromkeys(regions, "none"), stubs)

    assert forbid_retention(regions, account) == {"us-east-1": "none", "us-east-2": "none", "us-west-2": "none"}
    assert account.set == ["us-east-1", "us-east-2", "us-west-2"]


@pytest.mark.parametrize("mode", ["default", "aws_review", "provider_data_share", "inherit"])
def test_a_20_a_region_that_keeps_data_all_the_same_fails_the_step_by_name(mode: str, stubs: ExitStack) -> None:
    account = Account({"us-east-1": "none", "us-east-2": mode}, stubs)

    with pytest.raises(KeptAfterAll, match=f"us-east-2 says {mode}"):
        forbid_retention(["us-east-1", "us-east-2"], account)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_20_the_regions_are_those_that_the_catalogue_names(stack: str) -> None:
    environment = Environment.load(environment_values(stack))
    named = {region for model in environment.bedrock_models for region in model.destination_regions}

    assert set(regions_of(environment)) == {environment.region, *named}


def test_a_20_a_standard_guardrail_brings_its_regions() -> None:
    values = changed(environment_values("dev"), {"residency": "geography", "guardrail_tier": "STANDARD"})

    assert regions_of(Environment.load(values)) == ("us-east-1", "us-east-2", "us-west-2")


def test_the_step_is_for_real_accounts_only() -> None:
    with pytest.raises(SystemExit):
        main(["--environment", "local"])
