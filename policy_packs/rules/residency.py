"""Where data may go: the regions a stack may use, and the geographies through which AWS may route a call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES
from policy_packs.region import AWS_PROVIDER
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.rules.allowed_model import BATCH_JOB, MODEL_PATHS, named_models, unreadable_permissions
from policy_packs.rules.bedrock import GUARDRAIL, INFERENCE_PROFILE
from policy_packs.rules.bedrock_agent import AGENT
from policy_packs.tristate import any_of, negate
from policy_packs.view import MISSING

_GUARDRAIL_PROFILE: Final = "crossRegionConfig.guardrailProfileIdentifier"
# Beginnings by which AWS names the geography of an inference profile or of a guardrail's profile.
_GEOGRAPHY: Final = r"(?:.*/)?(global|us-gov|us|eu|apac|au|jp|ca|sa|me|af|il|uk|in)\.[a-z0-9-]+\..*"
_CONTROLS = Controls(
    soc2=("C1.1",),
    iso27001_2022=("A.5.34", "A.5.23"),
    nist_800_53_r5=("AC-4", "SA-9(5)"),
    owasp_llm=("LLM02:2026",),
)


def _texts(setting: object) -> tuple[str, ...]:
    return tuple(str(one) for one in setting) if isinstance(setting, list | tuple) else ()


def _within_geography(resource: Resource) -> Iterator[Outcome]:
    unreadable = list(unreadable_permissions(resource))
    yield from unreadable
    named = [*named_models(resource), *resource.at(_GUARDRAIL_PROFILE).items()]
    if not named and not unreadable:
        yield NotApplicable("names neither model nor profile")
        return
    allowed = _texts(resource.settings["allowed_geographies"])
    for profile in named:
        inside = any_of(negate(profile.matches(_GEOGRAPHY)), *(profile.matches(_in(one)) for one in allowed))
        yield from demand(inside, "lets AWS route calls out of the geographies that are allowed", profile)


def _in(geography: str) -> str:
    return rf"(?:.*/)?{geography}\.[a-z0-9-]+\..*"


def _profile(source: str) -> Resource:
    return Resource.example(INFERENCE_PROFILE, {"modelSource": {"copyFrom": source}})


def _guardrail(profile: str) -> Resource:
    return Resource.example(GUARDRAIL, {"crossRegionConfig": {"guardrailProfileIdentifier": profile}})


def _permission(action: str, resource: str) -> Resource:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": json.dumps({"Statement": [statement]})})


_OF_US = "arn:aws:bedrock:eu-central-1:111122223333:inference-profile"
_NOVA = "amazon.nova-lite-v1:0"

GEOGRAPHY = Rule(
    name="bedrock-require-allowed-geography",
    description="No inference profile, guardrail profile or permission lets AWS route a call out of our geographies.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Use the model of the region, or the profile of an allowed geography; never a global one.",
    settings={"allowed_geographies": ["us", "eu"]},
    resource_types=(*MODEL_PATHS, GUARDRAIL, *IDENTITY_POLICY_TYPES),
    check=_within_geography,
    obeys={
        "a model of the region": _profile(f"arn:aws:bedrock:eu-central-1::foundation-model/{_NOVA}"),
        "a profile of an allowed geography": _profile(f"{_OF_US}/eu.{_NOVA}"),
        "a guardrail's profile of an allowed geography": _guardrail("eu.guardrail.v1:0"),
        "an agent on a model of the region": Resource.example(AGENT, {"foundationModel": _NOVA}),
        "a job on an allowed profile": Resource.example(BATCH_JOB, {"modelId": f"us.{_NOVA}"}),
        "a permission for an allowed profile": _permission("bedrock:InvokeModel", f"{_OF_US}/eu.{_NOVA}"),
    },
    breaks={
        "a global profile": _profile(f"{_OF_US}/global.{_NOVA}"),
        "a global profile by its id": _profile(f"global.{_NOVA}"),
        "a foreign geography": _profile(f"{_OF_US}/apac.{_NOVA}"),
        "a geography that only begins like ours": _profile(f"{_OF_US}/us-gov.{_NOVA}"),
        "a guardrail's profile elsewhere": _guardrail(
            "arn:aws:bedrock:x:111122223333:guardrail-profile/jp.guardrail.v1:0"
        ),
        "an agent on a global profile": Resource.example(AGENT, {"foundationModel": f"global.{_NOVA}"}),
        "a job on a global profile": Resource.example(BATCH_JOB, {"modelId": f"{_OF_US}/global.{_NOVA}"}),
        "permissions that cannot be read": Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": "{"}),
        "a permission for a global profile": _permission("bedrock:Invoke*", f"{_OF_US}/global.{_NOVA}"),
    },
    neighbours={
        "a guardrail that stays in its region": Resource.example(GUARDRAIL, {}),
        "a profile that may only be read": _permission("bedrock:GetInferenceProfile", f"{_OF_US}/global.{_NOVA}"),
        "a model whose name has a geography inside": _profile(
            "arn:aws:bedrock:eu-central-1::foundation-model/x.us.y-1"
        ),
    },
)


def _in_region(stack: Stack) -> Iterator[Outcome]:
    providers = _saying(stack.of_type(AWS_PROVIDER))
    placed = _saying(one for one in stack.resources if one.type.startswith("aws:"))
    if not placed and not providers:
        yield NotApplicable("nothing in the stack says its region")
        return
    own = _own_regions(providers) or _own_regions(placed)[:1]
    for one in (*providers, *placed):
        region = one.at("region")
        allowed = _texts(one.settings["allowed_regions"]) or own
        yield from demand(region.equals(*allowed), "stands outside the regions that are allowed", region, one.urn)


def _saying(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    return tuple(one for one in resources if one.at("region").value is not MISSING)


def _own_regions(resources: Iterable[Resource]) -> tuple[str, ...]:
    """The regions that are named, the most common one first."""
    named = Counter(one.at("region").text for one in resources)
    return tuple(region for region, _ in named.most_common() if region)


def _at(kind: str, region: str, name: str = "one") -> Resource:
    return Resource.example(kind, {"region": region}, name)


_HOME, _ELSEWHERE, _BUCKET = "eu-central-1", "us-east-1", "aws:s3/bucket:Bucket"

REGIONS = StackRule(
    name="stack-require-allowed-regions",
    description="Every resource stands in a region that is allowed; unless configured, in that of a provider.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Leave the resource's region out, or add the region to allowed_regions after review.",
    settings={"allowed_regions": []},
    check=_in_region,
    obeys={
        "the provider's region": (_at(AWS_PROVIDER, _HOME, "provider"), Resource.example(_BUCKET, {})),
        "the region of one of two providers": (
            _at(AWS_PROVIDER, _HOME, "provider"),
            _at(AWS_PROVIDER, _ELSEWHERE, "other-provider"),
            _at(_BUCKET, _ELSEWHERE),
        ),
        "one region for all, where no provider says its own": (_at(_BUCKET, _HOME), _at(_BUCKET, _HOME, "another")),
        "the provider's region, spelt out": (_at(AWS_PROVIDER, _HOME, "provider"), _at(_BUCKET, _HOME)),
    },
    breaks={
        "another region": (_at(AWS_PROVIDER, _HOME, "provider"), _at(_BUCKET, _ELSEWHERE)),
        "one resource elsewhere, where no provider says its region": (
            _at(_BUCKET, _ELSEWHERE, "elsewhere"),
            _at(_BUCKET, _HOME, "one"),
            _at(_BUCKET, _HOME, "another"),
        ),
        "a provider whose region is empty": (_at(AWS_PROVIDER, "", "provider"),),
    },
    neighbours={
        "a region that is no place of ours": (
            Resource.example("kubernetes:core/v1:ConfigMap", {"region": _ELSEWHERE}),
        ),
        "nothing says its region": (Resource.example(_BUCKET, {}),),
    },
)
