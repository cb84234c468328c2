"""The guardrail that Bedrock applies to every model of the account, whoever calls and whatever the caller names.

Second to the permissions, which tie our own roles to it: this also holds for a role that somebody adds. It
exists once per account and region. Cloud Control, because the AWS provider has no resource for it yet:
AWS::Bedrock::EnforcedGuardrailConfiguration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

TYPE_NAME = "AWS::Bedrock::EnforcedGuardrailConfiguration"


class EnforcedGuardrailArgs(TypedDict):
    guardrail_arn: pulumi.Input[str]
    guardrail_version: pulumi.Input[str]
    embedding_models: Sequence[str]


class EnforcedGuardrail(Component):
    """The account's enforcement of one guardrail in one version."""

    def __init__(self, name: str, args: EnforcedGuardrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        aws.cloudcontrol.Resource(
            f"{name}-configuration",
            type_name=TYPE_NAME,
            desired_state=pulumi.Output.all(args["guardrail_arn"], args["guardrail_version"]).apply(
                lambda known: desired_state(known[0], known[1], args["embedding_models"])
            ),
            opts=self.child(),
        )
        self.register_outputs({})


def desired_state(guardrail_arn: str, guardrail_version: str, embedding_models: Sequence[str]) -> str:
    """All models but those that only embed: they know no guardrail, and a call of theirs would be refused.

    Everything is judged, system prompt and messages, so that no caller chooses what is looked at.
    """
    if not guardrail_version.isdigit():
        raise ValueError(f"guardrail_version must be a number, never DRAFT (got {guardrail_version!r})")
    return json.dumps(
        {
            "GuardrailIdentifier": guardrail_arn,
            "GuardrailVersion": guardrail_version,
            "ModelEnforcement": {"IncludedModels": ["ALL"], "ExcludedModels": sorted(embedding_models)},
            "SelectiveContentGuarding": {"System": "COMPREHENSIVE", "Messages": "COMPREHENSIVE"},
        },
        sort_keys=True,
    )
