"""Which models may be called at all: the list of a pack's configuration, wherever a model is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, identity_documents
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.rules.bedrock import INFERENCE_PROFILE
from policy_packs.rules.bedrock_agent import AGENT
from policy_packs.rules.bedrock_permissions import INVOKE, invoking
from policy_packs.tristate import Truth
from policy_packs.view import UNKNOWN, View

BATCH_JOB: Final = "aws:bedrockmodel/invocationJob:InvocationJob"
MODEL_PATHS: Final = {INFERENCE_PROFILE: "modelSource.copyFrom", AGENT: "foundationModel", BATCH_JOB: "modelId"}
# A model of our own, or a profile that names its model where it is made.
_OWN: Final = (
    r"arn:[^:]*:bedrock:[^:*]*:\d{12}:"
    r"(application-inference-profile|custom-model|imported-model|provisioned-model)/[^*?]+"
)
_GEOGRAPHY: Final = re.compile(r"^(global|us-gov|us|eu|apac|au|jp|ca|sa|me|af|il|uk|in)\.(?=[a-z0-9-]+\.)")


def _allowed(resource: Resource) -> Iterator[Outcome]:
    unreadable = list(unreadable_permissions(resource))
    yield from unreadable
    named = list(named_models(resource))
    if not named and not unreadable:
        yield NotApplicable("names no model")
        return
    patterns = resource.settings["allowed_models"]
    listed = tuple(str(one) for one in patterns) if isinstance(patterns, list | tuple) else ()
    for model in named:
        yield from demand(_is_allowed(model, listed), "is not an allowed model", model)


def unreadable_permissions(resource: Resource) -> Iterator[Outcome]:
    """What keeps permissions from being judged: a model may be named in it."""
    for document in () if resource.type in MODEL_PATHS else identity_documents(resource):
        yield from document.outcomes()


def named_models(resource: Resource) -> Iterator[View]:
    """Each model or profile that may be called; unknown where a statement may not be about calls at all."""
    if resource.type in MODEL_PATHS:
        yield resource.at(MODEL_PATHS[resource.type])
        return
    for document in identity_documents(resource):
        if document.view.is_unknown:
            yield document.view
        for statement in invoking(document):
            is_doubtful = Truth.UNKNOWN in (statement.allows(), statement.covers(*INVOKE))
            yield from (View(UNKNOWN, one.path) if is_doubtful else one for one in statement.resources())


def _is_allowed(model: View, listed: tuple[str, ...]) -> Truth:
    if model.is_unknown:
        return Truth.UNKNOWN
    name = _GEOGRAPHY.sub("", model.text.rpartition("/")[2])
    return Truth.of(model.matches(_OWN) is Truth.YES or any(fnmatchcase(name, one) for one in listed))


def _profile(source: object) -> Resource:
    return Resource.example(INFERENCE_PROFILE, {"modelSource": {"copyFrom": source}})


def _permission(*resources: str, effect: str = "Allow", action: str = "bedrock:InvokeModel") -> Resource:
    statement = {"Effect": effect, "Action": action, "Resource": list(resources)}
    return Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": json.dumps({"Statement": [statement]})})


_FOUNDATION = "arn:aws:bedrock:eu-central-1::foundation-model"
_ACCOUNT = "arn:aws:bedrock:eu-central-1:111122223333"
_NOVA, _OTHER = "amazon.nova-lite-v1:0", "vendor.large-v9:0"

ALLOWED_MODEL = Rule(
    name="bedrock-invoke-require-allowed-model",
    description="A profile, an agent, a job or a permission to call names models that are on the list.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.3",),
        iso27001_2022=("A.5.15", "A.8.9"),
        nist_800_53_r5=("AC-6", "CM-7(5)"),
        owasp_llm=("LLM04:2026", "LLM06:2026"),
        atlas=("AML.T0010.003", "AML.T0034", "AML.M0019"),
    ),
    remediation="Take an allowed model, or add this one to allowed_models once it is reviewed.",
    settings={"allowed_models": [_NOVA, "amazon.titan-embed-text-v2:0"]},
    resource_types=(*MODEL_PATHS, *IDENTITY_POLICY_TYPES),
    check=_allowed,
    obeys={
        "a foundation model": _profile(f"{_FOUNDATION}/{_NOVA}"),
        "a profile of a geography": _profile(f"{_ACCOUNT}:inference-profile/eu.{_NOVA}"),
        "an agent": Resource.example(AGENT, {"foundationModel": _NOVA}),
        "a job": Resource.example(BATCH_JOB, {"modelId": _NOVA}),
        "a permission": _permission(f"{_FOUNDATION}/{_NOVA}"),
        "a profile of ours and a model of ours": _permission(
            f"{_ACCOUNT}:application-inference-profile/abc123", f"{_ACCOUNT}:custom-model/summariser"
        ),
    },
    breaks={
        "another foundation model": _profile(f"{_FOUNDATION}/{_OTHER}"),
        "another model through a geography": _profile(f"{_ACCOUNT}:inference-profile/eu.{_OTHER}"),
        "no model at all": Resource.example(INFERENCE_PROFILE, {}),
        "an agent on another model": Resource.example(AGENT, {"foundationModel": _OTHER}),
        "a job on another model": Resource.example(BATCH_JOB, {"modelId": _OTHER}),
        "a permission for another model": _permission(f"{_FOUNDATION}/{_NOVA}", f"{_FOUNDATION}/{_OTHER}"),
        "permissions that cannot be read": Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": "{"}),
        "a permission for every model": _permission(f"{_FOUNDATION}/*"),
        "a permission for everything": _permission("*", action="bedrock:*"),
        "every profile of ours": _permission(f"{_ACCOUNT}:application-inference-profile/*"),
        "a name that only begins alike": _profile(f"{_FOUNDATION}/{_NOVA}-preview"),
    },
    neighbours={
        "a deny of another model": _permission(f"{_FOUNDATION}/{_OTHER}", effect="Deny"),
        "another model that may only be looked at": _permission(
            f"{_FOUNDATION}/{_OTHER}", action="bedrock:GetFoundationModel"
        ),
        "a guardrail names no model": Resource.example("aws:bedrock/guardrail:Guardrail"),
    },
)
