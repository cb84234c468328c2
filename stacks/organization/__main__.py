"""The organization program: what every environment's account is held to, set from the management account."""

from __future__ import annotations

import pulumi

from components.organization_policies import OrganizationPolicies
from stacks.configuration import ConfigurationError
from stacks.governance import Governance
from stacks.names import PROJECT
from stacks.organization.policies import organization_policies
from stacks.organization.trail import deploy_trail
from stacks.placement import Placement

STACK = "organization"


def main() -> None:
    governance = configured(pulumi.Config(), pulumi.get_stack())
    placement = Placement.of(
        region=governance.region,
        account_id=governance.management_account_id,
        tags=governance.tags,
        protected=True,
    )
    OrganizationPolicies(
        "policies",
        {"prefix": PROJECT, "policies": organization_policies(governance)},
        placement.lasting(),
    )
    if governance.trail:
        deploy_trail(governance, governance.trail, placement)


def configured(config: pulumi.Config, stack: str) -> Governance:
    """The organization's configuration, or a ConfigurationError before any resource exists."""
    governance = Governance.load(config.require_object("governance"))
    if stack != STACK:
        raise ConfigurationError(f"the stack must be {STACK}: there is one organization (got {stack!r})")
    return governance


main()
