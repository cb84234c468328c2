"""Policies of the organization and what they are attached to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

ATTACHED_MAX = 5
"""Policies of one type that AWS attaches to one target, its own FullAWSAccess included."""


class PolicyType(StrEnum):
    """As AWS Organizations spells them. Each must be enabled once in the organization."""

    SERVICE_CONTROL = "SERVICE_CONTROL_POLICY"
    RESOURCE_CONTROL = "RESOURCE_CONTROL_POLICY"
    BEDROCK = "BEDROCK_POLICY"


@dataclass(frozen=True, slots=True)
class OrganizationPolicy:
    """One policy; `targets` are ids of organizational units."""

    name: str
    kind: PolicyType
    description: str
    content: str
    targets: Sequence[str]


class OrganizationPoliciesArgs(TypedDict):
    prefix: str
    policies: Sequence[OrganizationPolicy]


class TooManyPolicies(ValueError):
    """A target would carry more policies of one type than AWS attaches."""


class OrganizationPolicies(Component):
    """Every policy, attached."""

    def __init__(self, name: str, args: OrganizationPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        require_room(args["policies"])
        for policy in args["policies"]:
            self._attach(policy, self._policy(policy, args["prefix"]))
        self.register_outputs({"policies": [policy.name for policy in args["policies"]]})

    def _policy(self, policy: OrganizationPolicy, prefix: str) -> aws.organizations.Policy:
        return aws.organizations.Policy(
            policy.name,
            name=f"{prefix}-{policy.name}",
            type=policy.kind.value,
            description=policy.description,
            content=policy.content,
            opts=self.child(),
        )

    def _attach(self, policy: OrganizationPolicy, made: aws.organizations.Policy) -> None:
        for number, target in enumerate(policy.targets, 1):
            aws.organizations.PolicyAttachment(
                f"{policy.name}-{number}", policy_id=made.id, target_id=target, opts=self.child()
            )


def require_room(policies: Sequence[OrganizationPolicy]) -> None:
    """Refuses what AWS would refuse half-way through the update."""
    attached: dict[tuple[str, PolicyType], int] = {}
    for policy in policies:
        for target in policy.targets:
            place = (target, policy.kind)
            attached[place] = attached.get(place, 1) + 1  # beside FullAWSAccess
            if attached[place] > ATTACHED_MAX:
                raise TooManyPolicies(
                    f"{policy.name}: {target} would carry more than {ATTACHED_MAX} of {policy.kind.value}"
                )


def guardrail_policy(guardrails: Mapping[str, str]) -> str:
    """The guardrail that Bedrock applies to every model call of the accounts below, by Region.

    Callers' own tags choose nothing: `ignore` scans the whole input, `honor` would scan what they mark.
    """
    regions = {
        region: {"config_1": {"identifier": {"@@assign": arn}, "input_tags": {"@@assign": "ignore"}}}
        for region, arn in sorted(guardrails.items())
    }
    return json.dumps({"bedrock": {"guardrail_inference": regions}}, separators=(",", ":"))
