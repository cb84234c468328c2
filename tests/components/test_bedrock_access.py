"""Access to models as a table: the right role, profile, guardrail and endpoint; every single change is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.bedrock_access import (
    ProfiledModel,
    apply_guardrail,
    deny_outside,
    deny_unguarded,
    endpoint_policies,
    invoke_statements,
    model_arns,
    profile_name,
    source_arn,
)
from components.policy_document import document
from stacks.local.policy_evaluator import Request, evaluate

ACCOUNT, REGION = "123456789012", "us-east-1"
PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/abc"
OF_WORKLOAD = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/workload"
EMBEDDING_PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/embed"
GUARDRAIL = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/g1"
ENDPOINT_ID = "vpce-0123456789abcdef0"
MODEL: ProfiledModel = {
    "id": "nova-lite",
    "foundation_model": "amazon.nova-lite-v1:0",
    "geo_profile": "",
    "destination_regions": [REGION],
    "per_workload": True,
}
SECOND: ProfiledModel = {**MODEL, "id": "nova-pro", "foundation_model": "amazon.nova-pro-v1:0"}
EMBEDDING: ProfiledModel = {
    **MODEL,
    "id": "titan-embed",
    "foundation_model": "amazon.titan-embed-text-v2:0",
    "per_workload": False,
}
FOUNDATION = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
TITAN = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
PROFILES = [PROFILE, OF_WORKLOAD]

STATEMENTS = [
    apply_guardrail([GUARDRAIL]),
    *invoke_statements(MODEL, PROFILES),
    deny_unguarded(MODEL, PROFILES, GUARDRAIL, "3"),
    *invoke_statements(EMBEDDING, [EMBEDDING_PROFILE]),
    deny_outside(ENDPOINT_ID),
]
IDENTITY = json.loads(document(*STATEMENTS))
ENDPOINT = json.loads(
    endpoint_policies(
        ACCOUNT,
        ["gateway"],
        [*PROFILES, EMBEDDING_PROFILE],
        [*model_arns(MODEL), *model_arns(EMBEDDING)],
        [GUARDRAIL],
    )["bedrock-runtime"]
)


def _allowed(**changes: Any) -> bool:
    asked: dict[str, Any] = {
        "role": "gateway",
        "action": "bedrock:InvokeModel",
        "resource": PROFILE,
        "guardrail": f"{GUARDRAIL}:3",
        "through": None,
        "endpoint": ENDPOINT_ID,
        **changes,
    }
    context = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{asked['role']}", "aws:PrincipalAccount": ACCOUNT}
    if asked["guardrail"]:
        context["bedrock:GuardrailIdentifier"] = asked["guardrail"]
    if asked["through"]:
        context["bedrock:InferenceProfileArn"] = asked["through"]
    if asked["endpoint"]:
        context["aws:SourceVpce"] = asked["endpoint"]
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{asked['role']}/session"
    request = Request(caller, asked["action"], asked["resource"], context, resource_account=ACCOUNT)
    return evaluate(request, identity=[IDENTITY], endpoint=[ENDPOINT]).allowed


def test_the_gateway_calls_the_profile_and_the_model_behind_it() -> None:
    assert _allowed()
    assert _allowed(action="bedrock:InvokeModelWithResponseStream")
    assert _allowed(resource=FOUNDATION, through=PROFILE)
    assert _allowed(resource=OF_WORKLOAD)
    assert _allowed(resource=FOUNDATION, through=OF_WORKLOAD)


def test_embeddings_need_no_guardrail_and_cannot_be_had_from_outside() -> None:
    assert _allowed(resource=EMBEDDING_PROFILE, guardrail=None)
    assert _allowed(resource=TITAN, through=EMBEDDING_PROFILE, guardrail=None)
    assert not _allowed(resource=EMBEDDING_PROFILE, guardrail=None, endpoint=None)
    assert not _allowed(resource=FOUNDATION, through=EMBEDDING_PROFILE, guardrail=None)


REFUSED: dict[str, dict[str, Any]] = {
    "no guardrail": {"guardrail": None},
    "no guardrail through a workload's profile": {"guardrail": None, "resource": OF_WORKLOAD},
    "no guardrail on the model behind the profile": {"guardrail": None, "resource": FOUNDATION, "through": PROFILE},
    "another guardrail": {"guardrail": f"{GUARDRAIL}2:3"},
    "an older version of it": {"guardrail": f"{GUARDRAIL}:2"},
    "its draft": {"guardrail": f"{GUARDRAIL}:DRAFT"},
    "the model directly": {"resource": FOUNDATION},
    "the model through another profile": {"resource": FOUNDATION, "through": f"{PROFILE}d"},
    "another profile": {"resource": f"{PROFILE}d"},
    "another model": {"resource": f"{FOUNDATION}-large", "through": PROFILE},
    "another role": {"role": "gateway-migrate"},
    "another action": {"action": "bedrock:CreateModelCustomizationJob"},
    "another endpoint": {"endpoint": "vpce-0fedcba9876543210"},
    "no endpoint at all": {"endpoint": None},
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_single_change_is_refused(what: str) -> None:
    assert not _allowed(**REFUSED[what])


def test_two_guarded_models_make_one_document_with_a_name_for_every_statement() -> None:
    statements = [
        apply_guardrail([GUARDRAIL]),
        *(one for model in (MODEL, SECOND) for one in invoke_statements(model, [PROFILE])),
        *(deny_unguarded(model, [PROFILE], GUARDRAIL, "3") for model in (MODEL, SECOND)),
    ]
    names = [one["Sid"] for one in statements]

    assert len(set(names)) == len(names)
    assert {"DenyNovaLiteWithoutGuardrail", "DenyNovaProWithoutGuardrail"} < set(names)


def test_a_geographic_profile_names_the_model_in_every_region_it_may_run_in() -> None:
    model: ProfiledModel = {
        **MODEL,
        "geo_profile": "us.amazon.nova-lite-v1:0",
        "destination_regions": ["us-east-1", "us-west-2"],
    }

    assert source_arn(model, ACCOUNT, REGION).endswith(f"{ACCOUNT}:inference-profile/us.amazon.nova-lite-v1:0")
    assert [arn.split(":")[3] for arn in model_arns(model)] == ["us-east-1", "us-west-2"]
    assert source_arn(MODEL, ACCOUNT, REGION) == FOUNDATION


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)


@given(workload=st.from_regex(r"[a-z][a-z0-9-]{1,22}", fullmatch=True), model=NAMES)
def test_every_profile_has_a_name_that_aws_accepts(workload: str, model: str) -> None:
    name = profile_name("llm-pipelines-staging", workload, model)

    assert re.fullmatch(r"([0-9a-zA-Z][ _-]?)+", name)
    assert len(name) <= 64


@given(first=NAMES, second=NAMES)
def test_two_models_never_share_a_profile_name(first: str, second: str) -> None:
    same = profile_name("llm-pipelines-prod", first) == profile_name("llm-pipelines-prod", second)

    assert same is (first == second)
