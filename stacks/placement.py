"""Where resources go and how firmly they stay: the explicit provider, protection of what holds state, and the
permissions boundary of every role, which no component can leave out because none of them sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

ROLE = "aws:iam/role:Role"


@dataclass(frozen=True, slots=True)
class Placement:
    """Options for everything a program deploys. Default providers are switched off: each part gets these."""

    provider: aws.Provider
    protected: bool
    boundary_arn: pulumi.Input[str] = ""

    @classmethod
    def of(cls, *, region: str, account_id: str, tags: Mapping[str, str], protected: bool) -> Placement:
        """One account, one region, the same tags on everything."""
        provider = aws.Provider(
            "aws",
            region=region,
            allowed_account_ids=[account_id],
            default_tags={"tags": dict(tags)},
            retry_mode="adaptive",
        )
        return cls(provider, protected)

    def bounded(self, boundary_arn: pulumi.Input[str]) -> Placement:
        """The same, with that permissions boundary on every role."""
        return replace(self, boundary_arn=boundary_arn)

    def replaceable(self) -> pulumi.ResourceOptions:
        """For what can be made again."""
        return pulumi.ResourceOptions(providers=[self.provider], transformations=[self._bound])

    def lasting(self) -> pulumi.ResourceOptions:
        """For what holds state: protected from deletion where the environment says so."""
        return pulumi.ResourceOptions(providers=[self.provider], protect=self.protected, transformations=[self._bound])

    def _bound(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        """Runs in the program itself, so that every engine, the stand-in too, sees the same role."""
        if args.type_ != ROLE:
            return None
        if not self.boundary_arn:
            raise ValueError(f"role {args.name} must carry a permissions boundary: use a placement that is bounded()")
        return pulumi.ResourceTransformationResult({**args.props, "permissions_boundary": self.boundary_arn}, args.opts)
