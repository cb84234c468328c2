"""Where resources go and how firmly they stay: the explicit provider, and protection of what holds state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True)
class Placement:
    """Options for everything a program deploys. Default providers are switched off: each part gets these."""

    provider: aws.Provider
    protected: bool

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

    def replaceable(self) -> pulumi.ResourceOptions:
        """For what can be made again."""
        return pulumi.ResourceOptions(providers=[self.provider])

    def lasting(self) -> pulumi.ResourceOptions:
        """For what holds state: protected from deletion where the environment says so."""
        return pulumi.ResourceOptions(providers=[self.provider], protect=self.protected)
