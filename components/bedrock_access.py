"""Access to Bedrock models: one application inference profile a model, and permissions for exactly those.

A model is called through its profile only: cost has an owner, and a direct call has no right. The chat
model answers only with our guardrail in its numbered version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import Statement, allow, deny

INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")


class ProfiledModel(TypedDict):
    """A Bedrock model: where it may run follows from its destination regions."""

    id: str
    foundation_model: str
    geo_profile: str
    destination_regions: Sequence[str]


class BedrockAccessArgs(TypedDict):
    account_id: str
    region: str
    profile_prefix: str
    models: Sequence[ProfiledModel]
    tags: Mapping[str, str]


class BedrockAccess(Component):
    """The profiles, by model id."""

    profile_arns: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: BedrockAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.profile_arns = {model["id"]: self._profile(model, args) for model in args["models"]}
        self.register_outputs(dict(self.profile_arns))

    def _profile(self, model: ProfiledModel, args: BedrockAccessArgs) -> pulumi.Output[str]:
        profile = aws.bedrock.InferenceProfile(
            f"{model['id']}-profile",
            name=f"{args['profile_prefix']}-{model['id']}",
            model_source={"copy_from": source_arn(model, args["account_id"], args["region"])},
            tags={**args["tags"], "app": "gateway", "model": model["id"]},
            opts=self.child(),
        )
        return profile.arn


def source_arn(model: ProfiledModel, account_id: str, region: str) -> str:
    """What a profile is made from: the model in this region, or a geographic profile of AWS."""
    if model["geo_profile"]:
        return f"arn:aws:bedrock:{region}:{account_id}:inference-profile/{model['geo_profile']}"
    return f"arn:aws:bedrock:{region}::foundation-model/{model['foundation_model']}"


def model_arns(model: ProfiledModel) -> list[str]:
    """The model in every region where the profile may run it. A model belongs to no account."""
    return [
        f"arn:aws:bedrock:{region}::foundation-model/{model['foundation_model']}"
        for region in model["destination_regions"]
    ]


def invoke_statements(model: ProfiledModel, profile_arn: str) -> tuple[Statement, Statement]:
    """The profile, and the model behind it only when called through that profile."""
    word = _word(model["id"])
    return (
        allow(f"Invoke{word}", INVOKE, profile_arn),
        allow(
            f"Invoke{word}ThroughProfile",
            INVOKE,
            model_arns(model),
            when={"ArnEquals": {"bedrock:InferenceProfileArn": profile_arn}},
        ),
    )


def guardrail_statements(
    model: ProfiledModel, profile_arn: str, guardrail_arn: str, guardrail_version: str
) -> tuple[Statement, Statement]:
    """The right to apply the guardrail, and no answer of this model without it."""
    return (
        allow("ApplyGuardrail", ["bedrock:ApplyGuardrail"], guardrail_arn),
        deny(
            f"Deny{_word(model['id'])}WithoutGuardrail",
            INVOKE,
            [profile_arn, *model_arns(model)],
            when={"StringNotEquals": {"bedrock:GuardrailIdentifier": f"{guardrail_arn}:{guardrail_version}"}},
        ),
    )


def _word(name: str) -> str:
    return "".join(part.title() for part in name.replace(".", "-").replace("_", "-").split("-"))
