"""Agents and flows of Bedrock: they are models with hands, so a numbered guardrail stands before each call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

AGENT: Final = "aws:bedrock/agentAgent:AgentAgent"
FLOW: Final = "aws:bedrock/agentFlow:AgentFlow"
_CALLING_NODES: Final = ("prompt", "knowledgeBase")


def _guarded(resource: Resource) -> Iterator[Outcome]:
    if resource.type == AGENT:
        guardrails = resource.at("guardrailConfigurations")
        yield from demand(guardrails.any(_is_numbered), "no guardrail in a numbered version", guardrails)
        return
    nodes = resource.at("definition.nodes")
    calling = [one for one in nodes.items() if _calls_model(one) is not Truth.NO]
    if not calling:
        yield NotApplicable("no node of the flow calls a model")
        return
    for node in calling:
        for kind in _CALLING_NODES:
            yield from _judge_node(node.at(f"configuration.{kind}"))


def _calls_model(node: View) -> Truth:
    return any_of(*(node.at(f"configuration.{kind}").is_given() for kind in _CALLING_NODES))


def _judge_node(configuration: View) -> Iterator[Outcome]:
    if configuration.is_given() is Truth.NO:
        return
    guardrail = configuration.at("guardrailConfiguration")
    yield from demand(_is_numbered(guardrail), "no guardrail in a numbered version", guardrail)


def _is_numbered(guardrail: View) -> Truth:
    version = guardrail.at("guardrailVersion")
    return all_of(guardrail.at("guardrailIdentifier").is_given(), version.matches(r"[1-9]\d*"))


def _agent(**guardrail: object) -> Resource:
    return Resource.example(AGENT, {"guardrailConfigurations": [guardrail]})


def _flow(kind: str, **configuration: object) -> Resource:
    return Resource.example(FLOW, {"definition": {"nodes": [{"name": "one", "configuration": {kind: configuration}}]}})


_GUARDRAIL = {"guardrailIdentifier": "abc123", "guardrailVersion": "7"}

AGENT_GUARDED = Rule(
    name="bedrock-agent-require-guardrail",
    description="Every agent, and every node of a flow that calls a model, has a guardrail in a numbered version.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "PI1.2"),
        iso27001_2022=("A.8.26", "A.8.12"),
        nist_800_53_r5=("SI-10", "SI-15"),
        owasp_llm=("LLM01:2026", "LLM02:2026", "LLM03:2026"),
        atlas=("AML.T0051", "AML.T0054", "AML.M0020"),
    ),
    remediation="Set guardrail_identifier and a numbered guardrail_version.",
    checkov=("CKV_AWS_383",),
    resource_types=(AGENT, FLOW),
    check=_guarded,
    obeys={
        "an agent": _agent(**_GUARDRAIL),
        "a prompt in a flow": _flow("prompt", guardrailConfiguration=_GUARDRAIL),
        "a knowledge base in a flow": _flow("knowledgeBase", guardrailConfiguration=_GUARDRAIL),
    },
    breaks={
        "no guardrail": Resource.example(AGENT, {}),
        "an empty list": Resource.example(AGENT, {"guardrailConfigurations": []}),
        "the draft": _agent(**{**_GUARDRAIL, "guardrailVersion": "DRAFT"}),
        "no identifier": _agent(guardrailVersion="7"),
        "no version": _agent(guardrailIdentifier="abc123"),
        "a prompt without one": _flow("prompt", sourceConfiguration={}),
        "a knowledge base without one": _flow("knowledgeBase", knowledgeBaseId="kb"),
        "a prompt with the draft": _flow("prompt", guardrailConfiguration={**_GUARDRAIL, "guardrailVersion": "DRAFT"}),
    },
    neighbours={
        "a flow that calls no model": _flow("condition", conditions=[]),
        "a flow without nodes": Resource.example(FLOW, {}),
        "a prompt is only text": Resource.example("aws:bedrock/agentPrompt:AgentPrompt"),
    },
)
