"""Bedrock's own resources: guardrails that bite, in numbered versions, and a log of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.rules.cloudwatch import LOG_GROUP
from policy_packs.rules.ecs import TASK_DEFINITION
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

GUARDRAIL: Final = "aws:bedrock/guardrail:Guardrail"
GUARDRAIL_VERSION: Final = "aws:bedrock/guardrailVersion:GuardrailVersion"
INFERENCE_PROFILE: Final = "aws:bedrock/inferenceProfile:InferenceProfile"
INVOCATION_LOGGING: Final = "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration"
_HARM: Final = ("SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT")
_CREDENTIALS: Final = ("AWS_ACCESS_KEY", "AWS_SECRET_KEY", "PASSWORD")


def _bites(guardrail: Resource) -> Iterator[Outcome]:
    filters = guardrail.at("contentPolicyConfig.filtersConfigs")
    attack = filters.any(partial(_filter, kind="PROMPT_ATTACK", strengths=("HIGH",)))
    yield from demand(attack, "PROMPT_ATTACK is not filtered at input strength HIGH", filters)
    for kind in _HARM:
        truth = filters.any(partial(_filter, kind=kind, strengths=("LOW", "MEDIUM", "HIGH")))
        yield from demand(truth, f"{kind} is not filtered", filters)
    entities = guardrail.at("sensitiveInformationPolicyConfig.piiEntitiesConfigs")
    for kind in _CREDENTIALS:
        truth = entities.any(partial(_stops, kind=kind))
        yield from demand(truth, f"{kind} is neither blocked nor masked", entities)
    grounding = guardrail.at("contextualGroundingPolicyConfig.filtersConfigs")
    for kind in ("GROUNDING", "RELEVANCE"):
        truth = grounding.any(partial(_threshold, kind=kind))
        yield from demand(truth, f"{kind} has no threshold", grounding)
    key = guardrail.at("kmsKeyArn")
    yield from demand(key.is_given(), "no customer managed key", key)


def _filter(one: View, kind: str, strengths: tuple[str, ...]) -> Truth:
    enabled, action = one.at("inputEnabled", absent=True), one.at("inputAction", absent="BLOCK")
    return all_of(
        one.at("type").equals(kind),
        one.at("inputStrength").equals(*strengths),
        enabled.equals(True),
        action.equals("BLOCK"),
    )


def _stops(one: View, kind: str) -> Truth:
    return all_of(one.at("type").equals(kind), one.at("action").equals("BLOCK", "ANONYMIZE"))


def _threshold(one: View, kind: str) -> Truth:
    return all_of(one.at("type").equals(kind), one.at("threshold").at_least(0.01))


def _guardrail(**changes: object) -> Resource:
    props = {
        "kmsKeyArn": "arn:aws:kms:…",
        "contentPolicyConfig": {
            "filtersConfigs": [
                {"type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "NONE"},
                *({"type": kind, "inputStrength": "MEDIUM", "outputStrength": "MEDIUM"} for kind in _HARM),
            ]
        },
        "sensitiveInformationPolicyConfig": {
            "piiEntitiesConfigs": [{"type": kind, "action": "BLOCK"} for kind in _CREDENTIALS]
        },
        "contextualGroundingPolicyConfig": {
            "filtersConfigs": [{"type": kind, "threshold": 0.7} for kind in ("GROUNDING", "RELEVANCE")]
        },
    }
    return Resource.example(GUARDRAIL, {**props, **changes}, "guardrail")


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
    resource_types=(GUARDRAIL,),
    check=_bites,
    obeys={"all of it": _guardrail()},
    breaks={
        "nothing set": Resource.example(GUARDRAIL, {}),
        "prompt attacks at medium strength": _guardrail(
            contentPolicyConfig={
                "filtersConfigs": [{"type": kind, "inputStrength": "MEDIUM"} for kind in ("PROMPT_ATTACK", *_HARM)]
            }
        ),
        "credentials only counted": _guardrail(
            sensitiveInformationPolicyConfig={
                "piiEntitiesConfigs": [{"type": kind, "action": "NONE"} for kind in _CREDENTIALS]
            }
        ),
        "grounding without a threshold": _guardrail(
            contextualGroundingPolicyConfig={"filtersConfigs": [{"type": "GROUNDING", "threshold": 0.0}]}
        ),
        "AWS's key": _guardrail(kmsKeyArn=None),
    },
)


def _versioned(stack: Stack) -> Iterator[Outcome]:
    if not stack.of_type(GUARDRAIL, TASK_DEFINITION):
        yield NotApplicable("the stack has neither a guardrail nor a container")
    for guardrail in stack.of_type(GUARDRAIL):
        related = stack.related(guardrail, (GUARDRAIL_VERSION,), by="guardrailArn")
        kept = [one.at("skipDestroy", absent=False).equals(True) for one in related.certain]
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
    },
)


def _logged(stack: Stack) -> Iterator[Outcome]:
    users = stack.of_type(GUARDRAIL, INFERENCE_PROFILE)
    settings = stack.of_type(INVOCATION_LOGGING)
    if not users and not settings:
        yield NotApplicable("the stack serves no model")
    if users:
        truth = Truth.of(len(settings) == 1)
        yield from demand(
            truth, "models are called, yet invocation logging is not set exactly once", View(None, "stack")
        )
    for one in settings:
        logging = one.at("loggingConfig")
        text = logging.at("textDataDeliveryEnabled", absent=True)  # AWS provider's documented default
        yield from demand(text.equals(True), "text is not logged", text, one.urn)
        group, bucket = logging.at("cloudwatchConfig.logGroupName"), logging.at("s3Config.bucketName")
        yield from demand(any_of(group.is_given(), bucket.is_given()), "goes nowhere", logging, one.urn)
        yield from _sink_encrypted(stack, one)


def _sink_encrypted(stack: Stack, logging: Resource) -> Iterator[Outcome]:
    """A log group of this stack that the logging depends on; a bucket's encryption is the business of S3's rules."""
    sources = {urn for urns in logging.joined.values() for urn in urns}
    for group in stack.of_type(LOG_GROUP):
        if group.urn in sources:
            key = group.at("kmsKeyId")
            yield from demand(key.is_given(), "prompts are logged without a customer managed key", key, group.urn)


def _logging(**config: object) -> Resource:
    props = {"loggingConfig": {"cloudwatchConfig": {"logGroupName": "invocations"}, **config}}
    return Resource.example(INVOCATION_LOGGING, props, "logging", loggingConfig="invocations")


_GROUP = Resource.example(LOG_GROUP, {"kmsKeyId": "arn:aws:kms:…"}, "invocations")

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
        "no model, no log": (_GROUP,),
    },
    breaks={
        "no logging": (_guardrail(),),
        "set twice: the second wins": (_guardrail(), _logging(), _logging()),
        "text left out": (_logging(textDataDeliveryEnabled=False), _GROUP),
        "no sink": (_logging(cloudwatchConfig=None),),
        "a sink without a key": (_logging(), Resource.example(LOG_GROUP, {}, "invocations")),
    },
)
