"""Models are called from our network alone: whoever takes a key away finds no door to use it at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.grant import ROLE_POLICY, Grant, grants, serves_only
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand
from policy_packs.rules.bedrock_permissions import MODEL_CALLS
from policy_packs.rules.gateway_bypass import BEDROCK, example_role, example_statement, lets_call, policy_of_role
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

SAGEMAKER: Final = "sagemaker.amazonaws.com"
_NETWORK_KEYS: Final = ("aws:SourceVpce", "aws:SourceVpc")
_VIA_SERVICE: Final = "aws:ViaAWSService"
_NAMED: Final = r"[^*?]+"


def _from_our_network(stack: Stack) -> Iterator[Outcome]:
    calling = [one for one in grants(stack) if lets_call(one) is not Truth.NO]
    if not calling:
        yield NotApplicable("nobody may call a model")
    for grant in calling:
        for document in grant.documents:
            truth = any_of(_is_of_a_service(grant), _is_bound(document))
            message = "lets a model be called from outside our network"
            yield from demand(truth, message, View(None, grant.policy.name), grant.policy.urn)


def _is_of_a_service(grant: Grant) -> Truth:
    """What Bedrock and SageMaker call for us comes through no endpoint of ours."""
    served = (serves_only(one, BEDROCK, SAGEMAKER) for one in grant.holders)
    return all_of(Truth.of(bool(grant.holders)), *served)


def _is_bound(document: Document) -> Truth:
    if document.view.is_unknown or document.problem:
        return Truth.UNKNOWN
    return all_of(*(_is_harmless(document, one) for one in document.statements))


def _is_harmless(document: Document, statement: Statement) -> Truth:
    called = [one for one in MODEL_CALLS if statement.covers(one) is not Truth.NO]
    bound = all_of(
        *(_is_denied_elsewhere(document, action, target) for action in called for target in statement.resources())
    )
    lets_nobody_call = negate(all_of(statement.allows(), statement.covers(*MODEL_CALLS)))
    return any_of(lets_nobody_call, _is_here(statement), bound)


def _is_here(statement: Statement) -> Truth:
    named = [statement.condition(key, "StringEquals", "ForAnyValue:StringEquals") for key in _NETWORK_KEYS]
    return any_of(*(_is_named(one) for one in named))


def _is_denied_elsewhere(document: Document, action: str, target: View) -> Truth:
    return any_of(
        *(all_of(one.denies(), one.covers(action), one.reaches(target), _differs(one)) for one in document.statements)
    )


def _differs(statement: Statement) -> Truth:
    """A Deny for every other network. What services do for us may be left out of it, and nothing else."""
    via = statement.condition(_VIA_SERVICE, "BoolIfExists", "Bool")
    left_out = via.every(lambda one: one.equals("false", False))
    elsewhere = (
        all_of(_is_named(statement.condition(key, "StringNotEquals")), negate(_has_more(statement, key)))
        for key in _NETWORK_KEYS
    )
    return all_of(left_out, any_of(*elsewhere))


def _is_named(values: View) -> Truth:
    return all_of(values.is_given(), values.every(lambda one: one.matches(_NAMED)))


def _has_more(statement: Statement, key: str) -> Truth:
    return statement.has_other_conditions(key, _VIA_SERVICE)


_VPCE: Final = {"aws:SourceVpce": "vpce-0123456789abcdef0"}
_DENY: Final = {
    "Effect": "Deny",
    "Action": "bedrock:*",
    "Resource": "*",
    "Condition": {"StringNotEquals": _VPCE, "BoolIfExists": {_VIA_SERVICE: "false"}},
}


def _denied(**changes: object) -> tuple[Resource, ...]:
    return (example_role("prod-gateway"), policy_of_role(example_statement(), {**_DENY, **changes}))


def _allowed(**condition: object) -> tuple[Resource, ...]:
    return (example_role("prod-gateway"), policy_of_role(example_statement(Condition=condition)))


FROM_OUR_NETWORK = StackRule(
    name="bedrock-invoke-require-own-network",
    description="A permission to call a model holds through our own VPC endpoint, or inside our VPC, and nowhere else.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.20", "A.8.22"),
        nist_800_53_r5=("AC-3", "AC-4", "SC-7"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.T0040", "AML.T0012", "AML.M0019"),
    ),
    remediation="Deny the same actions when aws:SourceVpce is not the endpoint's id.",
    check=_from_our_network,
    obeys={
        "a deny elsewhere": _denied(),
        "a deny elsewhere, whoever calls": _denied(Condition={"StringNotEquals": _VPCE}),
        "a deny in other networks": _denied(Condition={"StringNotEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}),
        "a deny of this model": _denied(Resource=example_statement()["Resource"]),
        "an endpoint in the allow": _allowed(StringEquals=_VPCE),
        "a deny elsewhere, with a plain false": _denied(
            Condition={"StringNotEquals": _VPCE, "Bool": {_VIA_SERVICE: False}}
        ),
        "any endpoint in the allow": _allowed(**{"ForAnyValue:StringEquals": _VPCE}),
        "a network in the allow": _allowed(StringEquals={"AWS:sourcevpc": "vpc-1"}),
        "an agent of Bedrock": (example_role("agent", BEDROCK), policy_of_role(example_statement())),
        "a training job": (example_role("training", SAGEMAKER, BEDROCK), policy_of_role(example_statement())),
    },
    breaks={
        "no condition": (example_role("prod-gateway"), policy_of_role(example_statement())),
        "an endpoint, if there is one": _allowed(StringEqualsIfExists=_VPCE),
        "all endpoints of none": _allowed(**{"ForAllValues:StringEquals": _VPCE}),
        "every endpoint": _allowed(StringLike={"aws:SourceVpce": "*"}),
        "an endpoint that is a pattern": _allowed(StringEquals={"aws:SourceVpce": ["vpce-1", "vpce-*"]}),
        "a deny at the endpoint": _denied(Condition={"StringEquals": _VPCE}),
        "a deny of other actions": _denied(Action="bedrock:ApplyGuardrail"),
        "a deny of another model": _denied(Resource="arn:aws:bedrock:eu-west-1::foundation-model/other"),
        "a deny that leaves the model out": _denied(Resource=None, NotResource=example_statement()["Resource"]),
        "a deny on Mondays": _denied(
            Condition={"StringNotEquals": _VPCE, "DateLessThan": {"aws:CurrentTime": "2026-01-05T00:00:00Z"}}
        ),
        "a deny of what services do": _denied(
            Condition={"StringNotEquals": _VPCE, "BoolIfExists": {_VIA_SERVICE: "true"}}
        ),
        "a deny of what services do, and no more": _denied(
            Condition={"StringNotEquals": _VPCE, "Bool": {_VIA_SERVICE: True}}
        ),
        "an allow instead of the deny": _denied(Effect="Allow"),
        "streaming escapes": (
            example_role("prod-gateway"),
            policy_of_role(example_statement("bedrock:InvokeModel*"), {**_DENY, "Action": "bedrock:InvokeModel"}),
        ),
        "a model endpoint, and a deny of Bedrock": (
            example_role("prod-gateway"),
            policy_of_role(example_statement("sagemaker:InvokeEndpoint"), _DENY),
        ),
        "one model of two": (
            example_role("prod-gateway"),
            policy_of_role(
                example_statement(Resource=["arn:aws:bedrock:eu-west-1::foundation-model/a", "arn:aws:bedrock:::b"]),
                {**_DENY, "Resource": "arn:aws:bedrock:eu-west-1::foundation-model/*"},
            ),
        ),
        "Bedrock, and whoever runs a task": (
            example_role("agent", BEDROCK, "ecs-tasks.amazonaws.com"),
            policy_of_role(example_statement()),
        ),
        "a role of another stack": (
            Resource.example(
                ROLE_POLICY, {"role": "app", "policy": policy_of_role(example_statement()).at("policy").text}
            ),
        ),
        "a user": (
            Resource.example(
                "aws:iam/userPolicy:UserPolicy", {"policy": policy_of_role(example_statement()).at("policy").text}
            ),
        ),
    },
    neighbours={
        "objects from anywhere": (example_role("worker"), policy_of_role(example_statement("s3:GetObject"))),
        "a look at models from anywhere": (
            example_role("auditor"),
            policy_of_role(example_statement("bedrock:ListGuardrails")),
        ),
    },
)
