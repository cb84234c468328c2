"""A stack that serves models reaches them through private endpoints, each with private DNS and a policy of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand
from policy_packs.rules.bedrock import AGENT_ALIAS, INFERENCE_PROFILE
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

VPC_ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
ENDPOINT_POLICY: Final = "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy"
PRIVATE_DNS: Final = "aws:vpc/endpointPrivateDns:EndpointPrivateDns"
SAGEMAKER_ENDPOINT: Final = "aws:sagemaker/endpoint:Endpoint"
# What is made to be called, and the service through which it is called.
_SERVICES: Final = {
    INFERENCE_PROFILE: "bedrock-runtime",
    "aws:bedrock/provisionedModelThroughput:ProvisionedModelThroughput": "bedrock-runtime",
    AGENT_ALIAS: "bedrock-agent-runtime",
    "aws:bedrock/agentKnowledgeBase:AgentKnowledgeBase": "bedrock-agent-runtime",
    "aws:bedrock/agentcoreAgentRuntime:AgentcoreAgentRuntime": "bedrock-agentcore",
    "aws:bedrock/agentcoreGateway:AgentcoreGateway": "bedrock-agentcore.gateway",
    SAGEMAKER_ENDPOINT: "sagemaker.runtime",
}


def _private(stack: Stack) -> Iterator[Outcome]:
    users = stack.of_type(*_SERVICES)
    if not users:
        yield NotApplicable("nothing in the stack is made to be called as a model")
        return
    elsewhere = {one.text for one in View(users[0].settings["endpoints_elsewhere"]).items()}
    needed = sorted({_SERVICES[one.type] for one in users} - elsewhere)
    endpoints = stack.of_type(VPC_ENDPOINT)
    for service in needed:
        truth = any_of(*(_serves(stack, one, service) for one in endpoints))
        subject = View(None, service)
        yield from demand(truth, "is used, yet has no private endpoint with private DNS and a policy", subject)


def _serves(stack: Stack, endpoint: Resource, service: str) -> Truth:
    name = endpoint.at("serviceName").matches(rf".*\.{service.replace('.', '[.]')}(-fips)?")
    kind = endpoint.at("vpcEndpointType").equals("Interface")
    return all_of(name, kind, _has_private_dns(stack, endpoint), _has_policy(stack, endpoint))


def _has_private_dns(stack: Stack, endpoint: Resource) -> Truth:
    apart = stack.related(endpoint, (PRIVATE_DNS,), by="vpcEndpointId")
    switches = (endpoint, *apart.certain)
    return any_of(*(one.at("privateDnsEnabled").equals(True) for one in switches), _perhaps(apart.is_unclear))


def _has_policy(stack: Stack, endpoint: Resource) -> Truth:
    apart = stack.related(endpoint, (ENDPOINT_POLICY,), by="vpcEndpointId")
    holders = (endpoint, *apart.certain)
    return any_of(*(one.at("policy").is_given() for one in holders), _perhaps(apart.is_unclear))


def _perhaps(is_unclear: bool) -> Truth:
    return Truth.UNKNOWN if is_unclear else Truth.NO


def _endpoint(service: str, **changes: object) -> Resource:
    props = {
        "serviceName": f"com.amazonaws.eu-central-1.{service}",
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
        "policy": '{"Statement": []}',
    }
    return Resource.example(VPC_ENDPOINT, {**props, **changes}, "endpoint")


def _user(kind: str) -> Resource:
    return Resource.example(kind, {}, "user")


_PROFILE = _user(INFERENCE_PROFILE)

PRIVATE_ENDPOINTS = StackRule(
    name="vpc-require-private-model-endpoints",
    description="What a stack calls as a model has a private endpoint, with private DNS and a policy of its own.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6", "CC6.7"),
        iso27001_2022=("A.8.20", "A.8.21", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4", "SC-8"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0040", "AML.T0025", "AML.M0019"),
    ),
    remediation="Add an interface endpoint with private_dns_enabled and policy, or name it in endpoints_elsewhere.",
    settings={"endpoints_elsewhere": []},
    check=_private,
    obeys={
        "a profile": (_PROFILE, _endpoint("bedrock-runtime")),
        "a validated one": (_PROFILE, _endpoint("bedrock-runtime-fips")),
        "an agent": (_user(AGENT_ALIAS), _endpoint("bedrock-agent-runtime")),
        "a model of SageMaker": (_user(SAGEMAKER_ENDPOINT), _endpoint("sagemaker.runtime")),
        "one good endpoint beside another": (
            _PROFILE,
            _endpoint("bedrock-runtime"),
            _endpoint("bedrock-runtime", policy=None),
        ),
        "policy and private DNS apart": (
            _PROFILE,
            _endpoint("bedrock-runtime", policy=None, privateDnsEnabled=None),
            Resource.example(ENDPOINT_POLICY, {"policy": "{}"}, "policy", vpcEndpointId="endpoint"),
            Resource.example(PRIVATE_DNS, {"privateDnsEnabled": True}, "dns", vpcEndpointId="endpoint"),
        ),
    },
    breaks={
        "no endpoint": (_PROFILE,),
        "an endpoint to something else": (_PROFILE, _endpoint("bedrock")),
        "an endpoint whose name only ends alike": (_PROFILE, _endpoint("not-bedrock-runtime")),
        "a dot is a dot": (_user(SAGEMAKER_ENDPOINT), _endpoint("sagemaker-runtime")),
        "a gateway endpoint": (_PROFILE, _endpoint("bedrock-runtime", vpcEndpointType="Gateway")),
        "no private DNS": (_PROFILE, _endpoint("bedrock-runtime", privateDnsEnabled=False)),
        "AWS's default policy": (_PROFILE, _endpoint("bedrock-runtime", policy=None)),
        "a policy of another endpoint": (
            _PROFILE,
            _endpoint("bedrock-runtime", policy=None),
            Resource.example(ENDPOINT_POLICY, {"policy": "{}"}, "policy", vpcEndpointId="other"),
        ),
        "one of two services": (_PROFILE, _user(SAGEMAKER_ENDPOINT), _endpoint("bedrock-runtime")),
        **{f"{kind.rpartition(':')[2]} without an endpoint": (_user(kind),) for kind in _SERVICES},
    },
    neighbours={
        "a model that nobody serves": (_user("aws:sagemaker/model:Model"),),
        "an agent without an alias answers nobody": (_user("aws:bedrock/agentAgent:AgentAgent"),),
        "an endpoint that nothing of the stack needs": (_endpoint("bedrock-runtime", policy=None),),
    },
)
