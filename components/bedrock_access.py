"""Access to Bedrock models: application inference profiles, and permissions for exactly those.

A model is called through a profile only: cost has an owner, and a direct call has no right. Every workload
has its own profile of every chat model; the platform's own serve what all workloads share. A chat model
answers only with our guardrail in its numbered version, and only inside our network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import ANYONE, Statement, allow, deny, document, role_arn

INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
PROFILE_NAME_CHARS_MAX = 64
SHARED = "gateway"


class ProfiledModel(TypedDict):
    """A Bedrock model: where it may run follows from its destination regions."""

    id: str
    foundation_model: str
    geo_profile: str
    destination_regions: Sequence[str]
    per_workload: bool


class BedrockAccessArgs(TypedDict):
    account_id: str
    region: str
    profile_prefix: str
    models: Sequence[ProfiledModel]
    workloads: Sequence[str]
    tags: Mapping[str, str]


class BedrockAccess(Component):
    """The profiles: by model what all share, and by model and workload what one pays for."""

    profile_arns: dict[str, pulumi.Output[str]]
    workload_profile_arns: dict[str, dict[str, pulumi.Output[str]]]

    def __init__(self, name: str, args: BedrockAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.profile_arns = {
            model["id"]: self._profile(f"{model['id']}-profile", model, SHARED, "platform", args)
            for model in args["models"]
        }
        self.workload_profile_arns = {
            model["id"]: {
                workload: self._profile(f"{workload}-{model['id']}-profile", model, workload, workload, args)
                for workload in args["workloads"]
            }
            for model in args["models"]
            if model["per_workload"]
        }
        self.register_outputs(dict(self.profile_arns))

    def every_profile_arn(self, model_id: str) -> list[pulumi.Output[str]]:
        """All profiles of a model, the shared one first."""
        return [self.profile_arns[model_id], *self.workload_profile_arns.get(model_id, {}).values()]

    def _profile(
        self, name: str, model: ProfiledModel, app: str, tenant: str, args: BedrockAccessArgs
    ) -> pulumi.Output[str]:
        owner = () if app == SHARED else (app,)
        profile = aws.bedrock.InferenceProfile(
            name,
            name=profile_name(args["profile_prefix"], *owner, model["id"]),
            model_source={"copy_from": source_arn(model, args["account_id"], args["region"])},
            tags={**args["tags"], "tenant": tenant, "app": app, "model": model["id"]},
            opts=self.child(),
        )
        return profile.arn


def profile_name(*parts: str) -> str:
    """As AWS spells names of profiles: letters and digits with single hyphens between, 64 at most."""
    wanted = "-".join(parts)
    name = re.sub(r"[^0-9a-zA-Z]+", "-", wanted)
    if name == wanted and len(name) <= PROFILE_NAME_CHARS_MAX:
        return name
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{name[: PROFILE_NAME_CHARS_MAX - 9].strip('-')}-{digest}"


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


def invoke_statements(model: ProfiledModel, profile_arns: Sequence[str]) -> tuple[Statement, Statement]:
    """The profiles, and the model behind them only when called through one of them."""
    word = _word(model["id"])
    return (
        allow(f"Invoke{word}", INVOKE, profile_arns),
        allow(
            f"Invoke{word}ThroughProfile",
            INVOKE,
            model_arns(model),
            when={"ArnEquals": {"bedrock:InferenceProfileArn": profile_arns}},
        ),
    )


def apply_guardrail(guardrail_arns: Sequence[str]) -> Statement:
    """The right to apply the guardrail, and the profiles it runs across, if any. Once for all models."""
    return allow("ApplyGuardrail", ["bedrock:ApplyGuardrail"], guardrail_arns)


def deny_unguarded(
    model: ProfiledModel, profile_arns: Sequence[str], guardrail_arn: str, guardrail_version: str
) -> Statement:
    """No answer of this model without the guardrail: through no profile, and not directly.

    Embeddings know no guardrail: a Deny of everything unguarded would end retrieval, so each chat model is named.
    """
    return deny(
        f"Deny{_word(model['id'])}WithoutGuardrail",
        INVOKE,
        [*profile_arns, *model_arns(model)],
        when={"StringNotEquals": {"bedrock:GuardrailIdentifier": f"{guardrail_arn}:{guardrail_version}"}},
    )


def deny_outside(endpoint_id: str) -> Statement:
    """Stolen credentials are worth nothing elsewhere: models answer through our own endpoint only."""
    return deny(
        "DenyModelsOutsideEndpoint",
        ["bedrock:ApplyGuardrail", *INVOKE],
        "*",
        when={"StringNotEquals": {"aws:SourceVpce": endpoint_id}, "BoolIfExists": {"aws:ViaAWSService": "false"}},
    )


def endpoint_policies(
    account_id: str,
    roles: Sequence[str],
    profile_arns: Sequence[str],
    models: Sequence[str],
    guardrail_arns: Sequence[str],
) -> dict[str, str]:
    """Of Bedrock's VPC endpoints: the gateway's roles, through our profiles, to the models behind them.

    A model's ARN names no account, so the resource account cannot be the test here, as it is elsewhere.
    """
    ours = {"aws:PrincipalAccount": account_id}
    callers = {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]}
    runtime = document(
        allow("Profiles", INVOKE, profile_arns, principal=ANYONE, when={"StringEquals": ours, "ArnEquals": callers}),
        allow(
            "ModelsThroughProfiles",
            INVOKE,
            models,
            principal=ANYONE,
            when={"StringEquals": ours, "ArnEquals": {"bedrock:InferenceProfileArn": profile_arns}},
        ),
        allow(
            "Guardrail",
            ["bedrock:ApplyGuardrail"],
            guardrail_arns,
            principal=ANYONE,
            when={"StringEquals": ours, "ArnEquals": callers},
        ),
    )
    administration = document(
        allow(
            "Read",
            ["bedrock:GetGuardrail", "bedrock:GetInferenceProfile"],
            [guardrail_arns[0], *profile_arns],
            principal=ANYONE,
            when={"StringEquals": ours},
        )
    )
    return {"bedrock-runtime": runtime, "bedrock": administration}


def _word(name: str) -> str:
    return "".join(part.title() for part in name.replace(".", "-").replace("_", "-").split("-"))
