"""What our rendered policies allow and deny, decided by the evaluator: tables of sentences, and their twins.

Organization policies are not part of these programs: what is denied here is denied without them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from stacks.local.iam.document import parse_document
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Decision, Request, evaluate
from tests.contracts.programs import TARGETS, captured, documents, statements
from tests.contracts.rendered_policies import Policies, policies
from tests.criteria.iam_reference import services
from tests.stacks.configurations import ENVIRONMENTS

Ask = Callable[[Policies], Decision]
Context = dict[str, ContextValue]
ANYTHING = [FULL_AWS_ACCESS]  # the worst case: an identity policy that allows everything
ELSEWHERE = "999988887777"


def prod() -> Policies:
    return policies("prod")


def ask(table: Mapping[str, Ask]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("question", table.values(), ids=table.keys())


def person(p: Policies, role: str) -> str:
    """A role that the programs name but do not make: deployers, break-glass."""
    return f"arn:aws:iam::{p.account}:role/llm-pipelines-prod-{role}"


# --- model calls: role × model × profile × guardrail × endpoint -----------------------------------

INVOKE, STREAM = "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
OTHER_MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"


def call(
    p: Policies,
    *,
    role: str = "gateway",
    action: str = INVOKE,
    model: str = NOVA,
    through_profile: str = "nova-lite",
    guardrail: str | None = "",
    whole_identity: bool = False,
) -> tuple[Decision, Decision]:
    """Both permissions that AWS asks for: the profile's and the model's behind it."""
    profile = p.profile(through_profile) if through_profile else ""
    pinned = p.guardrail if guardrail == "" else guardrail and guardrail.format(arn=p.guardrail.rpartition(":")[0])
    context: Context = {"bedrock:GuardrailIdentifier": pinned} if pinned else {}
    identity = ANYTHING if whole_identity else None
    caller = p.role(role)

    def decide(resource: str, **keys: ContextValue) -> Decision:
        asked = {**context, **{key.replace("_", ":"): value for key, value in keys.items()}}
        return p.decide(caller, action, resource, asked, identity=identity, through="bedrock-runtime")

    on_model = decide(model, bedrock_InferenceProfileArn=profile) if profile else decide(model)
    return (decide(profile) if profile else on_model), on_model


def is_allowed(pair: tuple[Decision, Decision]) -> bool:
    return all(decision.allowed for decision in pair)


@pytest.mark.parametrize("action", [INVOKE, STREAM])
def test_the_gateway_calls_the_approved_model_through_its_profile_under_the_guardrail(action: str) -> None:
    assert is_allowed(call(prod(), action=action))


SINGLE_CHANGES: dict[str, dict[str, Any]] = {
    "another role: ingestion": {"role": "gateway-ingest"},
    "another role: migration": {"role": "gateway-migrate"},
    "another role: what starts the gateway": {"role": "gateway-execution"},
    "another model behind the same profile": {"model": OTHER_MODEL},
    "the model itself, without a profile": {"through_profile": ""},
    "another profile": {"through_profile": "titan-embed"},
    "no guardrail": {"guardrail": None},
    "another version of the guardrail": {
        "guardrail": "arn:aws:bedrock:us-east-1:333344445555:guardrail/71f6c664ec23:2"
    },
    "another guardrail": {"guardrail": "arn:aws:bedrock:us-east-1:333344445555:guardrail/aaaaaaaaaaaa:1"},
    "the draft": {"guardrail": "arn:aws:bedrock:us-east-1:333344445555:guardrail/71f6c664ec23:DRAFT"},
}


@pytest.mark.parametrize("change", SINGLE_CHANGES.values(), ids=SINGLE_CHANGES.keys())
def test_one_change_to_a_model_call_is_denied(change: Mapping[str, Any]) -> None:
    assert not is_allowed(call(prod(), **change))


def test_embeddings_need_no_guardrail_and_reach_their_own_model_only() -> None:
    titan = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
    for role in ("gateway", "gateway-ingest"):
        embedding: dict[str, Any] = {"role": role, "model": titan, "through_profile": "titan-embed", "guardrail": None}
        assert is_allowed(call(prod(), **embedding))
        assert not is_allowed(call(prod(), **{**embedding, "model": NOVA}))


@pytest.mark.parametrize("role", ["gateway-migrate", "gateway-execution"])
def test_the_endpoint_alone_stops_a_role_that_may_everything(role: str) -> None:
    """The profile's permission is the one that fails: a stolen administrator still finds the door closed."""
    assert not is_allowed(call(prod(), role=role, whole_identity=True))
    assert is_allowed(call(prod(), role="gateway", whole_identity=True))


# --- buckets --------------------------------------------------------------------------------------

SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"


def write_head(p: Policies, role: str = "gateway", **changes: ContextValue | None) -> Decision:
    """The gateway seals a batch of audit records: a new object below heads/."""
    context: Context = {"s3:if-none-match": "*", SSE: "aws:kms", SSE_KEY: p.key("evidence")}
    for key, value in changes.items():
        name = {"tls": "s3:TlsVersion", "secure": "aws:SecureTransport", "sse": SSE, "key": SSE_KEY}.get(key, key)
        context = {k: v for k, v in context.items() if k != name} | ({} if value is None else {name: value})
    if "fresh" in changes:
        context = {k: v for k, v in context.items() if k not in ("s3:if-none-match", "fresh")}
    return p.decide(p.role(role), "s3:PutObject", f"{p.bucket('evidence')}/heads/1.json", context, through="s3")


def deliver(p: Policies, **changes: ContextValue) -> Decision:
    """Flow logs arrive: an AWS service writes, with no encryption header and whatever TLS it likes."""
    context: Context = {"aws:SourceAccount": p.account, "aws:SourceArn": f"arn:aws:logs:{p.region}:{p.account}:flow"}
    named = {"account": "aws:SourceAccount", "arn": "aws:SourceArn"}
    context |= {named[key]: value for key, value in changes.items()}
    resource = f"{p.bucket('evidence')}/AWSLogs/{p.account}/vpcflowlogs/1.gz"
    return p.decide("delivery.logs.amazonaws.com", "s3:PutObject", resource, {"s3:TlsVersion": "1.2", **context})


def on_evidence(p: Policies, principal: str, action: str, key: str = "heads/1.json") -> Decision:
    resource = f"{p.bucket('evidence')}/{key}" if key else p.bucket("evidence")
    return p.decide(principal, action, resource, identity=ANYTHING)


BUCKETS_ALLOW: dict[str, Ask] = {
    "TLS 1.3 with the right key": write_head,
    "ingestion seals a chain of its own": lambda p: write_head(p, role="gateway-ingest"),
    "no encryption header: the bucket's default applies": lambda p: write_head(p, sse=None, key=None),
    "log delivery from our account": deliver,
    "the gateway reads what it sealed": lambda p: p.decide(
        p.role("gateway"), "s3:GetObject", f"{p.bucket('evidence')}/heads/1.json", through="s3"
    ),
    "break-glass may destroy, if anybody": lambda p: on_evidence(p, person(p, "break-glass"), "s3:DeleteObjectVersion"),
    "the deployer changes the policy": lambda p: on_evidence(p, person(p, "deployer"), "s3:PutBucketPolicy", ""),
    "a deployer registers its workload": lambda p: p.decide(
        person(p, "document-assistant-deployer"),
        "s3:PutObject",
        f"{p.bucket('registrations')}/registrations/document-assistant.json",
        identity=ANYTHING,
    ),
    "ingestion reads the workload's documents": lambda p: p.decide(
        p.role("gateway-ingest"), "s3:GetObject", f"{p.bucket('documents')}/acme/handbook/a.txt", through="s3"
    ),
    "the gateway reads registrations": lambda p: p.decide(
        p.role("gateway"),
        "s3:GetObject",
        f"{p.bucket('registrations')}/registrations/document-assistant.json",
        through="s3",
    ),
}

BUCKETS_DENY: dict[str, Ask] = {
    "plain HTTP": lambda p: write_head(p, secure=False),
    "TLS 1.2": lambda p: write_head(p, tls="1.2"),
    "another key": lambda p: write_head(p, key=p.key("content")),
    "S3's own key": lambda p: write_head(p, sse="AES256", key=None),
    "a head written over another": lambda p: write_head(p, fresh=False),
    "a head written by migration, whatever it may": lambda p: on_evidence(p, p.role("gateway-migrate"), "s3:PutObject"),
    "a head written by an administrator": lambda p: on_evidence(p, person(p, "deployer"), "s3:PutObject"),
    "a sealed version deleted by the gateway": lambda p: on_evidence(p, p.role("gateway"), "s3:DeleteObjectVersion"),
    "a sealed version deleted by the deployer": lambda p: on_evidence(
        p, person(p, "deployer"), "s3:DeleteObjectVersion"
    ),
    "retention bypassed": lambda p: on_evidence(p, person(p, "deployer"), "s3:BypassGovernanceRetention"),
    "the lock changed by the gateway": lambda p: on_evidence(
        p, p.role("gateway"), "s3:PutBucketObjectLockConfiguration", ""
    ),
    "a role of another account that may everything there": lambda p: on_evidence(
        p, f"arn:aws:iam::{ELSEWHERE}:role/admin", "s3:GetObject"
    ),
    "nobody in particular": lambda p: on_evidence(p, "", "s3:GetObject"),
    "log delivery for another account": lambda p: deliver(p, account=ELSEWHERE),
    "log delivery from another service": lambda p: deliver(p, arn=f"arn:aws:ec2:{p.region}:{p.account}:x"),
    "a workload registered by the gateway": lambda p: p.decide(
        p.role("gateway"),
        "s3:PutObject",
        f"{p.bucket('registrations')}/registrations/document-assistant.json",
        identity=ANYTHING,
    ),
    "a workload registered by the deployer of another": lambda p: p.decide(
        person(p, "document-assistant-deployer-2"),
        "s3:PutObject",
        f"{p.bucket('registrations')}/registrations/document-assistant.json",
        identity=ANYTHING,
    ),
    "documents read by the gateway itself": lambda p: p.decide(
        p.role("gateway"), "s3:GetObject", f"{p.bucket('documents')}/acme/handbook/a.txt", through="s3"
    ),
    "logged prompts read by the gateway": lambda p: p.decide(
        p.role("gateway"), "s3:GetObject", f"{p.bucket('content')}/bedrock/1.gz", through="s3"
    ),
}


@ask(BUCKETS_ALLOW)
def test_buckets_let_in(question: Ask) -> None:
    decision = question(prod())
    assert decision.allowed, decision.reason


@ask(BUCKETS_DENY)
def test_buckets_keep_out(question: Ask) -> None:
    assert not question(prod()).allowed


# --- keys -----------------------------------------------------------------------------------------


def use_key(
    p: Policies,
    principal: str,
    action: str,
    key: str,
    pairs: Mapping[str, str] | None = None,
    *,
    via: str = "",
    algorithm: str = "",
    any_identity: bool = False,
) -> Decision:
    """`pairs` is the encryption context; `via` the service that asks for the caller."""
    context: Context = {f"kms:EncryptionContext:{name}": value for name, value in (pairs or {}).items()}
    context["kms:CallerAccount"] = p.account
    if via:
        context["kms:ViaService"] = f"{via}.{p.region}.amazonaws.com"
    if algorithm:
        context["kms:SigningAlgorithm"] = algorithm
    identity = ANYTHING if any_identity else None
    return p.decide(principal, action, p.key(key), context, identity=identity)


def registration(p: Policies, principal: str, action: str, workload: str = "document-assistant") -> Decision:
    context = {"purpose": "registration", "workload": workload, "environment": "prod"}
    return use_key(p, principal, action, "registration", context, any_identity=True)


def tenant(
    p: Policies, role: str, action: str, name: str | None = "acme", workload: str = "document-assistant"
) -> Decision:
    context = {"tenant": name} if name else {}
    context |= {"workload": workload, "environment": "prod", "purpose": "documents"}
    return use_key(p, p.role(role), action, "workload", context)


def sign(p: Policies, role: str, algorithm: str = "ECDSA_SHA_384", *, any_identity: bool = False) -> Decision:
    caller = p.role(role)
    return use_key(p, caller, "kms:Sign", "audit-signing", algorithm=algorithm, any_identity=any_identity)


KEYS_ALLOW: dict[str, Ask] = {
    "a deployer signs its own workload": lambda p: registration(
        p, person(p, "document-assistant-deployer"), "kms:Encrypt"
    ),
    "the gateway verifies a signature": lambda p: registration(p, p.role("gateway"), "kms:Decrypt"),
    "the gateway signs heads": lambda p: sign(p, "gateway"),
    "ingestion signs heads": lambda p: sign(p, "gateway-ingest"),
    "the gateway opens a tenant's key": lambda p: tenant(p, "gateway", "kms:Decrypt"),
    "ingestion makes a tenant's key": lambda p: tenant(p, "gateway-ingest", "kms:GenerateDataKey", "globex"),
    "the gateway writes evidence through S3": lambda p: use_key(
        p, p.role("gateway"), "kms:GenerateDataKey", "evidence", via="s3"
    ),
    "log groups are encrypted": lambda p: p.decide(
        f"logs.{p.region}.amazonaws.com",
        "kms:GenerateDataKeyWithoutPlaintext",
        p.key("logs"),
        {
            "kms:EncryptionContext:aws:logs:arn": (
                f"arn:aws:logs:{p.region}:{p.account}:log-group:/llm-pipelines/prod/gateway"
            )
        },
    ),
}

KEYS_DENY: dict[str, Ask] = {
    "a deployer signs another workload": lambda p: registration(
        p, person(p, "document-assistant-deployer"), "kms:Encrypt", "payroll"
    ),
    "the gateway signs a registration": lambda p: registration(p, p.role("gateway"), "kms:Encrypt"),
    "an administrator signs a registration": lambda p: registration(p, person(p, "deployer"), "kms:Encrypt"),
    "an administrator opens a tenant's key": lambda p: use_key(
        p, person(p, "deployer"), "kms:Decrypt", "workload", {"tenant": "acme"}, any_identity=True
    ),
    "migration signs heads, whatever it may": lambda p: sign(p, "gateway-migrate", any_identity=True),
    "heads signed with another algorithm": lambda p: sign(p, "gateway", "ECDSA_SHA_256"),
    "a tenant that the workload does not serve": lambda p: tenant(p, "gateway", "kms:Decrypt", "initech"),
    "no tenant named": lambda p: tenant(p, "gateway", "kms:Decrypt", None),
    "another workload's context": lambda p: tenant(p, "gateway", "kms:Decrypt", "acme", "payroll"),
    "the gateway makes a tenant's key": lambda p: tenant(p, "gateway", "kms:GenerateDataKey"),
    "migration opens a tenant's key": lambda p: tenant(p, "gateway-migrate", "kms:Decrypt"),
    "evidence opened without S3": lambda p: use_key(p, p.role("gateway"), "kms:Decrypt", "evidence"),
    "another log group under this key": lambda p: p.decide(
        f"logs.{p.region}.amazonaws.com",
        "kms:Decrypt",
        p.key("logs"),
        {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{p.region}:{p.account}:log-group:/payroll"},
    ),
}


@ask(KEYS_ALLOW)
def test_keys_are_used_by(question: Ask) -> None:
    decision = question(prod())
    assert decision.allowed, decision.reason


@ask(KEYS_DENY)
def test_keys_are_not_used_by(question: Ask) -> None:
    assert not question(prod()).allowed


@pytest.mark.parametrize("action", ["kms:ScheduleKeyDeletion", "kms:DisableKey"])
def test_exactly_one_role_can_destroy_a_key(action: str) -> None:
    p = prod()
    people = [person(p, name) for name in ("deployer", "document-assistant-deployer", "break-glass")]
    roles = [*people, *(p.role(name) for name in ("gateway", "gateway-ingest", "gateway-migrate"))]
    for name, arn in p.keys().items():
        able = [role for role in roles if p.decide(role, action, arn, identity=ANYTHING).allowed]
        assert able == [person(p, "break-glass")], name


# --- roles ----------------------------------------------------------------------------------------


def assume(p: Policies, service: str = "ecs-tasks.amazonaws.com", account: str = "") -> Decision:
    owner = account or p.account
    context: Context = {"aws:SourceAccount": owner, "aws:SourceArn": f"arn:aws:ecs:{p.region}:{owner}:task/x"}
    return p.decide(service, "sts:AssumeRole", p.role("gateway"), context)


def test_only_our_own_tasks_become_the_gateway() -> None:
    p = prod()
    assert assume(p).allowed
    assert not assume(p, account=ELSEWHERE).allowed
    assert not assume(p, service="ec2.amazonaws.com").allowed
    assert not p.decide(person(p, "deployer"), "sts:AssumeRole", p.role("gateway"), identity=ANYTHING).allowed


# --- environments are apart: each crossing is denied by two layers that do not need each other -----


def crossing(action: str, resource: Callable[[Policies], str], through: str) -> Ask:
    """An administrator of dev, inside dev's network, reaches for production."""

    def question(p: Policies) -> Decision:
        dev = policies("dev")
        admin = f"arn:aws:iam::{dev.account}:role/administrator"
        return p.decide(admin, action, resource(p), identity=ANYTHING, through=through, vpc=dev)

    return question


CROSSINGS: dict[str, Ask] = {
    "dev reads prod's evidence": crossing("s3:GetObject", lambda p: f"{p.bucket('evidence')}/heads/1.json", "s3"),
    "dev reads prod's documents": crossing("s3:GetObject", lambda p: f"{p.bucket('documents')}/acme/a.txt", "s3"),
    "dev opens prod's documents": crossing("kms:Decrypt", lambda p: p.key("workload"), "kms"),
    "dev signs for prod": crossing("kms:Sign", lambda p: p.key("audit-signing"), "kms"),
    "dev reads prod's database secret": crossing(
        "secretsmanager:GetSecretValue",
        lambda p: f"arn:aws:secretsmanager:{p.region}:{p.account}:secret:rds!cluster-1",
        "secretsmanager",
    ),
    "dev becomes prod's gateway": crossing("sts:AssumeRole", lambda p: p.role("gateway"), "sts"),
    "dev sends to prod's queue": crossing(
        "sqs:SendMessage",
        lambda p: f"arn:aws:sqs:{p.region}:{p.account}:llm-pipelines-prod-docs-document-assistant",
        "sqs",
    ),
}


@ask(CROSSINGS)
def test_a_crossing_is_denied_by_two_layers(question: Ask) -> None:
    decision = question(prod())
    assert {"resource", "endpoint"} <= set(decision.refused_by), decision


def test_documents_leave_dev_for_no_bucket_of_others() -> None:
    """The caller's own permissions and the endpoint each say no."""
    dev = policies("dev")
    request = Request(
        dev.role("gateway-ingest"), "s3:PutObject", "arn:aws:s3:::collector/a", resource_account=ELSEWHERE
    )
    own = dev.identity(dev.role("gateway-ingest"))
    assert {"identity", "endpoint"} <= set(evaluate(request, identity=own, endpoint=dev.endpoint("s3")).refused_by)


def test_production_credentials_are_useless_in_the_network_of_dev() -> None:
    p, dev = prod(), policies("dev")
    head = f"{p.bucket('evidence')}/heads/1.json"
    assert p.decide(p.role("gateway"), "s3:GetObject", head, through="s3", vpc=dev).refused_by == ("endpoint",)
    assert p.decide(p.role("gateway"), "s3:GetObject", head, through="s3").allowed


# --- every document, in every program and environment ---------------------------------------------

_NOT_POLICIES = ("containerDefinitions", "redrivePolicy")


@pytest.mark.parametrize(("program", "stack"), TARGETS)
def test_every_document_can_be_judged(program: str, stack: str) -> None:
    """No None, no unknown operator, no Sid twice, every ARN of six parts."""
    found = [
        parse_document(content, resource.name)
        for resource, key, content in documents(captured(program, stack))
        if key not in _NOT_POLICIES and not resource.type.endswith(":LifecyclePolicy")
    ]
    assert found


def known_actions(pattern: str) -> list[str]:
    if pattern == "*":  # the permissions boundary, which grants nothing
        return ["*"]
    service, _, name = pattern.lower().partition(":")
    known = services().get(service, {"Actions": {}})["Actions"]
    prefix = name.rstrip("*")
    return [one for one in known if (one.startswith(prefix) if name.endswith("*") else one == name)]


@pytest.mark.parametrize(("program", "stack"), TARGETS)
def test_every_action_exists(program: str, stack: str) -> None:
    """AWS accepts a misspelt action and never matches it."""
    named = {
        action
        for _, statement in statements(captured(program, stack))
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert named
    assert [action for action in sorted(named) if not known_actions(action)] == []


def test_a_misspelt_action_would_be_found() -> None:
    assert known_actions("s3:GetObject")
    assert not known_actions("s3:GetObjects")
    assert not known_actions("bedrock:Converse")  # authorised by InvokeModel


# --- what a role may, its network lets through ----------------------------------------------------

# Where an endpoint is not called as the permissions of its service are.
_ENDPOINTS = {"bedrock": "bedrock-runtime", "ecr": "ecr.api", "sagemaker": "sagemaker.runtime"}
_WITHOUT_ENDPOINT = {"rds-db", "elasticache"}  # connections into the VPC itself


def granted(p: Policies, role: str) -> Iterator[tuple[str, str]]:
    """Every action that the role's own policies allow, with one resource it is allowed on."""
    for document in p.identity(p.role(role)):
        for statement in json.loads(str(document))["Statement"]:
            if statement["Effect"] == "Allow":
                resources = statement["Resource"]
                one = resources if isinstance(resources, str) else resources[0]
                yield from ((action, one.replace("*", "x")) for action in statement["Action"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("role", ["gateway", "gateway-ingest", "gateway-execution", "gateway-migrate-execution"])
def test_the_network_lets_through_what_a_role_may(environment: str, role: str) -> None:
    """A permission that the endpoint forgets fails on AWS only, with an error that names no endpoint."""
    p = policies(environment)
    context: Context = {"aws:ResourceAccount": p.account}
    profiles = [str(one.outputs["arn"]) for one in p.resources if one.type.endswith(":InferenceProfile")]
    blocked = []
    for action, resource in granted(p, role):
        service = action.split(":")[0]
        endpoint = _ENDPOINTS.get(service, service)
        if service in _WITHOUT_ENDPOINT:
            continue
        request = Request(p.role(role), action, resource, {**context, "bedrock:InferenceProfileArn": profiles[0]})
        if "endpoint" in evaluate(request, identity=ANYTHING, endpoint=p.endpoint(endpoint)).refused_by:
            blocked.append((action, resource))
    assert blocked == []
