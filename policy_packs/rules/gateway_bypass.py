"""Models are called by the gateway and by nobody else: whoever goes round it is neither checked nor counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.grant import (
    ATTACHMENT,
    MANAGED_POLICY,
    ROLE,
    ROLE_POLICY,
    Grant,
    Holder,
    grants,
    holders_by,
    serves_only,
)
from policy_packs.policy_document import Document
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand, forbid
from policy_packs.rules.bedrock_permissions import MODEL_CALLS
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

BEDROCK: Final = "bedrock.amazonaws.com"
# Policies of AWS with which a model can be called.
_CALLS_MODELS: Final = (
    r"arn:[^:]*:iam::aws:policy/(.*/)?(AdministratorAccess.*|PowerUserAccess|.*(Bedrock|SageMaker).*)"
)
_GATEWAY_ROLES: Final = ".*-gateway(-ingest)?"


def _only_the_gateway(stack: Stack) -> Iterator[Outcome]:
    calling = [one for one in grants(stack) if lets_call(one) is not Truth.NO]
    attached = [one for one in stack.of_type(ROLE, ATTACHMENT) if _attaches(one) is not Truth.NO]
    if not calling and not attached:
        yield NotApplicable("nobody may call a model")
    for grant in calling:
        truth = any_of(negate(lets_call(grant)), _all_gateways(grant.policy, grant.holders))
        message = "lets a model be called past the gateway"
        yield from demand(truth, message, View(None, grant.policy.name), grant.policy.urn)
    for one in attached:
        holders = (Holder.of(one),) if one.type == ROLE else holders_by(stack, one)
        found = all_of(_attaches(one), negate(_all_gateways(one, holders)))
        yield from forbid(found, "attaches a policy of AWS that calls models", View(None, one.name), one.urn)


def lets_call(grant: Grant) -> Truth:
    return any_of(*(_calls(document) for document in grant.documents))


def _calls(document: Document) -> Truth:
    if document.view.is_unknown or document.problem:
        return Truth.UNKNOWN
    return any_of(*(all_of(one.allows(), one.covers(*MODEL_CALLS)) for one in document.statements))


def _attaches(resource: Resource) -> Truth:
    attached = resource.at("managedPolicyArns" if resource.type == ROLE else "policyArn")
    return attached.any(lambda one: one.matches(_CALLS_MODELS))


def _all_gateways(policy: Resource, holders: tuple[Holder, ...]) -> Truth:
    """What nobody holds yet may be attached to anybody. A role of Bedrock's own works on the gateway's behalf."""
    names = str(policy.settings["gateway_role_names"])
    gateways = (any_of(one.name.matches(names), serves_only(one, BEDROCK)) for one in holders)
    return all_of(Truth.of(bool(holders)), *gateways)


def trust(*services: str) -> str:
    """A trust policy for examples."""
    principal = {"Service": list(services)}
    return json.dumps({"Statement": {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}})


def example_role(name: str, *services: str, **props: object) -> Resource:
    """A role for examples; what follows is a statement and a policy of it."""
    trusted = trust(*(services or ("ecs-tasks.amazonaws.com",)))
    return Resource.example(ROLE, {"name": name, "assumeRolePolicy": trusted, **props}, "role")


def example_statement(*actions: str, **changes: object) -> dict[str, object]:
    arn = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
    return {"Effect": "Allow", "Action": list(actions) or ["bedrock:InvokeModel"], "Resource": arn, **changes}


def policy_of_role(*statements: object, type_: str = ROLE_POLICY) -> Resource:
    return Resource.example(type_, {"policy": json.dumps({"Statement": statements})}, "permissions", role="role")


_MANAGED: Final = policy_of_role(example_statement(), type_=MANAGED_POLICY)
_ATTACHED: Final = Resource.example(ATTACHMENT, {}, "attachment", role="role", policyArn="permissions")


def _attached(policy: str) -> Resource:
    return Resource.example(ATTACHMENT, {"policyArn": f"arn:aws:iam::aws:policy/{policy}"}, "attachment", role="role")


NO_BYPASS = StackRule(
    name="bedrock-invoke-require-gateway-role",
    description="Only roles of the gateway may call models, agents, flows or model endpoints.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.18", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM06:2026", "LLM02:2026", "LLM03:2026"),
        atlas=("AML.T0040", "AML.T0034", "AML.T0012", "AML.M0019", "AML.M0004"),
    ),
    remediation="Call the gateway; if this is one, name its role as the setting gateway_role_names describes.",
    settings={"gateway_role_names": _GATEWAY_ROLES},
    check=_only_the_gateway,
    obeys={
        "the gateway": (
            example_role("prod-gateway"),
            policy_of_role(example_statement(), example_statement("s3:GetObject")),
        ),
        "the gateway's ingestion": (
            example_role("prod-gateway-ingest"),
            policy_of_role(example_statement("bedrock:*")),
        ),
        "the gateway of another stack": (
            Resource.example(
                ROLE_POLICY,
                {"role": "prod-gateway", "policy": json.dumps({"Statement": example_statement()})},
                "permissions",
            ),
        ),
        "a managed policy of the gateway": (example_role("prod-gateway"), _MANAGED, _ATTACHED),
        "a managed policy in the gateway's list": (
            _MANAGED,
            Resource.example(ROLE, {"name": "prod-gateway"}, "role", managedPolicyArns="permissions"),
        ),
        "an agent of Bedrock": (example_role("agent", BEDROCK), policy_of_role(example_statement())),
        "a deny for somebody else": (example_role("worker"), policy_of_role(example_statement(Effect="Deny"))),
        "AWS's own policy in the gateway's list": (
            example_role("prod-gateway", managedPolicyArns=["arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess"]),
        ),
        "AWS's own policy for the gateway": (example_role("prod-gateway"), _attached("AmazonBedrockLimitedAccess")),
    },
    breaks={
        "a worker": (example_role("worker"), policy_of_role(example_statement())),
        **{one: (example_role("worker"), policy_of_role(example_statement(one))) for one in MODEL_CALLS},
        "a name that begins like the gateway's": (
            example_role("prod-gateway-migrate"),
            policy_of_role(example_statement()),
        ),
        "every action of Bedrock": (example_role("worker"), policy_of_role(example_statement("bedrock:*"))),
        "everything but": (
            example_role("worker"),
            policy_of_role({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
        ),
        "inline in the role": (
            example_role("worker", inlinePolicies=[{"policy": json.dumps({"Statement": example_statement()})}]),
        ),
        "a managed policy that nobody holds": (_MANAGED,),
        "a managed policy of somebody else": (example_role("worker"), _MANAGED, _ATTACHED),
        "a managed policy of the gateway and of somebody else": (
            example_role("prod-gateway"),
            _MANAGED,
            _ATTACHED,
            Resource.example(ROLE, {"name": "worker"}, "worker", managedPolicyArns="permissions"),
        ),
        "a user": (
            Resource.example(
                "aws:iam/userPolicy:UserPolicy", {"policy": json.dumps({"Statement": example_statement()})}
            ),
        ),
        "AWS's own policy for somebody else": (example_role("worker"), _attached("AmazonBedrockFullAccess")),
        "AWS's own policy in a role's list": (
            example_role("worker", managedPolicyArns=["arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"]),
        ),
        "Bedrock, and whoever runs a task": (
            example_role("agent", BEDROCK, "ecs-tasks.amazonaws.com"),
            policy_of_role(example_statement()),
        ),
        "notebooks and training jobs": (
            example_role("training", "sagemaker.amazonaws.com"),
            policy_of_role(example_statement()),
        ),
    },
    neighbours={
        "a worker that reads objects": (example_role("worker"), policy_of_role(example_statement("s3:GetObject"))),
        "somebody who looks at models": (
            example_role("auditor"),
            policy_of_role(example_statement("bedrock:ListFoundationModels")),
        ),
        "a policy of AWS that calls no models": (example_role("worker"), _attached("AmazonSQSReadOnlyAccess")),
    },
)
