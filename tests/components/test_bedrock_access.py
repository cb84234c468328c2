"""Access to models as a table: the right role, profile and guardrail; every single change is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.bedrock_access import ProfiledModel, guardrail_statements, invoke_statements, model_arns, source_arn
from components.policy_document import document
from components.service_endpoints import bedrock_endpoint_policies
from stacks.local.policy_evaluator import Request, evaluate

ACCOUNT, REGION = "123456789012", "us-east-1"
PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/abc"
GUARDRAIL = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/g1"
MODEL: ProfiledModel = {
    "id": "nova-lite",
    "foundation_model": "amazon.nova-lite-v1:0",
    "geo_profile": "",
    "destination_regions": [REGION],
}
FOUNDATION = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"

IDENTITY = json.loads(
    document(*invoke_statements(MODEL, PROFILE), *guardrail_statements(MODEL, PROFILE, GUARDRAIL, "3"))
)
ENDPOINT = json.loads(
    bedrock_endpoint_policies(ACCOUNT, ["gateway"], [PROFILE], model_arns(MODEL), GUARDRAIL)["bedrock-runtime"]
)


def _allowed(**changes: Any) -> bool:
    asked: dict[str, Any] = {
        "role": "gateway",
        "action": "bedrock:InvokeModel",
        "resource": PROFILE,
        "guardrail": f"{GUARDRAIL}:3",
        "through": None,
        **changes,
    }
    context = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{asked['role']}", "aws:PrincipalAccount": ACCOUNT}
    if asked["guardrail"]:
        context["bedrock:GuardrailIdentifier"] = asked["guardrail"]
    if asked["through"]:
        context["bedrock:InferenceProfileArn"] = asked["through"]
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{asked['role']}/session"
    request = Request(caller, asked["action"], asked["resource"], context, resource_account=ACCOUNT)
    return evaluate(request, identity=[IDENTITY], endpoint=[ENDPOINT]).allowed


def test_the_gateway_calls_the_profile_and_the_model_behind_it() -> None:
    assert _allowed()
    assert _allowed(action="bedrock:InvokeModelWithResponseStream")
    assert _allowed(resource=FOUNDATION, through=PROFILE)


REFUSED: dict[str, dict[str, Any]] = {
    "no guardrail": {"guardrail": None},
    "another guardrail": {"guardrail": f"{GUARDRAIL}2:3"},
    "an older version of it": {"guardrail": f"{GUARDRAIL}:2"},
    "its draft": {"guardrail": f"{GUARDRAIL}:DRAFT"},
    "the model directly": {"resource": FOUNDATION},
    "the model through another profile": {"resource": FOUNDATION, "through": f"{PROFILE}d"},
    "another profile": {"resource": f"{PROFILE}d"},
    "another model": {"resource": f"{FOUNDATION}-large", "through": PROFILE},
    "another role": {"role": "gateway-migrate"},
    "another action": {"action": "bedrock:CreateModelCustomizationJob"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_single_change_is_refused(what: str) -> None:
    assert not _allowed(**REFUSED[what])


def test_a_geographic_profile_names_the_model_in_every_region_it_may_run_in() -> None:
    model: ProfiledModel = {
        **MODEL,
        "geo_profile": "us.amazon.nova-lite-v1:0",
        "destination_regions": ["us-east-1", "us-west-2"],
    }

    assert source_arn(model, ACCOUNT, REGION).endswith(f"{ACCOUNT}:inference-profile/us.amazon.nova-lite-v1:0")
    assert [arn.split(":")[3] for arn in model_arns(model)] == ["us-east-1", "us-west-2"]
    assert source_arn(MODEL, ACCOUNT, REGION) == FOUNDATION
