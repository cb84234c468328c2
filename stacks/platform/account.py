"""Account: settings that exist once per account and region, where this environment is the one that keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from components.account_baseline import AccountBaseline
from components.data_key import DataKey
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.purposes import Purpose


def deploy_account(
    environment: Environment, names: Names, keys: Mapping[Purpose, DataKey], placement: Placement
) -> AccountBaseline | None:
    """Nothing where somebody else keeps them: two owners would undo each other's."""
    if environment.account_singletons == "external":
        return None
    return AccountBaseline(
        "account",
        {"volume_key_arn": keys[Purpose.EBS].arn, "analyzer_name": names.named("shared-outside")},
        placement.replaceable(),
    )
