"""Use of one tenant's key: by grants that are bound to the tenant, so that a role loses it with its grant.

Nothing else is under that key. Scheduled for deletion, it takes this tenant's data along and nobody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class TenantKeyGrantsArgs(TypedDict):
    key_arn: pulumi.Input[str]
    context: Mapping[str, str]
    grantees: Mapping[str, pulumi.Input[str]]
    operations: Mapping[str, Sequence[str]]


class TenantKeyGrants(Component):
    """One grant for each grantee, under exactly this encryption context."""

    def __init__(self, name: str, args: TenantKeyGrantsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        for grantee, role in args["grantees"].items():
            aws.kms.Grant(
                f"{name}-{grantee}",
                name=f"{name}-{grantee}",
                key_id=args["key_arn"],
                grantee_principal=role,
                operations=list(args["operations"][grantee]),
                constraints=[{"encryption_context_equals": dict(args["context"])}],
                opts=self.child(),
            )
        self.register_outputs({})
