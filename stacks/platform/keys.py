"""One customer managed key for each purpose, under the policy that says who may use it."""

from __future__ import annotations

from components.data_key import DataKey, KeyUse
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.key_policies import key_policies
from stacks.platform.purposes import DESCRIPTIONS, USES, Purpose

__all__ = ["Purpose", "deploy_keys", "key_policies"]


def deploy_keys(environment: Environment, names: Names, placement: Placement) -> dict[Purpose, DataKey]:
    """Every key with its policy. All names in the policies are known in advance."""
    return {
        purpose: DataKey(
            purpose.value,
            {
                "purpose": DESCRIPTIONS[purpose],
                "alias": names.alias(purpose.value),
                "use": USES.get(purpose, KeyUse.ENCRYPT),
                "policy": policy,
            },
            placement.lasting(),
        )
        for purpose, policy in key_policies(environment, names).items()
    }
