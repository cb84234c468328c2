"""Private managed models: what the deployed graph says of Bedrock and SageMaker. Each promise has its planted hole."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest

from components.cross_region_inference import DESTINATIONS, GUARDRAIL_DESTINATIONS
from components.guardrail import (
    CREDENTIALS,
    DeniedTopic,
    GuardrailContent,
    GuardrailTier,
    OutOfBounds,
    content_digest,
)
from components.sagemaker_endpoint import has_local_disk
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.local import engine
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import FULL_AWS_ACCESS
from tests.contracts.programs import captured, of_type, only
from tests.contracts.rendered_policies import Policies, policies
from tests.stacks.configurations import ENVIRONMENTS, PLATFORM, changed, environment_values

pytestmark = [
    pytest.mark.xdist_group("programs"),  # one worker captures each graph once
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
Json = Any  # inputs of resources as JSON

PROFILE_OF_AWS = "us.amazon.nova-lite-v1:0"
ACROSS_REGIONS = {
    "residency": "geography",
    "guardrail_tier": "STANDARD",
    "models.0.geo_profile": PROFILE_OF_AWS,
    "models.0.destination_regions": ["us-east-1", "us-east-2", "us-west-2"],
}


@functools.cache
def across_regions() -> engine.Deployment:
    """dev, which holds no data that must stay, with a geographic profile and the STANDARD tier."""
    values = changed(environment_values("dev"), ACROSS_REGIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run(PLATFORM, "dev", config={"llm-pipelines:environment": json.dumps(values)})


def planted(deployment: engine.Deployment, kind: str, name: str, **inputs: Json) -> engine.Deployment:
    """The same graph with inputs of one resource changed."""
    resources = [
        dataclasses.replace(one, inputs={**one.inputs, **inputs})
        if one.type.endswith(f":{kind}") and one.name == name
        else one
        for one in deployment.resources
    ]
    assert resources != list(deployment.resources)
    return dataclasses.replace(deployment, resources=tuple(resources))


def before(deployment: engine.Deployment, resource: engine.Resource) -> set[str]:
    """Everything that must exist before `resource`: what it names or waits for, and what those do."""
    by_urn = {one.urn: one for one in deployment.resources}
    found: set[str] = set()
    waiting = [resource.urn]
    while waiting:
        for urn in by_urn[waiting.pop()].dependencies:
            if urn in by_urn and urn not in found:
                found.add(urn)
                waiting.append(urn)
    return {by_urn[urn].name for urn in found}


# --- the endpoint of bedrock-runtime --------------------------------------------------------------------------

MODEL_ARN = re.compile(r"arn:aws:bedrock:(?P<region>[a-z0-9-]+)::foundation-model/(?P<model>.+)")


def runtime_faults(deployment: engine.Deployment, wanted: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What the policy of bedrock-runtime names: no wildcard, and each model in exactly its regions."""
    policy = json.loads(only(deployment, "VpcEndpoint", "bedrock-runtime-endpoint").inputs["policy"])
    named: dict[str, set[str]] = {}
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        for arn in [resources] if isinstance(resources, str) else resources:
            if "*" in arn:
                yield f"wildcard {arn}"
            if match := MODEL_ARN.fullmatch(arn):
                named.setdefault(match["model"], set()).add(match["region"])
    if "aws:ResourceOrgID" in json.dumps(policy) or "aws:ResourceAccount" in json.dumps(policy):
        yield "asks for the account of a model, which has none"
    for model, regions in wanted.items():
        if named.get(model) != set(regions):
            yield f"{model} in {sorted(named.get(model, ()))}, not {sorted(regions)}"


@EVERY_ENVIRONMENT
def test_a_6_the_runtime_endpoint_names_every_model_in_every_region_and_nothing_else(stack: str) -> None:
    environment = Environment.load(environment_values(stack))
    wanted = {model.foundation_model: model.destination_regions for model in environment.bedrock_models}

    assert list(runtime_faults(captured("platform", stack), wanted)) == []


def test_a_6_a_geographic_profile_brings_its_destination_regions() -> None:
    wanted = {"amazon.nova-lite-v1:0": DESTINATIONS[PROFILE_OF_AWS]["us-east-1"]}

    assert list(runtime_faults(across_regions(), wanted)) == []
    assert list(runtime_faults(captured("platform", "dev"), wanted))


def test_a_6_a_wildcard_or_an_account_in_the_policy_is_found() -> None:
    deployment = captured("platform", "prod")
    policy = only(deployment, "VpcEndpoint", "bedrock-runtime-endpoint").inputs["policy"]
    for hole in (
        policy.replace("amazon.nova-lite-v1:0", "*"),
        policy.replace("aws:PrincipalAccount", "aws:ResourceAccount"),
    ):
        assert list(runtime_faults(planted(deployment, "VpcEndpoint", "bedrock-runtime-endpoint", policy=hole), {}))


# --- who may call what ----------------------------------------------------------------------------------------

NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
ROLES = ("gateway", "gateway-ingest", "gateway-migrate", "gateway-execution", "summariser")
ACTIONS = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")


def _invokes(
    p: Policies, role: str, action: str, profile: str, model: str, endpoint: str, guardrail: str | None
) -> bool:
    """Both permissions that AWS asks for: the profile's, and the model's behind it."""
    way = "bedrock-runtime" if endpoint else ""  # outside the network no endpoint judges
    context: dict[str, ContextValue] = {"aws:SourceVpce": endpoint} if endpoint else {}
    if guardrail:
        context["bedrock:GuardrailIdentifier"] = guardrail
    caller = p.role(role)
    on_profile = p.decide(caller, action, profile, context, through=way)
    behind = {**context, "bedrock:InferenceProfileArn": profile}
    return on_profile.allowed and p.decide(caller, action, model, behind, through=way).allowed


def test_a_7_only_the_gateway_the_profile_the_endpoint_and_the_guardrail_together_may_invoke() -> None:
    p = policies("prod")
    own, arn = p.endpoint_id("bedrock-runtime"), p.guardrail.rpartition(":")[0]
    profiles = {p.profile("nova-lite"), p.profile("document-assistant-nova-lite")}
    matrix = itertools.product(
        ROLES,
        ACTIONS,
        sorted({*profiles, p.profile("titan-embed"), "arn:aws:bedrock:us-east-1:333344445555:inference-profile/x"}),
        (NOVA, TITAN, NOVA.replace("nova-lite", "nova-pro")),
        (own, p.endpoint_id("kms"), ""),
        (p.guardrail, f"{arn}:2", f"{arn}:DRAFT", None),
    )

    for role, action, profile, model, endpoint, guardrail in matrix:
        chat = role == "gateway" and profile in profiles and model == NOVA and guardrail == p.guardrail
        embedding = role in ("gateway", "gateway-ingest") and profile == p.profile("titan-embed") and model == TITAN
        wanted = endpoint == own and (chat or embedding)
        assert _invokes(p, role, action, profile, model, endpoint, guardrail) is wanted, (role, profile, model)


def unguarded(deployment: engine.Deployment) -> Iterator[str]:
    """Permissions to call a chat model that no Deny ties to the guardrail in its version."""
    [version] = of_type(deployment, "GuardrailVersion")
    pinned = {"StringNotEquals": {"bedrock:GuardrailIdentifier": f"{version.inputs['guardrailArn']}:1"}}
    embedding = {one.outputs["arn"] for one in of_type(deployment, "InferenceProfile") if "embed" in one.name}
    for role in of_type(deployment, "RolePolicy"):
        statements = json.loads(role.inputs["policy"])["Statement"]
        invoking = [one for one in statements if set(one["Action"]) & set(ACTIONS)]
        guarded = {arn for one in invoking if one["Effect"] == "Deny" and one.get("Condition") == pinned
                   for arn in one["Resource"]}  # fmt: skip
        for one in invoking:
            if one["Effect"] == "Allow":
                models = [one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"]
                yield from (
                    f"{role.name}: {arn}"
                    for arn in models
                    if arn not in guarded and "titan-embed" not in arn and arn not in embedding
                )


@EVERY_ENVIRONMENT
def test_graph_23_guardrail_condition_present(stack: str) -> None:
    assert list(unguarded(captured("platform", stack))) == []


def test_graph_23_guardrail_condition_present_or_the_hole_is_found() -> None:
    deployment = captured("platform", "prod")
    policy = json.loads(only(deployment, "RolePolicy", "gateway-permissions").inputs["policy"])
    policy["Statement"] = [one for one in policy["Statement"] if "WithoutGuardrail" not in one["Sid"]]
    hole = planted(deployment, "RolePolicy", "gateway-permissions", policy=json.dumps(policy))

    assert list(unguarded(hole))


# --- the guardrail --------------------------------------------------------------------------------------------

FILTERS = {"SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK"}


def guardrail_faults(guardrail: Json) -> Iterator[str]:
    filters = {one["type"]: one for one in guardrail["contentPolicyConfig"]["filtersConfigs"]}
    if set(filters) != FILTERS:
        yield f"filters {sorted(filters)}"
    attack = filters.get("PROMPT_ATTACK", {})
    if (attack.get("inputStrength"), attack.get("outputStrength")) != ("HIGH", "NONE"):
        yield "PROMPT_ATTACK"
    sensitive = guardrail["sensitiveInformationPolicyConfig"]
    stopped = {one["type"] for one in sensitive["piiEntitiesConfigs"] if one["action"] in ("BLOCK", "ANONYMIZE")}
    yield from (kind for kind in CREDENTIALS if kind not in stopped)
    if not sensitive.get("regexesConfigs"):
        yield "no pattern"
    grounding = {
        one["type"]: one["threshold"] for one in guardrail["contextualGroundingPolicyConfig"]["filtersConfigs"]
    }
    yield from (kind for kind in ("GROUNDING", "RELEVANCE") if not 0 < grounding.get(kind, 0) <= 0.99)
    if ":key/" not in guardrail.get("kmsKeyArn", ""):
        yield "no key of ours"
    if not any(one["type"] == "DENY" for one in guardrail["topicPolicyConfig"]["topicsConfigs"]):
        yield "no denied topic"


@EVERY_ENVIRONMENT
def test_a_9_the_guardrail_is_whole(stack: str) -> None:
    assert list(guardrail_faults(only(captured("platform", stack), "Guardrail").inputs)) == []


GUARDRAIL_HOLES: dict[str, dict[str, Json]] = {
    "a filter is missing": {"contentPolicyConfig": {"filtersConfigs": [{"type": "HATE", "inputStrength": "HIGH"}]}},
    "credentials only counted": {"sensitiveInformationPolicyConfig": {"piiEntitiesConfigs": []}},
    "grounding off": {"contextualGroundingPolicyConfig": {"filtersConfigs": [{"type": "GROUNDING", "threshold": 0}]}},
    "AWS's key": {"kmsKeyArn": ""},
    "no topic": {"topicPolicyConfig": {"topicsConfigs": []}},
}


@pytest.mark.parametrize("hole", GUARDRAIL_HOLES)
def test_a_9_a_hole_in_the_guardrail_is_found(hole: str) -> None:
    whole = only(captured("platform", "prod"), "Guardrail").inputs

    assert list(guardrail_faults({**whole, **GUARDRAIL_HOLES[hole]}))


OUT_OF_BOUNDS: dict[str, tuple[dict[str, Json], str]] = {
    "a long refusal": ({"refusal": "x" * 501}, "refusal must hold 1 to 500 (got 501)"),
    "no topic": ({"topics": {}}, "topics must hold 1 to 30 (got 0)"),
    "a long definition": ({"topics": {"A": DeniedTopic("x" * 201)}}, "definition of topic 'A' must hold 1 to 200"),
    "many examples": ({"topics": {"A": DeniedTopic("x", ("y",) * 6)}}, "examples of topic 'A' must hold 0 to 5"),
    "no pattern": ({"patterns": {}}, "patterns must hold 1 to 30"),
    "a long pattern": ({"patterns": {"p": "x" * 501}}, "pattern 'p' must hold 1 to 500"),
    "a long word": ({"words": ("x" * 101,)}, "must hold 1 to 100 (got 101)"),
    "a password let through": ({"blocked": ("AWS_ACCESS_KEY", "AWS_SECRET_KEY")}, "missing: PASSWORD"),
    "grounding off": ({"grounding_threshold": 0.0}, "above 0 and at most 0.99 (got 0.0)"),
    "grounding beyond": ({"grounding_threshold": 1.0}, "above 0 and at most 0.99 (got 1.0)"),
}


@pytest.mark.parametrize("what", OUT_OF_BOUNDS)
def test_a_9_content_beyond_a_limit_of_aws_is_refused_with_the_limit(what: str) -> None:
    content, said = OUT_OF_BOUNDS[what]

    with pytest.raises(OutOfBounds, match=re.escape(said)):
        GuardrailContent(**content)


@EVERY_ENVIRONMENT
def test_a_10_the_guardrail_is_used_in_a_numbered_version_that_stays(stack: str) -> None:
    deployment = captured("platform", stack)
    version = only(deployment, "GuardrailVersion")
    serve = json.loads(only(deployment, "TaskDefinition", "gateway-task").inputs["containerDefinitions"])
    variables = {one["name"]: one["value"] for container in serve for one in container["environment"]}
    chat = [one for one in json.loads(variables["GATEWAY_MODELS"]) if one["backend"] == "bedrock"]

    assert version.inputs["skipDestroy"] is True
    assert {one["guardrail_version"] for one in chat if one["kind"] == "chat"} == {version.outputs["version"]}
    assert re.fullmatch(r"[1-9]\d*", str(version.outputs["version"]))
    assert "DRAFT" not in json.dumps([one.inputs for one in deployment.resources])


CHANGES: dict[str, Json] = {
    "refusal": "No.",
    "blocked": (*CREDENTIALS, "PIN"),
    "masked": ("EMAIL",),
    "patterns": {"p": "x"},
    "topics": {"A": DeniedTopic("x")},
    "words": ("word",),
    "grounding_threshold": 0.8,
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(GuardrailContent)])
def test_a_10_any_change_of_content_makes_a_new_version(field: str) -> None:
    other = dataclasses.replace(GuardrailContent(), **{field: CHANGES[field]})

    assert content_digest(other, GuardrailTier.CLASSIC) != content_digest(GuardrailContent(), GuardrailTier.CLASSIC)
    assert content_digest(other, GuardrailTier.STANDARD) != content_digest(other, GuardrailTier.CLASSIC)


def test_a_11_the_standard_tier_comes_with_its_profile_and_the_right_to_it() -> None:
    guardrail = only(across_regions(), "Guardrail").inputs
    permissions = json.loads(only(across_regions(), "RolePolicy", "gateway-permissions").inputs["policy"])
    applied = next(one for one in permissions["Statement"] if one["Sid"] == "ApplyGuardrail")["Resource"]

    assert guardrail["crossRegionConfig"] == {"guardrailProfileIdentifier": "us.guardrail.v1:0"}
    assert guardrail["contentPolicyConfig"]["tierConfigs"] == [{"tierName": "STANDARD"}]
    assert {arn.split(":")[3] for arn in applied if ":guardrail-profile/" in arn} == set(
        GUARDRAIL_DESTINATIONS["us.guardrail.v1:0"]["us-east-1"]
    )


@EVERY_ENVIRONMENT
def test_a_11_a_guardrail_that_stays_in_its_region_is_classic(stack: str) -> None:
    guardrail = only(captured("platform", stack), "Guardrail").inputs

    assert not guardrail.get("crossRegionConfig")
    assert guardrail["contentPolicyConfig"]["tierConfigs"] == [{"tierName": "CLASSIC"}]


REFUSED: dict[str, tuple[str, dict[str, Json], str]] = {
    "STANDARD without a decision": ("dev", {"guardrail_tier": "STANDARD"}, "must be CLASSIC with residency region"),
    "geography with confidential data": ("staging", {"residency": "geography"}, "residency must be region where"),
    "geography with restricted data": ("prod", {"residency": "geography"}, "confidential, restricted are held"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_11_leaving_the_region_needs_a_decision_that_every_data_class_allows(what: str) -> None:
    stack, changes, said = REFUSED[what]

    with pytest.raises(ConfigurationError, match=said):
        Environment.load(changed(environment_values(stack), changes))


# --- profiles -------------------------------------------------------------------------------------------------

PROFILE_TAGS = {"tenant", "app", "env", "cost-center", "data-class"}


@EVERY_ENVIRONMENT
def test_a_12_every_profile_says_whose_cost_it_is(stack: str) -> None:
    profiles = of_type(captured("platform", stack), "InferenceProfile")
    untagged = [one.name for one in profiles if set(one.inputs["tags"]) < PROFILE_TAGS]

    assert profiles
    assert not untagged


@EVERY_ENVIRONMENT
def test_a_12_every_workload_calls_every_chat_model_through_a_profile_of_its_own(stack: str) -> None:
    deployment = captured("platform", stack)
    environment = Environment.load(environment_values(stack))
    chat = [model.id for model in environment.bedrock_models if model.kind == "chat"]
    arns = {one.name: one.outputs["arn"] for one in of_type(deployment, "InferenceProfile")}
    serve = json.loads(only(deployment, "TaskDefinition", "gateway-task").inputs["containerDefinitions"])
    variables = {one["name"]: one["value"] for container in serve for one in container["environment"]}
    offered = {one["id"]: one["workload_profiles"] for one in json.loads(variables["GATEWAY_MODELS"])}

    for model in chat:
        assert offered[model] == {
            workload: arns[f"{workload}-{model}-profile"] for workload in environment.workload_deployers
        }


@EVERY_ENVIRONMENT
def test_a_12_no_role_calls_a_model_but_through_a_profile(stack: str) -> None:
    for role in of_type(captured("platform", stack), "RolePolicy"):
        for statement in json.loads(role.inputs["policy"])["Statement"]:
            if statement["Effect"] == "Allow" and "foundation-model/" in json.dumps(statement["Resource"]):
                assert statement["Condition"]["ArnEquals"]["bedrock:InferenceProfileArn"]


NO_PROFILE: dict[str, tuple[dict[str, Json], str]] = {
    "a global profile": ({"models.0.geo_profile": "global.amazon.nova-2-lite-v1:0"}, "never global"),
    "a profile that is not listed": (
        {"models.0.geo_profile": "us.amazon.nova-premier-v1:0", "residency": "geography"},
        "is not in the table of",
    ),
    "a profile of another geography": (
        {"models.0.geo_profile": "eu.amazon.nova-lite-v1:0", "residency": "geography"},
        "cannot be called from us-east-1",
    ),
    "a profile of another model": (
        {
            **ACROSS_REGIONS,
            "models.0.geo_profile": "us.amazon.nova-pro-v1:0",
        },
        "must be of foundation_model amazon.nova-lite-v1:0",
    ),
    "a region too few": (
        {**ACROSS_REGIONS, "models.0.destination_regions": ["us-east-1", "us-west-2"]},
        "must be those of us.amazon.nova-lite-v1:0: us-east-1, us-east-2, us-west-2",
    ),
    "a region too many": (
        {**ACROSS_REGIONS, "models.0.destination_regions": ["us-east-1", "us-east-2", "us-west-1", "us-west-2"]},
        "must be those of us.amazon.nova-lite-v1:0",
    ),
    "no decision": ({**ACROSS_REGIONS, "residency": "region", "guardrail_tier": "CLASSIC"}, "with residency region"),
}


@pytest.mark.parametrize("what", NO_PROFILE)
def test_a_13_a_profile_that_leaves_its_bounds_is_refused(what: str) -> None:
    changes, said = NO_PROFILE[what]

    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Environment.load(changed(environment_values("dev"), changes))


def model_regions(deployment: engine.Deployment) -> set[str]:
    """Regions in which any permission or endpoint policy names a model."""
    texts = [one.inputs["policy"] for kind in ("RolePolicy", "VpcEndpoint") for one in of_type(deployment, kind)]
    return {region for text in texts for region in re.findall(r"arn:aws:bedrock:([a-z0-9-]+)::foundation-model", text)}


@EVERY_ENVIRONMENT
def test_graph_22_bedrock_cris_arns_complete_and_class_region_ok(stack: str) -> None:
    assert model_regions(captured("platform", stack)) == {Environment.load(environment_values(stack)).region}


def test_graph_22_bedrock_cris_arns_complete_and_class_region_ok_across_regions_in_dev() -> None:
    deployment = across_regions()
    profile = only(deployment, "InferenceProfile", "nova-lite-profile").inputs
    permissions = json.loads(only(deployment, "RolePolicy", "gateway-permissions").inputs["policy"])
    behind = next(one for one in permissions["Statement"] if one["Sid"] == "InvokeNovaLiteThroughProfile")
    denied = next(one for one in permissions["Statement"] if one["Sid"] == "DenyNovaLiteWithoutGuardrail")

    assert profile["modelSource"]["copyFrom"].endswith(f":inference-profile/{PROFILE_OF_AWS}")
    assert {MODEL_ARN.sub(r"\g<region>", arn) for arn in behind["Resource"]} == {"us-east-1", "us-east-2", "us-west-2"}
    assert set(behind["Resource"]) < set(denied["Resource"])


# --- invocation logging ---------------------------------------------------------------------------------------


@EVERY_ENVIRONMENT
def test_a_14_what_models_are_asked_is_logged_encrypted_and_for_a_while(stack: str) -> None:
    deployment = captured("platform", stack)
    config = only(deployment, "InvocationLoggingConfiguration").inputs["loggingConfig"]
    logs = only(deployment, "LogGroup", "model-invocations-log-group").inputs

    assert config["textDataDeliveryEnabled"] is True
    assert config["s3Config"]["bucketName"] == only(deployment, "Bucket", "content-bucket").inputs["bucket"]
    assert config["cloudwatchConfig"]["logGroupName"] == logs["name"]
    assert ":key/" in logs["kmsKeyId"]
    assert logs["retentionInDays"] == environment_values(stack)["retention"]["content_days"]


@EVERY_ENVIRONMENT
def test_a_14_bedrock_writes_its_own_prefix_of_the_bucket_and_nobody_else_anything(stack: str) -> None:
    deployment = captured("platform", stack)
    environment = Environment.load(environment_values(stack))
    policy = json.loads(only(deployment, "BucketPolicy", "content-policy").inputs["policy"])
    [allowed] = [one for one in policy["Statement"] if one["Effect"] == "Allow"]
    records = f"/AWSLogs/{environment.account_id}/BedrockModelInvocationLogs/*"

    assert allowed["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert allowed["Action"] == ["s3:PutObject"]
    assert all(arn.endswith(records) for arn in allowed["Resource"])
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": environment.account_id}
    assert "aws:SourceArn" in allowed["Condition"]["ArnLike"]


NEEDED_FIRST = {
    "content-key",
    "content-bucket",
    "content-policy",
    "model-invocations-log-group",
    "invocation-logging-role",
    "invocation-logging-permissions",
}


@EVERY_ENVIRONMENT
def test_graph_24_bedrock_logging_singleton_only_in_platform_and_ordered(stack: str) -> None:
    platform = captured("platform", stack)
    configuration = only(platform, "InvocationLoggingConfiguration")

    assert before(platform, configuration) >= NEEDED_FIRST
    assert not of_type(captured("document_assistant", stack), "InvocationLoggingConfiguration")


def test_graph_24_bedrock_logging_singleton_only_in_platform_and_ordered_or_left_to_its_owner_in_dev() -> None:
    values = changed(environment_values("dev"), {"account_singletons": "external"})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        deployment = engine.run(PLATFORM, "dev", config={"llm-pipelines:environment": json.dumps(values)})

    assert not of_type(deployment, "InvocationLoggingConfiguration")
    assert not [one for one in of_type(deployment, "Resource") if "cloudcontrol" in one.type]


def test_graph_24_bedrock_logging_before_its_permissions_is_found() -> None:
    deployment = captured("platform", "prod")
    configuration = only(deployment, "InvocationLoggingConfiguration")
    alone = dataclasses.replace(configuration, dependencies=())

    assert not before(deployment, alone) - before(deployment, configuration)
    assert NEEDED_FIRST - before(dataclasses.replace(deployment, resources=(alone,)), alone)


@EVERY_ENVIRONMENT
def test_a_14_the_account_enforces_the_guardrail_on_every_model_but_embeddings(stack: str) -> None:
    deployment = captured("platform", stack)
    enforced = only(deployment, "Resource", "enforced-guardrail-configuration").inputs
    wanted = json.loads(enforced["desiredState"])
    version = only(deployment, "GuardrailVersion")

    assert enforced["typeName"] == "AWS::Bedrock::EnforcedGuardrailConfiguration"
    assert (wanted["GuardrailIdentifier"], wanted["GuardrailVersion"]) == (
        version.inputs["guardrailArn"],
        version.outputs["version"],
    )
    assert wanted["ModelEnforcement"]["IncludedModels"] == ["ALL"]
    assert all("embed" in model for model in wanted["ModelEnforcement"]["ExcludedModels"])
    assert wanted["SelectiveContentGuarding"] == {"System": "COMPREHENSIVE", "Messages": "COMPREHENSIVE"}


# --- SageMaker ------------------------------------------------------------------------------------------------


def sagemaker_faults(deployment: engine.Deployment) -> Iterator[str]:
    weights = {str(one.inputs["bucket"]) for one in of_type(deployment, "Bucket") if one.name == "models-bucket"}
    for model in _of_sagemaker(deployment, "Model"):
        container = model.inputs["primaryContainer"]
        if model.inputs.get("enableNetworkIsolation") is not True:
            yield f"{model.name}: not isolated"
        network = model.inputs.get("vpcConfig") or {}
        if not network.get("subnets") or not network.get("securityGroupIds"):
            yield f"{model.name}: not in the VPC"
        if not re.search(r"@sha256:[0-9a-f]{64}$", container["image"]):
            yield f"{model.name}: image without digest"
        for source in container.get("modelDataSource", {}).get("s3DataSources", [{}]):
            if source.get("compressionType") != "None" or source.get("s3Uri", "").split("/")[2:3] != [*weights]:
                yield f"{model.name}: weights from {source}"
    for configuration in _of_sagemaker(deployment, "EndpointConfiguration"):
        yield from _configuration_faults(configuration)


def _configuration_faults(configuration: engine.Resource) -> Iterator[str]:
    inputs = configuration.inputs
    for variant in inputs["productionVariants"]:
        if variant.get("enableSsmAccess") is not False:
            yield f"{configuration.name}: a shell"
        if has_local_disk(variant["instanceType"]) is bool(inputs.get("kmsKeyArn")):
            yield f"{configuration.name}: the volume's key"
    capture = inputs.get("dataCaptureConfig") or {}
    if ":key/" not in capture.get("kmsKeyId", ""):
        yield f"{configuration.name}: captures in clear"
    if "name" in inputs:
        yield f"{configuration.name}: a fixed name, which no replacement can take"


def _of_sagemaker(deployment: engine.Deployment, kind: str) -> list[engine.Resource]:
    return [one for one in of_type(deployment, kind) if one.type.startswith("aws:sagemaker/")]


@EVERY_ENVIRONMENT
def test_a_21_a_model_on_sagemaker_is_isolated_pinned_and_encrypted(stack: str) -> None:
    wanted = len(Environment.load(environment_values(stack)).sagemaker_models)

    assert len(_of_sagemaker(captured("platform", stack), "Endpoint")) == wanted
    assert list(sagemaker_faults(captured("platform", stack))) == []


def test_a_21_production_has_one_so_that_the_promise_is_not_empty() -> None:
    assert _of_sagemaker(captured("platform", "prod"), "Endpoint")


SAGEMAKER_HOLES: dict[str, tuple[str, str, dict[str, Json]]] = {
    "not isolated": ("Model", "summariser-model", {"enableNetworkIsolation": False}),
    "outside the VPC": ("Model", "summariser-model", {"vpcConfig": None}),
    "an image by tag": ("Model", "summariser-model", {"primaryContainer": {"image": "registry/vllm:latest"}}),
    "captures in clear": ("EndpointConfiguration", "summariser-configuration", {"dataCaptureConfig": None}),
    "a shell": (
        "EndpointConfiguration",
        "summariser-configuration",
        {"productionVariants": [{"instanceType": "ml.g6.2xlarge", "enableSsmAccess": True}]},
    ),
    "a volume in clear": (
        "EndpointConfiguration",
        "summariser-configuration",
        {"productionVariants": [{"instanceType": "ml.m7i.2xlarge", "enableSsmAccess": False}]},
    ),
}


@pytest.mark.parametrize("hole", SAGEMAKER_HOLES)
def test_a_21_a_hole_in_a_sagemaker_model_is_found(hole: str) -> None:
    kind, name, inputs = SAGEMAKER_HOLES[hole]

    assert list(sagemaker_faults(planted(captured("platform", "prod"), kind, name, **inputs)))


def test_graph_26_sagemaker_isolated_vpc() -> None:
    deployment = captured("platform", "prod")
    [model] = _of_sagemaker(deployment, "Model")
    tier = {one.id for one in of_type(deployment, "Subnet") if one.name.startswith("model-")}

    assert model.inputs["enableNetworkIsolation"] is True
    assert set(model.inputs["vpcConfig"]["subnets"]) == tier
    [group] = model.inputs["vpcConfig"]["securityGroupIds"]
    admitted = [
        one for one in of_type(deployment, "SecurityGroupIngressRule") if one.inputs["securityGroupId"] == group
    ]
    assert admitted == []


def test_a_21_only_the_gateway_asks_and_only_through_the_endpoint() -> None:
    p = policies("prod")
    [endpoint] = _of_sagemaker(captured("platform", "prod"), "Endpoint")
    arn = f"arn:aws:sagemaker:us-east-1:{p.account}:endpoint/{endpoint.inputs['name']}"

    def allowed(role: str, resource: str = arn, **context: str) -> bool:
        action = "sagemaker:InvokeEndpointWithResponseStream"
        asked = {name.replace("_", ":"): value for name, value in context.items()}
        return p.decide(p.role(role), action, resource, asked, through="sagemaker.runtime").allowed

    assert allowed("gateway")
    assert not allowed("gateway-ingest")
    assert not allowed("summariser")
    assert not allowed("gateway", f"{arn}-other")
    assert not allowed("gateway", aws_SourceVpce=p.endpoint_id("kms"))


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("model-intake", "s3:PutObject", True),
        ("model-intake", "s3:DeleteObjectVersion", False),
        ("model-intake", "s3:PutBucketObjectLockConfiguration", False),
        ("deployer", "s3:PutObject", False),
        ("gateway", "s3:PutObject", False),
        ("break-glass", "s3:DeleteObjectVersion", True),
    ],
)
def test_a_21_weights_come_in_one_way_and_stay(role: str, action: str, allowed: bool) -> None:
    """Even a role that may everything: the bucket decides."""
    p = policies("prod")
    bucket = p.bucket("models")
    resource = bucket if "Bucket" in action else f"{bucket}/summariser/1/model.safetensors"
    caller = f"arn:aws:iam::{p.account}:role/llm-pipelines-prod-{role}"

    assert p.decide(caller, action, resource, identity=[FULL_AWS_ACCESS]).allowed is allowed


# --- no keys of Bedrock ---------------------------------------------------------------------------------------

API_KEYS = ("AWS_BEARER_TOKEN_BEDROCK", "bedrock:CallWithBearerToken", "iam:CreateServiceSpecificCredential")
IDENTITIES_OF_PEOPLE = ("aws:iam/user:", "aws:iam/accessKey:", "aws:iam/serviceSpecificCredential:")


def key_faults(deployment: engine.Deployment) -> Iterator[str]:
    for resource in deployment.resources:
        if resource.type.startswith(IDENTITIES_OF_PEOPLE):
            yield f"{resource.name}: a user or a key"
        for document in ("containerDefinitions", "policy", "assumeRolePolicy"):
            text = str(resource.inputs.get(document, ""))
            granted = text if document != "policy" else json.dumps(_allows(text))
            yield from (f"{resource.name}: {word}" for word in API_KEYS if word in granted)


def _allows(policy: str) -> list[Json]:
    statements = json.loads(policy).get("Statement", []) if policy.startswith("{") else []
    return [one for one in statements if one.get("Effect") == "Allow"]


@pytest.mark.parametrize("program", ["platform", "document_assistant"])
@EVERY_ENVIRONMENT
def test_a_23_no_program_makes_a_user_or_hands_out_a_key_of_bedrock(program: str, stack: str) -> None:
    assert list(key_faults(captured(program, stack))) == []


def test_a_23_a_key_in_a_task_is_found() -> None:
    hole = planted(
        captured("platform", "dev"),
        "TaskDefinition",
        "gateway-task",
        containerDefinitions=json.dumps([{"environment": [{"name": "AWS_BEARER_TOKEN_BEDROCK", "value": ""}]}]),
    )

    assert list(key_faults(hole))


def test_a_23_no_file_of_what_is_deployed_names_a_key_of_bedrock() -> None:
    rooms = ("services", "stacks")  # components name it where they refuse it
    files = [file for room in rooms for file in (PLATFORM.parents[1] / room).rglob("*") if file.is_file()]
    texts = {file.name: file.read_bytes() for file in files if "__pycache__" not in file.parts}

    assert len(texts) > 50
    assert not [name for name, text in texts.items() if b"AWS_BEARER_TOKEN_BEDROCK" in text]
