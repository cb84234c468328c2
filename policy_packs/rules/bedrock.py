"""Bedrock's own resources: guardrails that bite, in numbered versions, and a log of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.region import AWS_PROVIDER, region_of
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.rules.cloudwatch import LOG_GROUP
from policy_packs.rules.ecs import TASK_DEFINITION
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import UNKNOWN, View

GUARDRAIL: Final = "aws:bedrock/guardrail:Guardrail"
GUARDRAIL_VERSION: Final = "aws:bedrock/guardrailVersion:GuardrailVersion"
INFERENCE_PROFILE: Final = "aws:bedrock/inferenceProfile:InferenceProfile"
INVOCATION_LOGGING: Final = "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration"
AGENT_ALIAS: Final = "aws:bedrock/agentAgentAlias:AgentAgentAlias"
_USERS: Final = (GUARDRAIL, INFERENCE_PROFILE, AGENT_ALIAS)  # who has one of them calls models
_HARM: Final = ("SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT")
_CREDENTIALS: Final = ("AWS_ACCESS_KEY", "AWS_SECRET_KEY", "PASSWORD")


def _bites(guardrail: Resource) -> Iterator[Outcome]:
    filters = guardrail.at("contentPolicyConfig.filtersConfigs")
    attack = filters.any(partial(_stops_input, kind="PROMPT_ATTACK", strengths=("HIGH",)))
    yield from demand(attack, "PROMPT_ATTACK is not filtered at input strength HIGH", filters)
    strengths = guardrail.settings["harm_strengths"]
    allowed = tuple(strengths) if isinstance(strengths, list | tuple) else ()
    for kind in _HARM:
        truth = filters.any(partial(_stops_both_ways, kind=kind, strengths=allowed))
        yield from demand(truth, f"{kind} is not filtered strongly enough both ways", filters)
    yield from _stops_credentials(guardrail)
    yield from _grounds(guardrail)


def _stops_credentials(guardrail: Resource) -> Iterator[Outcome]:
    entities = guardrail.at("sensitiveInformationPolicyConfig.piiEntitiesConfigs")
    for kind in _CREDENTIALS:
        truth = entities.any(partial(_stops_entity, kind=kind))
        yield from demand(truth, f"{kind} is neither blocked nor masked", entities)


def _grounds(guardrail: Resource) -> Iterator[Outcome]:
    grounding = guardrail.at("contextualGroundingPolicyConfig.filtersConfigs")
    minimum = float(str(guardrail.settings["grounding_threshold_min"]))
    for kind in ("GROUNDING", "RELEVANCE"):
        truth = grounding.any(partial(_reaches, kind=kind, minimum=minimum))
        yield from demand(truth, f"{kind} has no threshold that is high enough", grounding)


def _stops_input(one: View, kind: str, strengths: tuple[object, ...]) -> Truth:
    return all_of(one.at("type").equals(kind), _stops(one, "input", strengths))


def _stops_both_ways(one: View, kind: str, strengths: tuple[object, ...]) -> Truth:
    return all_of(_stops_input(one, kind, strengths), _stops(one, "output", strengths))


def _stops(one: View, way: str, strengths: tuple[object, ...]) -> Truth:
    """Filters are on, and block, unless they say otherwise."""
    enabled, action = one.at(f"{way}Enabled", absent=True), one.at(f"{way}Action", absent="BLOCK")
    return all_of(one.at(f"{way}Strength").equals(*strengths), enabled.equals(True), action.equals("BLOCK"))


def _stops_entity(one: View, kind: str) -> Truth:
    """Each way takes the common action unless it says another."""
    ways = [one.at(f"{way}Action", absent=one.at("action").value) for way in ("input", "output")]
    enabled = [one.at(f"{way}Enabled", absent=True).equals(True) for way in ("input", "output")]
    stopped = [way.equals("BLOCK", "ANONYMIZE") for way in ways]
    return all_of(one.at("type").equals(kind), *stopped, *enabled)


def _reaches(one: View, kind: str, minimum: float) -> Truth:
    return all_of(one.at("type").equals(kind), one.at("threshold").at_least(minimum))


def _guardrail(**changes: object) -> Resource:
    props = {
        "contentPolicyConfig": {"filtersConfigs": [_ATTACK, *_harm_filters()]},
        "sensitiveInformationPolicyConfig": {"piiEntitiesConfigs": _entities(action="BLOCK")},
        "contextualGroundingPolicyConfig": {"filtersConfigs": _grounding(0.5)},
    }
    return Resource.example(GUARDRAIL, {**props, **changes}, "guardrail")


_ATTACK: Final[dict[str, object]] = {"type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "NONE"}


def _harm_filters(**changes: object) -> list[dict[str, object]]:
    return [{"type": kind, "inputStrength": "MEDIUM", "outputStrength": "MEDIUM", **changes} for kind in _HARM]


def _filters(*attacks: dict[str, object], **changes: object) -> Resource:
    return _guardrail(contentPolicyConfig={"filtersConfigs": [*(attacks or (_ATTACK,)), *_harm_filters(**changes)]})


def _without_filter(kind: str) -> Resource:
    filters = [one for one in (_ATTACK, *_harm_filters(inputStrength="HIGH")) if one["type"] != kind]
    return _guardrail(contentPolicyConfig={"filtersConfigs": filters})


def _masking_but(kind: str) -> Resource:
    entities = [one for one in _entities(action="BLOCK") if one["type"] != kind]
    return _guardrail(sensitiveInformationPolicyConfig={"piiEntitiesConfigs": entities})


def _entities(**settings: object) -> list[dict[str, object]]:
    return [{"type": kind, **settings} for kind in _CREDENTIALS]


def _masking(**settings: object) -> Resource:
    return _guardrail(sensitiveInformationPolicyConfig={"piiEntitiesConfigs": _entities(**settings)})


def _grounding(*thresholds: float) -> list[dict[str, object]]:
    return [{"type": kind, "threshold": one} for kind in ("GROUNDING", "RELEVANCE") for one in thresholds]


GUARDRAIL_STRENGTH = Rule(
    name="bedrock-guardrail-require-strength",
    description="A guardrail stops prompt attacks at full strength, harm, credentials and ungrounded answers.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("PI1.2",),
        iso27001_2022=("A.8.26", "A.8.12"),
        nist_800_53_r5=("SI-10", "SI-15"),
        owasp_llm=("LLM01:2026", "LLM02:2026", "LLM07:2026"),
        atlas=("AML.T0051", "AML.T0054", "AML.M0020"),
    ),
    remediation="Set six content filters, PROMPT_ATTACK to HIGH, credential entities and both grounding thresholds.",
    settings={"harm_strengths": ["LOW", "MEDIUM", "HIGH"], "grounding_threshold_min": 0.5},
    resource_types=(GUARDRAIL,),
    check=_bites,
    obeys={
        "all of it": _guardrail(),
        "credentials masked, and blocked on their way in": _masking(action="ANONYMIZE", inputAction="BLOCK"),
        "every switch spelt out": _filters(
            inputAction="BLOCK", outputAction="BLOCK", inputEnabled=True, outputEnabled=True
        ),
    },
    breaks={
        "nothing set": Resource.example(GUARDRAIL, {}),
        "prompt attacks at medium strength": _filters({**_ATTACK, "inputStrength": "MEDIUM"}),
        "prompt attacks only counted": _filters({**_ATTACK, "inputAction": "NONE"}),
        "prompt attacks switched off": _filters({**_ATTACK, "inputEnabled": False}),
        **{f"{kind} not filtered": _without_filter(kind) for kind in ["SEXUAL", "VIOLENCE", "HATE"]},
        **{f"{kind} not filtered": _without_filter(kind) for kind in ["INSULTS", "MISCONDUCT", "PROMPT_ATTACK"]},
        **{f"{kind} let through": _masking_but(kind) for kind in ["AWS_ACCESS_KEY", "AWS_SECRET_KEY", "PASSWORD"]},
        "only prompt attacks": _guardrail(contentPolicyConfig={"filtersConfigs": [_ATTACK]}),
        "harm let in": _filters(inputStrength="NONE"),
        "harm let out": _filters(outputStrength="NONE"),
        "harm only counted on its way out": _filters(outputAction="NONE"),
        "the filter of answers switched off": _filters(outputEnabled=False),
        "credentials only counted": _masking(action="NONE"),
        "credentials only counted on their way out": _masking(action="BLOCK", outputAction="NONE"),
        "credentials only counted on their way in": _masking(action="BLOCK", inputAction="NONE"),
        "credentials not looked for on their way in": _masking(action="BLOCK", inputEnabled=False),
        "credentials not looked for on their way out": _masking(action="BLOCK", outputEnabled=False),
        "passwords alone": _guardrail(
            sensitiveInformationPolicyConfig={"piiEntitiesConfigs": [{"type": "PASSWORD", "action": "BLOCK"}]}
        ),
        "grounding without a threshold": _guardrail(
            contextualGroundingPolicyConfig={"filtersConfigs": _grounding(0.0)}
        ),
        "a threshold just too low": _guardrail(contextualGroundingPolicyConfig={"filtersConfigs": _grounding(0.49)}),
        "grounding without relevance": _guardrail(
            contextualGroundingPolicyConfig={"filtersConfigs": [{"type": "GROUNDING", "threshold": 0.7}]}
        ),
    },
    neighbours={"a version is made of the guardrail it names": Resource.example(GUARDRAIL_VERSION)},
)


def _versioned(stack: Stack) -> Iterator[Outcome]:
    if not stack.of_type(GUARDRAIL, TASK_DEFINITION):
        yield NotApplicable("the stack has neither a guardrail nor a container")
        return
    for guardrail in stack.of_type(GUARDRAIL):
        related = stack.related(guardrail, (GUARDRAIL_VERSION,), by="guardrailArn")
        kept = [one.at("skipDestroy").equals(True) for one in related.certain]
        truth = any_of(*kept, *([Truth.UNKNOWN] if related.is_unclear else []))
        subject = View(None, f"guardrail '{guardrail.name}'")
        yield from demand(truth, "has no version that outlives its successor (skipDestroy)", subject, guardrail.urn)
    for task in stack.of_type(TASK_DEFINITION):
        text = task.at("containerDefinitions")
        used = text.matches(r"(?i).*guardrail.{0,80}\bDRAFT\b.*")
        yield from forbid(used, "uses the draft of a guardrail", text, task.urn)


def _version(**props: object) -> Resource:
    return Resource.example(GUARDRAIL_VERSION, props, "version", guardrailArn="guardrail")


def _task(guardrail_version: str) -> Resource:
    models = json.dumps([{"id": "nova-lite", "guardrail": {"id": "abc123", "version": guardrail_version}}])
    environment = [{"name": "MODELS", "value": models}]
    return Resource.example(
        TASK_DEFINITION, {"containerDefinitions": json.dumps([{"environment": environment}])}, "task"
    )


NUMBERED_VERSION = StackRule(
    name="bedrock-guardrail-require-numbered-version",
    description="A guardrail is used in a numbered version that stays, never as a draft that changes under its users.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC8.1",),
        iso27001_2022=("A.8.9", "A.8.32"),
        nist_800_53_r5=("CM-3", "SI-7"),
        owasp_llm=("LLM01:2026", "LLM04:2026"),
        atlas=("AML.M0014",),
    ),
    remediation="Add aws.bedrock.GuardrailVersion with skip_destroy=True and pass its version on.",
    check=_versioned,
    obeys={
        "a version that stays": (_guardrail(), _version(skipDestroy=True)),
        "its number in a container": (_guardrail(), _version(skipDestroy=True), _task("7")),
    },
    breaks={
        "no version": (_guardrail(),),
        "a version that is destroyed": (_guardrail(), _version()),
        "the draft in a container": (_task("DRAFT"),),
        "a version of another guardrail": (
            _guardrail(),
            Resource.example(GUARDRAIL_VERSION, {"skipDestroy": True}, "version", guardrailArn="other"),
        ),
    },
    neighbours={
        "the draft of something else": (
            Resource.example(TASK_DEFINITION, {"containerDefinitions": '[{"image": "DRAFT"}]'}, "task"),
        ),
        "neither guardrail nor container": (Resource.example(INFERENCE_PROFILE, {}),),
    },
)


def _logged(stack: Stack) -> Iterator[Outcome]:
    users, settings = stack.of_type(*_USERS), stack.of_type(INVOCATION_LOGGING)
    if not users and not settings:
        yield NotApplicable("the stack serves no model")
        return
    yield from _once_per_region(stack, [region_of(stack, one) for one in users])
    for one in settings:
        logging, text = one.at("loggingConfig"), one.at("loggingConfig.textDataDeliveryEnabled")
        yield from demand(text.equals(True), "text is not logged", text, one.urn)
        group, bucket = logging.at("cloudwatchConfig.logGroupName"), logging.at("s3Config.bucketName")
        yield from demand(any_of(group.is_given(), bucket.is_given()), "goes nowhere", logging, one.urn)
        yield from _sink_encrypted(stack, one)


def _once_per_region(stack: Stack, used: list[View]) -> Iterator[Outcome]:
    """AWS keeps one setting per account and region: where there are two, the second wins."""
    settings = [region_of(stack, one) for one in stack.of_type(INVOCATION_LOGGING)]
    subject = View(None, "stack")
    for region in {repr(one.value): one for one in used}.values():
        found = [Truth.UNKNOWN if region.is_unknown else one.equals(region.value) for one in settings]
        twice = any_of(*(all_of(*pair) for pair in combinations(found, 2)))
        yield from demand(any_of(*found), "models are called in a region without invocation logging", subject)
        yield from forbid(twice, "invocation logging is set twice in one region: the second wins", subject)


def _sink_encrypted(stack: Stack, logging: Resource) -> Iterator[Outcome]:
    """A log group of this stack that the logging depends on; a bucket's encryption is the business of S3's rules."""
    sources = {urn for urns in logging.joined.values() for urn in urns}
    for group in stack.of_type(LOG_GROUP):
        if group.urn in sources:
            key = group.at("kmsKeyId")
            yield from demand(is_customer_key(key), "prompts are logged without a customer managed key", key, group.urn)


def _logging(**config: object) -> Resource:
    props = {"loggingConfig": {"cloudwatchConfig": {"logGroupName": "invocations"}, **config}}
    return Resource.example(INVOCATION_LOGGING, props, "logging", loggingConfig="invocations")


def _in(region: str, resource: Resource) -> Resource:
    return replace(resource, props=View({**_plain(resource), "region": region}))


def _plain(resource: Resource) -> dict[str, object]:
    return resource.props.value if isinstance(resource.props.value, dict) else {}


_HOME, _ELSEWHERE = "eu-central-1", "eu-west-1"
_PROVIDER = Resource.example(AWS_PROVIDER, {"region": _HOME}, "provider")
_GROUP = Resource.example(LOG_GROUP, {"kmsKeyId": OWN_KEY}, "invocations")

INVOCATIONS_LOGGED = StackRule(
    name="bedrock-require-invocation-logging",
    description="A stack that serves models logs every invocation, text included, into an encrypted sink.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15",),
        nist_800_53_r5=("AU-2", "AU-12"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.M0024",),
    ),
    remediation="Add one InvocationLoggingConfiguration with text on and an encrypted log group or bucket as sink.",
    check=_logged,
    obeys={
        "logged to an encrypted group": (_guardrail(), _logging(), _GROUP),
        "logged to a bucket": (_guardrail(), _logging(cloudwatchConfig=None, s3Config={"bucketName": "content"})),
        "logged in each region": (_guardrail(), _guardrail(region=_ELSEWHERE), _logging(), _in(_ELSEWHERE, _logging())),
        "a region spelt out that is the provider's": (_PROVIDER, _guardrail(region=_HOME), _logging()),
    },
    breaks={
        "no logging": (_guardrail(),),
        "no logging of profiles": (Resource.example(INFERENCE_PROFILE, {}),),
        "no logging of agents": (Resource.example(AGENT_ALIAS, {}),),
        "set twice: the second wins": (_guardrail(), _logging(), _logging()),
        "set twice, beside one of an unknown region": (
            _guardrail(),
            _logging(),
            _logging(),
            replace(_logging(), props=View({"region": UNKNOWN})),
        ),
        "not logged in the second region": (_PROVIDER, _guardrail(), _guardrail(region=_ELSEWHERE), _logging()),
        "logged in another region": (_PROVIDER, _guardrail(), _in(_ELSEWHERE, _logging())),
        "text left out": (_logging(textDataDeliveryEnabled=False), _GROUP),
        "no sink": (_logging(cloudwatchConfig=None),),
        "a sink without a key": (_logging(), Resource.example(LOG_GROUP, {}, "invocations")),
    },
    neighbours={
        "no model, no log": (_GROUP,),
        "another log group without a key": (_logging(), Resource.example(LOG_GROUP, {}, "elsewhere")),
    },
)
