"""Environments are apart: every crossing is denied more than once, and no configuration can name another's.

Judged over the captured graphs of all programs, with the organization's policies around them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from components.organization_policies import PolicyType
from stacks.configuration import ConfigurationError, Section
from stacks.environment import Environment
from stacks.local import engine
from stacks.local.engine_backend import Checked
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import Request, evaluate
from stacks.local.provider.recording import RecordingProvider
from stacks.workloads.workload import Workload
from tests.contracts.governed import ANYTHING, ELSEWHERE, LAYERS, Call, organization_layer, role_of
from tests.contracts.programs import PROGRAMS, captured, of_type
from tests.contracts.rendered_policies import Policies, policies
from tests.stacks.configurations import (
    ENVIRONMENTS,
    ORGANIZATION,
    PLATFORM,
    REPOSITORY,
    Values,
    changed,
    environment_values,
    governance_values,
    workload_values,
)

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once

ACCOUNTS: dict[str, str] = environment_values("prod")["accounts"]
BELOW = ("dev", "staging")
DEPLOYED = ("dev", "staging", "prod")
PAIRS = list(itertools.permutations(DEPLOYED, 2))


# --- role × model × endpoint × guardrail -----------------------------------------------------

NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
OTHER_MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
ROLES = ("gateway", "gateway-ingest", "gateway-migrate", "gateway-execution", "an administrator")
WAYS = ("our endpoint", "the endpoint of dev", "no endpoint")
GUARDRAILS = ("ours in its version", "none", "an older version", "the draft", "another")
TARGETS = ("approved profile", "another profile", "no profile", "another model", "a profile of dev")
RIGHT = ("gateway", "approved profile", "our endpoint", "ours in its version")


def may_invoke(role: str, target: str, way: str, guardrail: str, action: str = "bedrock:InvokeModel") -> bool:
    """AWS asks twice: for the profile, and for the model behind it."""
    p = policies("prod")
    model = OTHER_MODEL if target == "another model" else NOVA
    profile = {
        "approved profile": p.profile("nova-lite"),
        "another model": p.profile("nova-lite"),
        "another profile": p.profile("titan-embed"),
        "a profile of dev": policies("dev").profile("nova-lite"),
    }.get(target, "")
    if not profile:
        return _decided(p, role, action, model, way, guardrail)
    behind: dict[str, ContextValue] = {"bedrock:InferenceProfileArn": profile}
    return _decided(p, role, action, profile, way, guardrail) and _decided(
        p, role, action, model, way, guardrail, behind
    )


def _decided(
    p: Policies,
    role: str,
    action: str,
    resource: str,
    way: str,
    guardrail: str,
    behind: Mapping[str, ContextValue] | None = None,
) -> bool:
    network = {"our endpoint": p, "the endpoint of dev": policies("dev")}.get(way)
    arn = p.guardrail.rpartition(":")[0]
    named = {
        "ours in its version": p.guardrail,
        "an older version": f"{arn}:99",
        "the draft": f"{arn}:DRAFT",
        "another": f"{arn}0:1",
    }.get(guardrail)
    context: dict[str, ContextValue] = {"aws:RequestedRegion": "us-east-1", **(behind or {})}
    context |= {"bedrock:GuardrailIdentifier": named} if named else {}
    context |= {"aws:SourceVpce": network.endpoint_id("bedrock-runtime")} if network else {}
    administrator = role == "an administrator"
    caller = role_of("prod", "administrator") if administrator else p.role(role)
    return evaluate(
        Request(caller, action, resource, context, resource_account=p.account),
        identity=ANYTHING if administrator else p.identity(caller),
        scp=organization_layer("prod", PolicyType.SERVICE_CONTROL),
        endpoint=network.endpoint("bedrock-runtime") if network else (),
    ).allowed


@pytest.mark.parametrize("action", ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"])
def test_a_7_exactly_one_combination_invokes_the_model(action: str) -> None:
    combinations = list(itertools.product(ROLES, TARGETS, WAYS, GUARDRAILS))
    allowed = [one for one in combinations if may_invoke(*one, action=action)]

    assert len(combinations) == 375
    assert allowed == [RIGHT]


@pytest.mark.parametrize(
    "change",
    [
        *({0: role} for role in ROLES[1:]),
        *({1: target} for target in TARGETS[1:]),
        *({2: way} for way in WAYS[1:]),
        *({3: guardrail} for guardrail in GUARDRAILS[1:]),
    ],
    ids=lambda change: next(iter(change.values())),
)
def test_a_7_a_single_change_is_denied(change: dict[int, str]) -> None:
    factors = [change.get(position, factor) for position, factor in enumerate(RIGHT)]

    assert may_invoke(*RIGHT)
    assert not may_invoke(*factors)


# --- D-1: one account ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_d_1_the_provider_accepts_one_account_and_it_is_this_environments(program: str, stack: str) -> None:
    providers = [one for one in captured(program, stack).resources if one.type == "pulumi:providers:aws"]

    for provider in providers:
        accounts = provider.inputs["allowedAccountIds"]
        assert (json.loads(accounts) if isinstance(accounts, str) else accounts) == [ACCOUNTS[stack]]


@pytest.mark.parametrize(("stack", "other"), PAIRS)
def test_d_1_the_account_of_another_environment_is_refused_before_any_resource(stack: str, other: str) -> None:
    swapped = {f"accounts.{stack}": ACCOUNTS[other], f"accounts.{other}": ACCOUNTS[stack]}

    assert _attempt(stack, changed(environment_values(stack), swapped)) == []


@pytest.mark.parametrize(("stack", "other"), PAIRS)
def test_d_1_a_stack_does_not_take_the_values_of_another(stack: str, other: str) -> None:
    assert _attempt(stack, environment_values(other)) == []


class Recorder(RecordingProvider):
    """Keeps the name of everything that a program asks it to make."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def created(self, resource: Checked) -> tuple[str, dict[str, Any]]:
        self.made.append(resource.name)
        return super().created(resource)


def _attempt(stack: str, values: Values) -> list[str]:
    """What a refused run of the platform had made by then."""
    recorder = Recorder()
    with pytest.raises(engine.EngineError, match=r"must name|must be the stack's name"):
        engine.run(PLATFORM, stack, config={"llm-pipelines:environment": json.dumps(values)}, provider=recorder)
    return recorder.made


def test_d_1_a_run_that_is_not_refused_would_be_seen_to_make_something() -> None:
    recorder = Recorder()
    values = changed(governance_values(), {"management_account_id": ACCOUNTS["local"]})
    config = {"llm-pipelines-organization:governance": json.dumps(values)}
    engine.run(ORGANIZATION, "organization", config=config, provider=recorder)

    assert "prod-principals" in recorder.made


# --- D-2: no text of dev or staging can name production ---------------------------------------------

PROD = environment_values("prod")
PROD_ACCOUNT = ACCOUNTS["prod"]
HOSTING = {
    "service_cidr": "172.20.0.0/16",
    "host_name": "models.llm-{env}.internal",
    "administrator_role": "llm-pipelines-{env}-operator",
    "system_nodes": {"name": "system", "instance_type": "m7i.large", "nodes_min": 2, "nodes_max": 4, "disk_gib": 100},
    "gpu_nodes": [
        {
            "name": "l4",
            "instance_type": "g6.2xlarge",
            "nodes_min": 1,
            "nodes_max": 2,
            "disk_gib": 200,
            "capacity": "on_demand",
        }
    ],
}
TIERS = ("edge", "app", "model", "data")
OFFER = {
    "kind": "chat",
    "context_tokens_max": 8192,
    "usd_per_million_input_tokens": "0.10",
    "usd_per_million_output_tokens": "0.30",
}
OWN_SERVER = {
    **OFFER,
    "id": "own",
    "backend": "openai",
    "base_url": "https://models.llm-{env}.internal/v1",
    "upstream_model": "own",
    "boundary": "self_hosted",
}
OWN_CONTAINER = {
    **OFFER,
    "id": "contained",
    "backend": "sagemaker",
    "instance_type": "ml.g6.2xlarge",
    "instances": 1,
    "image_digest": f"sha256:{'0' * 64}",
    "weights_prefix": "contained/1",
    "boundary": "private_endpoint",
}


def complete(stack: str) -> tuple[Values, Values]:
    """The configurations of a stack that between them set every optional section, as the model writes them out.

    Two, because model servers of our own need a network of our own.
    """
    values = environment_values(stack)
    zones = values["network"]["zones"]
    written = json.dumps({"hosting": HOSTING, "models": [OWN_SERVER, OWN_CONTAINER]}).replace("{env}", stack)
    added = json.loads(written)
    bedrock = [model for model in values["models"] if model["backend"] == "bedrock"]
    adopted = {
        "vpc_id": "vpc-0123456789abcdef0",
        "subnet_ids": {
            tier: [f"subnet-{row:08x}{number:09x}" for number in range(len(zones))] for row, tier in enumerate(TIERS)
        },
        "route_table_ids": {tier: f"rtb-{row:017x}" for row, tier in enumerate(TIERS)},
    }
    subject = {"subject": "deployer", "tenant": "acme", "roles": ["analyst"], "workload": "document-assistant"}
    issuers = [{**values["issuers"][0], "subjects": [subject]}]
    hosting = {
        "self_hosting": added["hosting"],
        "models": [*bedrock, *added["models"]],
        "issuers": issuers,
    }
    adopting = {"self_hosting": None, "models": bedrock, "network.existing": adopted}
    first, second = (Environment.load(changed(values, one)).model_dump(mode="json") for one in (hosting, adopting))
    return first, second


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The dotted path of every text in a configuration, also of one that may be left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{index}")
    elif isinstance(value, str) or value is None:
        yield path


def sections(kind: Any) -> set[type[BaseModel]]:
    """Every kind of section that a configuration can hold, through lists, maps and alternatives."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {kind}.union(*(sections(field.annotation) for field in kind.model_fields.values()))
    return set().union(*(sections(argument) for argument in get_args(kind)))


def instances(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from instances(getattr(value, name))
    elif isinstance(value, dict | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from instances(inner)


# A string of dev or staging that holds one of these names production.
NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
WORD = st.sampled_from(["prod", "PROD", "production", "prd"])
FOREIGN = st.one_of(
    st.just(PROD_ACCOUNT),
    st.builds(lambda name: f"arn:aws:iam::{PROD_ACCOUNT}:role/{name}", NAME),
    st.builds(
        lambda service, name: f"arn:aws:{service}:us-east-1:{PROD_ACCOUNT}:{name}",
        st.sampled_from(["kms", "sqs", "rds", "bedrock", "secretsmanager", "eks"]),
        NAME,
    ),
    st.builds(lambda name: f"llm-pipelines-prod-{name}-{PROD_ACCOUNT}", NAME),
    st.builds(lambda name, word: f"s3://llm-pipelines-{word}-{name}/x", NAME, WORD),
    st.builds(lambda name, word: f"alias/llm-pipelines-{word}-{name}", NAME, WORD),
    st.builds(lambda name, word: f"{name}.llm-{word}.internal", NAME, WORD),
    st.builds(lambda name, word: f"https://{name}.{word}.example.com/v1", NAME, WORD),
    st.builds(lambda name, word: f"{word}-{name}", NAME, WORD),
    st.sampled_from(
        sorted({text for text in re.findall(r'"([^"]*)"', json.dumps(PROD)) if re.search(r"prod|333344445555", text)})
    ),
)


@pytest.mark.parametrize("stack", BELOW)
def test_d_2_every_kind_of_section_is_tried(stack: str) -> None:
    """The whole model is walked: a section that is added later must be part of the property below."""
    found = {type(one) for values in complete(stack) for one in instances(Environment.load(values))}

    assert sections(Environment) - found == set()
    assert len({leaf for values in complete(stack) for leaf in leaves(values)}) > 80


@pytest.mark.parametrize("stack", BELOW)
def test_d_2_every_field_refuses_every_way_to_name_production(stack: str) -> None:
    """One example of each kind in every field, so that no field is left to chance."""
    wrong = [PROD_ACCOUNT, f"arn:aws:kms:us-east-1:{PROD_ACCOUNT}:key/x", "gateway.llm-prod.internal", "alias/llm-prod"]

    accepted = [
        (field, text)
        for values in complete(stack)
        for field in leaves(values)
        for text in wrong
        if not field.startswith("accounts.") and _is_accepted(changed(values, {field: text}))
    ]
    assert accepted == []


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_d_2_no_text_of_a_lower_environment_can_name_production(data: st.DataObject) -> None:
    values = data.draw(st.sampled_from(complete(data.draw(st.sampled_from(BELOW)))))
    field = data.draw(st.sampled_from([leaf for leaf in leaves(values) if not leaf.startswith("accounts.")]))

    assert not _is_accepted(changed(values, {field: data.draw(FOREIGN)}))


@given(stack=st.sampled_from(BELOW), word=WORD, name=NAME)
@settings(max_examples=30, deadline=None)
def test_d_2_no_key_of_a_lower_environment_can_name_production(stack: str, word: str, name: str) -> None:
    own = f"llm-pipelines-{stack}-x-deployer"

    assert _is_accepted(changed(environment_values(stack), {"workload_deployers": {"assistant": own}}))
    key = f"{name}-{word.lower()}"
    assert not _is_accepted(changed(environment_values(stack), {"workload_deployers": {key: own}}))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_d_2_no_text_of_a_lower_workload_can_name_production(data: st.DataObject) -> None:
    values = workload_values(data.draw(st.sampled_from(BELOW)))
    field = data.draw(st.sampled_from([leaf for leaf in leaves(values) if leaf != "account_id"]))
    text = data.draw(FOREIGN.filter(lambda one: one != PROD_ACCOUNT))

    with pytest.raises(ConfigurationError):
        Workload.load(changed(values, {field: text}))


def _is_accepted(values: Values) -> bool:
    try:
        Environment.load(values)
    except ConfigurationError:
        return False
    return True


def test_d_2_the_complete_configuration_itself_is_accepted() -> None:
    """Otherwise every refusal above would be about something else."""
    assert all(_is_accepted(values) for stack in BELOW for values in complete(stack))
    assert issubclass(Environment, Section)


# --- D-3: rendered graphs name their own account ----------------------------------------------------


def accounts_named(stack: str) -> dict[str, set[str]]:
    """Other environments' accounts in whatever the programs of a stack register: account → resources."""
    found: dict[str, set[str]] = {}
    for program in PROGRAMS:
        for resource in captured(program, stack).resources:
            text = json.dumps(resource.inputs)
            for account in set(ACCOUNTS.values()) - {ACCOUNTS[stack]}:
                if account in text:
                    found.setdefault(account, set()).add(resource.name)
    return found


@pytest.mark.parametrize("stack", BELOW)
def test_d_3_a_lower_environment_holds_no_account_of_another(stack: str) -> None:
    assert accounts_named(stack) == {}
    assert ACCOUNTS[stack] in json.dumps([one.inputs for one in captured("platform", stack).resources])


def test_d_3_production_names_stagings_reader_and_nobody_else() -> None:
    """In the policy of the release bucket and in that of its key: the one way down."""
    assert accounts_named("prod") == {ACCOUNTS["staging"]: {"release-policy", "redaction-key"}}


def test_d_3_a_planted_account_would_be_found() -> None:
    resource = captured("platform", "dev").resources[-1]

    assert PROD_ACCOUNT not in json.dumps(resource.inputs)
    assert PROD_ACCOUNT in json.dumps({**resource.inputs, "policy": f"arn:aws:iam::{PROD_ACCOUNT}:root"})


# --- D-4, D-5: crossings are denied by two layers, and by one when the other is gone -----------------

Crossing = Callable[[], list[Call]]


def from_dev(action: str, resource: Callable[[Policies], str], endpoint: str) -> Crossing:
    """An administrator of dev, inside dev's network, reaches for production."""
    return lambda: [
        Call(role_of("dev", "administrator"), action, resource(policies("prod")), "dev", "prod", "dev", endpoint)
    ]


def stolen(action: str, key: str, endpoint: str = "s3") -> Crossing:
    """Credentials of production's gateway, used in dev's network."""
    return lambda: [
        Call(
            policies("prod").role("gateway"),
            action,
            f"{policies('prod').bucket('evidence')}/{key}",
            "prod",
            "prod",
            "dev",
            endpoint,
            identity=tuple(policies("prod").identity(policies("prod").role("gateway"))),
        )
    ]


def snapshot_shared() -> list[Call]:
    """Two steps, both needed: production shares the snapshot, dev opens it with production's key."""
    p = policies("prod")
    snapshot = f"arn:aws:rds:{p.region}:{p.account}:cluster-snapshot:nightly"
    return [
        Call(role_of("prod", "administrator"), "rds:ModifyDBClusterSnapshotAttribute", snapshot, "prod", "prod"),
        Call(
            role_of("dev", "administrator"),
            "kms:CreateGrant",
            p.key("database"),
            "dev",
            "prod",
            context={"kms:ViaService": f"rds.{p.region}.amazonaws.com", "kms:GrantIsForAWSResource": True},
        ),
    ]


def to_a_stranger() -> list[Call]:
    bucket = "arn:aws:s3:::collector/a"
    return [Call(role_of("dev", "administrator"), "s3:PutObject", bucket, "dev", "", "dev", "s3")]


CROSSINGS: dict[str, Crossing] = {
    "dev reads prod's evidence": from_dev("s3:GetObject", lambda p: f"{p.bucket('evidence')}/heads/1.json", "s3"),
    "dev reads prod's documents": from_dev("s3:GetObject", lambda p: f"{p.bucket('documents')}/acme/a.txt", "s3"),
    "dev writes into prod's documents": from_dev("s3:PutObject", lambda p: f"{p.bucket('documents')}/acme/a.txt", "s3"),
    "dev reads prod's released data sets": from_dev(
        "s3:GetObject", lambda p: f"{p.bucket('release')}/releases/x", "s3"
    ),
    "dev opens prod's documents": from_dev("kms:Decrypt", lambda p: p.key("workload"), "kms"),
    "dev signs for prod": from_dev("kms:Sign", lambda p: p.key("audit-signing"), "kms"),
    "dev makes tokens of prod": from_dev("kms:GenerateMac", lambda p: p.key("redaction-mac"), "kms"),
    "dev reads prod's database secret": from_dev(
        "secretsmanager:GetSecretValue",
        lambda p: f"arn:aws:secretsmanager:{p.region}:{p.account}:secret:rds!cluster-1",
        "secretsmanager",
    ),
    "dev becomes prod's gateway": from_dev("sts:AssumeRole", lambda p: p.role("gateway"), "sts"),
    "prod's credentials in dev's network read evidence": stolen("s3:GetObject", "heads/1.json"),
    "dev's network to a bucket of strangers": to_a_stranger,
    "a snapshot of prod shared with dev": snapshot_shared,
}
every_crossing = pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS.keys())


@every_crossing
def test_d_4_a_crossing_is_denied_by_two_independent_policies(
    crossing: Crossing, record_property: Callable[[str, object], None]
) -> None:
    decisions = [call.judged() for call in crossing()]
    layers = {layer for decision in decisions for layer in decision.refused_by}
    sids = [sid for decision in decisions for sid in decision.statements]
    record_property("denied by", f"{sorted(layers)}: {sids}")  # both Sids, in the report

    assert not all(decision.allowed for decision in decisions)
    assert len(layers) >= 2, decisions


@every_crossing
@pytest.mark.parametrize("layer", LAYERS)
def test_d_5_a_crossing_stays_denied_without_any_one_layer(crossing: Crossing, layer: str) -> None:
    decisions = [call.judged(without=layer) for call in crossing()]

    assert not all(decision.allowed for decision in decisions)
    assert not any(layer in decision.refused_by for decision in decisions)


def test_d_5_a_crossing_with_every_layer_gone_is_allowed() -> None:
    """The twin: it is these layers that deny, and nothing else."""
    [call] = CROSSINGS["dev reads prod's evidence"]()
    request = Request(call.principal, call.action, call.resource, {}, resource_account=ACCOUNTS["prod"])
    opened = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
    }

    assert evaluate(request, identity=ANYTHING, resource=[opened]).allowed


WITHIN: dict[str, Crossing] = {
    "prod's gateway reads evidence in its own network": lambda: [
        Call(
            policies("prod").role("gateway"),
            "s3:GetObject",
            f"{policies('prod').bucket('evidence')}/heads/1.json",
            "prod",
            "prod",
            "prod",
            "s3",
            identity=tuple(policies("prod").identity(policies("prod").role("gateway"))),
        )
    ],
    "dev's ingestion reads dev's documents": lambda: [
        Call(
            policies("dev").role("gateway-ingest"),
            "s3:GetObject",
            f"{policies('dev').bucket('documents')}/acme/a.txt",
            "dev",
            "dev",
            "dev",
            "s3",
            identity=tuple(policies("dev").identity(policies("dev").role("gateway-ingest"))),
        )
    ],
}


@pytest.mark.parametrize("within", WITHIN.values(), ids=WITHIN.keys())
def test_d_4_what_is_no_crossing_is_allowed(within: Crossing) -> None:
    [call] = within()

    assert call.judged().allowed, call.judged().reason


def test_d_4_strangers_and_siblings_are_both_outside() -> None:
    """staging is as far from production as dev is, but for the one way down."""
    p = policies("prod")
    for caller in BELOW:
        call = Call(
            role_of(caller, "administrator"), "s3:GetObject", f"{p.bucket('release')}/releases/x", caller, "prod"
        )
        assert {"scp", "rcp", "resource"} <= set(call.judged().refused_by)
    assert ELSEWHERE not in ACCOUNTS.values()


# --- D-6: order of stacks, secrets of stacks ---------------------------------------------------------


def references() -> dict[tuple[str, str], set[str]]:
    """(program, stack) → the stacks that it reads."""
    return {
        (program, stack): {one.name for one in of_type(captured(program, stack), "StackReference")}
        for program in PROGRAMS
        for stack in ENVIRONMENTS
    }


def test_d_6_stacks_read_upward_within_their_environment_only() -> None:
    """The platform reads nothing; what stands on it reads it, in its own environment: no way round, none across."""
    read = references()

    assert all(read["platform", stack] == set() for stack in ENVIRONMENTS)
    for (program, stack), found in read.items():
        if program != "platform":
            assert found == {f"organization/llm-pipelines/{stack}"}, program
    assert of_type(captured("organization", "organization"), "StackReference") == []


def stack_files() -> list[tuple[str, dict[str, Any]]]:
    """(stack, content) of every Pulumi.<stack>.yaml."""
    files = sorted((REPOSITORY / "stacks").rglob("Pulumi.*.yaml"))
    return [(one.name.split(".")[1], yaml.safe_load(one.read_text(encoding="utf-8"))) for one in files]


def test_d_6_every_environment_has_a_secrets_provider_of_its_own() -> None:
    """A key of the environment's own account. `pulumi stack init` must be told it, see the runbook: without
    `--secrets-provider` it writes a passphrase's salt into the file, which this test finds.
    """
    found: dict[str, set[str]] = {}
    for stack, content in stack_files():
        assert "encryptionsalt" not in content, f"{stack}: protected by a passphrase"
        found.setdefault(stack, set()).add(str(content.get("secretsprovider", "")))

    assert found.pop("local") == {""}
    assert set(found) == {"dev", "staging", "prod", "organization"}
    for stack, providers in found.items():
        [provider] = providers
        assert re.fullmatch(rf"awskms://alias/pulumi-{stack}\?region=[a-z]+-[a-z]+-\d", provider), stack


# --- D-8: what the strictest class may not be sent to --------------------------------------------------


def test_d_8_restricted_data_is_refused_a_managed_model_before_any_resource() -> None:
    values = changed(workload_values("prod"), {"data_class": "restricted", "key_tier": "tenant"})

    with pytest.raises(ConfigurationError, match="private_endpoint is looser than data class restricted allows"):
        Workload.load(values)
    assert Workload.load(changed(values, {"boundary": "self_hosted"})).data_class.value == "restricted"


def test_d_8_a_global_profile_is_refused() -> None:
    profile = {"models.0.geo_profile": "global.amazon.nova-lite-v1:0"}

    with pytest.raises(ConfigurationError, match="never global"):
        Environment.load(changed(environment_values("prod"), profile))


@pytest.mark.parametrize("guardrail", ["ours in its version", "none"])
def test_d_8_a_managed_model_never_answers_without_the_guardrail(guardrail: str) -> None:
    assert may_invoke(*RIGHT[:3], guardrail) is (guardrail == RIGHT[3])


@pytest.mark.parametrize(("mode", "allowed"), [("none", True), ("default", False), ("inherit", False), (None, False)])
def test_d_8_the_provider_of_a_model_keeps_nothing(mode: str | None, *, allowed: bool) -> None:
    context: dict[str, ContextValue] = {"aws:RequestedRegion": "us-east-1"}
    context |= {"bedrock:DataRetentionMode": mode} if mode else {}
    deployer = role_of("prod", environment_values("prod")["deployer_role"])
    request = Request(deployer, "bedrock:PutAccountDataRetention", "*", context, resource_account=ACCOUNTS["prod"])
    bound = organization_layer("prod", PolicyType.SERVICE_CONTROL)

    assert evaluate(request, identity=ANYTHING, scp=bound).allowed is allowed


# --- D-11: tags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_d_11_everything_is_tagged_with_its_environment(program: str, stack: str) -> None:
    """Default tags come from the provider; no resource takes another, and none says otherwise itself."""
    deployment = captured(program, stack)
    providers = {one.urn: one for one in deployment.resources if one.type == "pulumi:providers:aws"}
    for provider in providers.values():
        given = provider.inputs["defaultTags"]
        tags = (json.loads(given) if isinstance(given, str) else given)["tags"]
        assert tags["env"] == stack
        assert {"project", "env", "owner", "cost-center", "data-class"} <= set(tags)
    of_aws = [one for one in deployment.resources if one.type.startswith("aws:")]

    for resource in of_aws:
        assert resource.provider.rpartition("::")[0] in providers, resource.name
        assert resource.inputs.get("tags", {}).get("env", stack) == stack, resource.name


# --- D-13: what dev rents -----------------------------------------------------------------------------

SMALL_GPUS = ("g4dn", "g5", "g6")


def instance_types(stack: str) -> list[tuple[str, str]]:
    """(resource, instance type) of whatever in a graph names one."""
    found = []
    for program in PROGRAMS:
        for resource in captured(program, stack).resources:
            text = json.dumps(resource.inputs)
            named = re.findall(r'"(?:ml\.)?((?:p|g|inf|trn|dl|vt|f)\d[a-z0-9-]*)\.[a-z0-9]+"', text)
            found += [(resource.name, family) for family in named]
    return found


def test_d_13_dev_has_no_accelerator_off_the_list_and_no_capacity_block() -> None:
    text = json.dumps([one.inputs for program in PROGRAMS for one in captured(program, "dev").resources])

    assert [one for one in instance_types("dev") if one[1] not in SMALL_GPUS] == []
    assert "CAPACITY_BLOCK" not in text
    assert "capacity-block" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_nodes.0.instance_type": "p5.48xlarge"},
        {"gpu_nodes.0.instance_type": "g6e.xlarge"},
        {
            "gpu_nodes.0.capacity": "capacity_block",
            "gpu_nodes.0.reservation_id": "cr-0123456789abcdef0",
            "gpu_nodes.0.zone": "us-east-1a",
        },
    ],
    ids=["the largest", "off the list", "a capacity block"],
)
def test_d_13_dev_cannot_be_given_one(changes: Mapping[str, str]) -> None:
    hosting = json.loads(json.dumps(HOSTING).replace("{env}", "dev"))
    model = json.loads(json.dumps(OWN_SERVER).replace("{env}", "dev"))
    values = environment_values("dev")
    bedrock = [one for one in values["models"] if one["backend"] == "bedrock"]
    small = changed(values, {"self_hosting": hosting, "models": [*bedrock, model]})

    assert _is_accepted(small)
    assert not _is_accepted(changed(small, {f"self_hosting.{field}": value for field, value in changes.items()}))
