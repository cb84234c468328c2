"""The table of destination regions: whole, dated, and a refusal for everything it does not hold."""

from __future__ import annotations

import re
from datetime import date
from typing import get_args

import pytest

from components.cross_region_inference import (
    AS_OF,
    DESTINATIONS,
    GUARDRAIL_DESTINATIONS,
    SOURCE,
    UnlistedProfile,
    destinations,
    guardrail_profile,
    guardrail_profile_arns,
)
from stacks.environment import Region

EVERY_ROW = [
    (profile, region, where)
    for table in (DESTINATIONS, GUARDRAIL_DESTINATIONS)
    for profile, by_region in table.items()
    for region, where in by_region.items()
]


@pytest.mark.parametrize(("profile", "region", "where"), EVERY_ROW)
def test_a_call_may_stay_where_it_is_and_never_leaves_the_geography(
    profile: str, region: str, where: tuple[str, ...]
) -> None:
    geography = profile.partition(".")[0]

    assert region in where
    assert all(each.startswith(f"{geography}-") for each in where)
    assert len(set(where)) == len(where)


def test_the_table_says_where_it_comes_from_and_when() -> None:
    assert SOURCE.startswith("https://docs.aws.amazon.com/bedrock/")
    assert date(2026, 1, 1) <= AS_OF


@pytest.mark.parametrize(
    ("profile", "region", "said"),
    [
        ("global.amazon.nova-2-lite-v1:0", "us-east-1", "may run in every region of AWS"),
        ("us.amazon.nova-premier-v1:0", "us-east-1", "is not in the table of"),
        ("eu.amazon.nova-lite-v1:0", "us-east-1", "cannot be called from us-east-1 (allowed: eu-central-1, eu-west-1)"),
    ],
)
def test_what_the_table_does_not_hold_is_not_used(profile: str, region: str, said: str) -> None:
    with pytest.raises(UnlistedProfile, match=re.escape(said)):
        destinations(profile, region)


@pytest.mark.parametrize("region", get_args(Region))
def test_every_region_of_ours_has_a_guardrail_profile_with_an_arn_in_every_destination(region: str) -> None:
    arns = guardrail_profile_arns(region, "123456789012")

    assert len(arns) == len(GUARDRAIL_DESTINATIONS[guardrail_profile(region)][region])
    assert all(arn.endswith(f":123456789012:guardrail-profile/{guardrail_profile(region)}") for arn in arns)


def test_a_region_without_a_guardrail_profile_is_refused() -> None:
    with pytest.raises(UnlistedProfile, match="no guardrail profile is listed for sa-east-1"):
        guardrail_profile("sa-east-1")
