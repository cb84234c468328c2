"""Boundary: what no role of this environment may ever do, before the first role is made."""

from __future__ import annotations

from components.permissions_boundary import PermissionsBoundary
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement


def deploy_boundary(environment: Environment, placement: Placement) -> PermissionsBoundary:
    names = Names(environment.name.value, environment.account_id, environment.region)
    return PermissionsBoundary(
        "boundary",
        {"account_id": environment.account_id, "policy_name": names.boundary_policy},
        placement.replaceable(),
    )
