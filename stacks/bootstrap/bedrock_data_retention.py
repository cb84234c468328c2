"""Bedrock keeps nothing of what models are asked: set for the account, in every region where a call may run.

    python -m stacks.bootstrap.bedrock_data_retention --environment prod

Some models' providers may otherwise keep prompts for review. The setting has no resource type, so this is a step
of the bootstrap, by the break-glass role, before the first `pulumi up`; the preflight reads it again later.
Sets each region, then reads each back. Exit 0: every region says none. Exit 1: one does not, or refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from components.cross_region_inference import GUARDRAIL_DESTINATIONS, guardrail_profile
from stacks.configuration import ConfigurationError
from stacks.environment import Environment, EnvironmentName
from stacks.local.captured_platform import configured

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

MODE: Literal["none"] = "none"


class KeptAfterAll(Exception):
    """A region where data is retained although it was told not to."""


def regions_of(environment: Environment) -> tuple[str, ...]:
    """Where a call of this environment may run: its own region, and those that AWS may choose."""
    regions: set[str] = {environment.region}
    regions |= {region for model in environment.bedrock_models for region in model.destination_regions}
    if environment.guardrail_tier == "STANDARD":
        regions |= set(GUARDRAIL_DESTINATIONS[guardrail_profile(environment.region)][environment.region])
    return tuple(sorted(regions))


def forbid_retention(regions: Iterable[str], client: Callable[[str], BedrockClient]) -> dict[str, str]:
    """Sets and reads back; raises KeptAfterAll with every region that says otherwise."""
    found: dict[str, str] = {}
    for region in regions:
        bedrock = client(region)
        bedrock.put_account_data_retention(mode=MODE)
        found[region] = str(bedrock.get_account_data_retention().get("mode", "nothing"))
    kept = [f"{region} says {mode}" for region, mode in found.items() if mode != MODE]
    if kept:
        raise KeptAfterAll(f"data retention must be {MODE} ({', '.join(kept)})")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bedrock_data_retention", description=__doc__)
    away = [name.value for name in EnvironmentName if name is not EnvironmentName.LOCAL]
    parser.add_argument("--environment", choices=away, required=True)
    try:
        environment = configured(parser.parse_args(arguments).environment)
        _require_account(environment)
        found = forbid_retention(regions_of(environment), _client)
    except (ConfigurationError, KeptAfterAll, ClientError, BotoCoreError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    for region, mode in found.items():
        print(f"{region}: {mode}")
    return 0


def _require_account(environment: Environment) -> None:
    """The credentials at hand belong to the account that is meant, or nothing is changed."""
    account = boto3.client("sts", region_name=environment.region).get_caller_identity()["Account"]
    if account != environment.account_id:
        raise ConfigurationError(f"credentials must be of account {environment.account_id} (got {account})")


def _client(region: str) -> BedrockClient:
    return boto3.client("bedrock", region_name=region)


if __name__ == "__main__":
    sys.exit(main())
