"""Where AWS may run a call to a geographic profile: the destination regions of each, by the region that calls.

A private endpoint keeps a call off the internet, not in its region: behind `us.` and `eu.` profiles AWS picks
the region itself. Permissions and endpoint policies must name the model in every one of them, or a call fails
with a region that nobody asked for. AWS's profile is the truth, and looking it up needs credentials, so it is
a table here; docs/live-checks.md has the command that compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

SOURCE = "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html"
GUARDRAIL_SOURCE = "https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-cross-region-support.html"
AS_OF = date(2026, 11, 22)

_UNITED_STATES = ("us-east-1", "us-east-2", "us-west-2")
_EUROPE = ("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3")
_FROM_UNITED_STATES = {"us-east-1": _UNITED_STATES, "us-west-2": _UNITED_STATES}
_FROM_EUROPE = {"eu-central-1": _EUROPE, "eu-west-1": _EUROPE}

# Profile → region that calls → regions where the model may run.
DESTINATIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "us.amazon.nova-micro-v1:0": _FROM_UNITED_STATES,
    "us.amazon.nova-lite-v1:0": _FROM_UNITED_STATES,
    "us.amazon.nova-pro-v1:0": _FROM_UNITED_STATES,
    "eu.amazon.nova-micro-v1:0": _FROM_EUROPE,
    "eu.amazon.nova-lite-v1:0": _FROM_EUROPE,
    "eu.amazon.nova-pro-v1:0": _FROM_EUROPE,
}
# The same for guardrails of the STANDARD tier, which AWS runs across regions only.
GUARDRAIL_DESTINATIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "us.guardrail.v1:0": _FROM_UNITED_STATES,
    "eu.guardrail.v1:0": _FROM_EUROPE,
}


class UnlistedProfile(ValueError):
    """A profile that the table does not hold: where it runs is not known, so it is not used."""


def destinations(profile: str, region: str) -> tuple[str, ...]:
    """The regions where a call of `profile` from `region` may run."""
    if profile.startswith("global."):
        raise UnlistedProfile(f"{profile} may run in every region of AWS: name a profile of one geography, or none")
    by_region = DESTINATIONS.get(profile)
    if by_region is None:
        raise UnlistedProfile(f"{profile} is not in the table of {AS_OF} (allowed: {', '.join(sorted(DESTINATIONS))})")
    if region not in by_region:
        raise UnlistedProfile(f"{profile} cannot be called from {region} (allowed: {', '.join(sorted(by_region))})")
    return by_region[region]


def guardrail_profile(region: str) -> str:
    """The profile across which a STANDARD guardrail of `region` runs."""
    for profile, by_region in GUARDRAIL_DESTINATIONS.items():
        if region in by_region:
            return profile
    raise UnlistedProfile(f"no guardrail profile is listed for {region}")


def guardrail_profile_arns(region: str, account_id: str) -> tuple[str, ...]:
    """What a caller must be allowed besides the guardrail itself."""
    profile = guardrail_profile(region)
    return tuple(
        f"arn:aws:bedrock:{destination}:{account_id}:guardrail-profile/{profile}"
        for destination in GUARDRAIL_DESTINATIONS[profile][region]
    )
