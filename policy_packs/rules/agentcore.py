"""AgentCore: runtimes, tools and gateways of agents stay in our network and ask who calls before they act."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, Unclear, demand, forbid
from policy_packs.rules.bedrock_agent import AGENT, FLOW
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

RUNTIME: Final = "aws:bedrock/agentcoreAgentRuntime:AgentcoreAgentRuntime"
BROWSER: Final = "aws:bedrock/agentcoreBrowser:AgentcoreBrowser"
CODE_INTERPRETER: Final = "aws:bedrock/agentcoreCodeInterpreter:AgentcoreCodeInterpreter"
HARNESS: Final = "aws:bedrock/agentcoreHarness:AgentcoreHarness"
GATEWAY: Final = "aws:bedrock/agentcoreGateway:AgentcoreGateway"
_MEMORY: Final = "aws:bedrock/agentcoreMemory:AgentcoreMemory"


def _networks(resource: Resource) -> tuple[View, ...]:
    """A harness takes one for each environment; none given is AWS's own network."""
    if resource.type != HARNESS:
        return (resource.at("networkConfiguration"),)
    environments = resource.at("environments")
    runtimes = [inner for one in environments.items() for inner in one.at("agentcoreRuntimeEnvironments").items()]
    networks = tuple(network for one in runtimes for network in one.at("networkConfigurations").items())
    return networks or (environments.at("networkConfigurations"),)


def _in_vpc(resource: Resource) -> Iterator[Outcome]:
    for network in _networks(resource):
        mode = network.at("networkMode")
        yield from demand(mode.equals("VPC"), "runs outside our network", mode)
        places = [network.at(name) for name in ("networkModeConfig", "networkModeConfigs", "vpcConfig")]
        for part in ("subnets", "securityGroups"):
            truth = any_of(*(_gives(place, part) for place in places))
            yield from demand(truth, f"names no {part} of ours", network)


def _gives(place: View, part: str) -> Truth:
    return place.any(lambda one: one.at(part).is_given())


_OURS = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}


def _runtime(**network: object) -> Resource:
    return Resource.example(RUNTIME, {"networkConfiguration": network})


def _harness(**network: object) -> Resource:
    runtime = {"networkConfigurations": [network]}
    return Resource.example(HARNESS, {"environments": [{"agentcoreRuntimeEnvironments": [runtime]}]})


IN_VPC = Rule(
    name="agentcore-require-vpc",
    description="Runtimes, browsers and code interpreters of agents run in our own subnets, behind our own groups.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM03:2026", "LLM02:2026"),
        atlas=("AML.T0086", "AML.T0053", "AML.M0032"),
    ),
    remediation="Set network_mode to VPC, with subnets and security groups.",
    resource_types=(RUNTIME, BROWSER, CODE_INTERPRETER, HARNESS),
    check=_in_vpc,
    obeys={
        "a runtime": _runtime(networkMode="VPC", networkModeConfig=_OURS),
        "a browser": Resource.example(BROWSER, {"networkConfiguration": {"networkMode": "VPC", "vpcConfig": _OURS}}),
        "a code interpreter": Resource.example(
            CODE_INTERPRETER, {"networkConfiguration": {"networkMode": "VPC", "vpcConfig": _OURS}}
        ),
        "a harness": _harness(networkMode="VPC", networkModeConfigs=[_OURS]),
    },
    breaks={
        "a public runtime": _runtime(networkMode="PUBLIC", networkModeConfig=_OURS),
        "no subnets": _runtime(networkMode="VPC", networkModeConfig={"securityGroups": ["sg-1"]}),
        "no security groups": _runtime(networkMode="VPC", networkModeConfig={"subnets": ["subnet-1"]}),
        "no network at all": Resource.example(BROWSER, {}),
        "a sandbox is not our network": Resource.example(
            CODE_INTERPRETER, {"networkConfiguration": {"networkMode": "SANDBOX"}}
        ),
        "a public harness": _harness(networkMode="PUBLIC", networkModeConfigs=[_OURS]),
        "a harness without a network": Resource.example(HARNESS, {}),
    },
    neighbours={"a memory runs nowhere": Resource.example(_MEMORY, {"networkMode": "PUBLIC"})},
)


def _authorized(gateway: Resource) -> Iterator[Outcome]:
    kind = gateway.at("authorizerType")
    yield from demand(kind.equals("AWS_IAM", "CUSTOM_JWT"), "lets callers in without authorization", kind)
    issuer = gateway.at("authorizerConfiguration.customJwtAuthorizer")
    narrow = any_of(*(issuer.at(name).is_given() for name in ("allowedAudiences", "allowedClients")))
    truth = any_of(negate(kind.equals("CUSTOM_JWT")), narrow)
    yield from demand(truth, "accepts a token that the issuer made for anybody", issuer)


def _gateway(**props: object) -> Resource:
    return Resource.example(GATEWAY, props)


def _jwt(**authorizer: object) -> Resource:
    return _gateway(authorizerType="CUSTOM_JWT", authorizerConfiguration={"customJwtAuthorizer": authorizer})


AUTHORIZER = Rule(
    name="agentcore-gateway-require-authorizer",
    description="A gateway to tools lets in signed requests, or tokens of named audiences or clients.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.5"),
        nist_800_53_r5=("AC-3", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0053", "AML.M0019"),
    ),
    remediation="Set authorizer_type to AWS_IAM, or to CUSTOM_JWT with allowed audiences or clients.",
    resource_types=(GATEWAY,),
    check=_authorized,
    obeys={
        "signed requests": _gateway(authorizerType="AWS_IAM"),
        "tokens for an audience": _jwt(allowedAudiences=["tools"]),
        "tokens for a client": _jwt(allowedClients=["agent"]),
    },
    breaks={
        "nobody is asked": _gateway(authorizerType="NONE"),
        "callers are known, yet all may call": _gateway(authorizerType="AUTHENTICATE_ONLY"),
        "left out": _gateway(),
        "a token for anybody": _jwt(discoveryUrl="https://login.example.com/.well-known/openid-configuration"),
    },
    neighbours={"a target of a gateway": Resource.example(f"{GATEWAY}Target", {"authorizerType": "NONE"})},
)


def _enforced(gateway: Resource) -> Iterator[Outcome]:
    engine = gateway.at("policyEngineConfiguration")
    mode = engine.at("mode")
    truth = all_of(engine.at("arn").is_given(), mode.equals("ENFORCE"))
    yield from demand(truth, "no policy engine decides what tools may be called", mode)


ENFORCED_POLICY = Rule(
    name="agentcore-gateway-require-enforced-policy",
    description="A policy engine decides which tools of a gateway may be called, and its decisions are enforced.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM03:2026", "LLM01:2026"),
        atlas=("AML.T0053", "AML.T0086", "AML.M0028"),
    ),
    remediation="Set policy_engine_configuration with the engine's arn and mode ENFORCE.",
    resource_types=(GATEWAY,),
    check=_enforced,
    obeys={"enforced": _gateway(policyEngineConfiguration={"arn": "arn:aws:…", "mode": "ENFORCE"})},
    breaks={
        "left out": _gateway(),
        "only logged": _gateway(policyEngineConfiguration={"arn": "arn:aws:…", "mode": "LOG_ONLY"}),
        "no engine": _gateway(policyEngineConfiguration={"mode": "ENFORCE"}),
    },
    neighbours={"an engine that no gateway uses": Resource.example("aws:bedrock/agentcorePolicyEngine:Engine")},
)


def _discreet(gateway: Resource) -> Iterator[Outcome]:
    level = gateway.at("exceptionLevel")
    yield from forbid(level.equals("DEBUG"), "tells callers what failed inside", level)


NO_DEBUG = Rule(
    name="agentcore-gateway-disallow-debug",
    description="A gateway tells callers that a call failed, not how: its inner messages are for us.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.9", "A.8.12"),
        nist_800_53_r5=("SI-11",),
        owasp_llm=("LLM02:2026", "LLM08:2026"),
        atlas=("AML.T0086",),
    ),
    remediation="Leave exception_level out.",
    resource_types=(GATEWAY,),
    check=_discreet,
    obeys={
        "left out": _gateway(authorizerType="AWS_IAM", exceptionLevel=None),
        "another level": _gateway(exceptionLevel="INFO"),
    },
    breaks={"debugging": _gateway(exceptionLevel="DEBUG")},
    neighbours={"a runtime has no such level": Resource.example(RUNTIME, {"exceptionLevel": "DEBUG"})},
)


def _recorded(browser: Resource) -> Iterator[Outcome]:
    recording = browser.at("recording")
    enabled, bucket = recording.at("enabled"), recording.at("s3Location.bucket")
    yield from demand(enabled.equals(True), "what an agent does in the browser is not recorded", enabled)
    yield from demand(bucket.is_given(), "the recording goes nowhere", bucket)


def _browser(**recording: object) -> Resource:
    return Resource.example(BROWSER, {"recording": recording})


_BUCKET = {"bucket": "recordings", "prefix": "browser/"}

RECORDED = Rule(
    name="agentcore-browser-require-recording",
    description="What an agent does in a browser is recorded into a bucket of ours.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15",),
        nist_800_53_r5=("AU-2", "AU-12", "AU-14"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0086", "AML.M0024"),
    ),
    remediation="Set recording with enabled and s3_location.",
    resource_types=(BROWSER,),
    check=_recorded,
    obeys={"recorded": _browser(enabled=True, s3Location=_BUCKET)},
    breaks={
        "left out": Resource.example(BROWSER, {}),
        "turned off": _browser(enabled=False, s3Location=_BUCKET),
        "no bucket": _browser(enabled=True),
    },
    neighbours={"a profile of a browser": Resource.example(f"{BROWSER}Profile")},
)


def _pinned_code(resource: Resource) -> Iterator[Outcome]:
    artifact = resource.at("environmentArtifact" if resource.type == HARNESS else "agentRuntimeArtifact")
    image, code = artifact.at("containerConfiguration.containerUri"), artifact.at("codeConfiguration.code.s3")
    by_digest = image.matches(r".+@sha256:[0-9a-f]{64}")
    by_version = all_of(negate(image.is_given()), code.at("versionId").is_given())
    if resource.type == HARNESS and artifact.is_given() is Truth.NO:
        yield NotApplicable("the harness brings its own environment")
        return
    yield from demand(any_of(by_digest, by_version), "a tag or key may name other code tomorrow", artifact)


def _image(uri: str) -> dict[str, object]:
    return {"containerConfiguration": {"containerUri": uri}}


def _code(**place: object) -> dict[str, object]:
    return {"codeConfiguration": {"code": {"s3": {"bucket": "code", "prefix": "agent.zip", **place}}}}


_DIGEST = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/agent@sha256:" + "0" * 64

PINNED_CODE = Rule(
    name="agentcore-runtime-require-pinned-code",
    description="An agent's runtime takes its image by digest, or its code by the version of an object.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("SI-7", "CM-14", "SR-11"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010.001", "AML.M0014"),
    ),
    remediation="Name the image as repository@sha256:…, or set version_id of the code in S3.",
    resource_types=(RUNTIME, HARNESS),
    check=_pinned_code,
    obeys={
        "an image by digest": Resource.example(RUNTIME, {"agentRuntimeArtifact": _image(_DIGEST)}),
        "code by version": Resource.example(RUNTIME, {"agentRuntimeArtifact": _code(versionId="v1")}),
        "a harness by digest": Resource.example(HARNESS, {"environmentArtifact": _image(_DIGEST)}),
    },
    breaks={
        "an image by tag": Resource.example(RUNTIME, {"agentRuntimeArtifact": _image("registry/agent:1")}),
        "a digest and more": Resource.example(RUNTIME, {"agentRuntimeArtifact": _image(f"{_DIGEST}0")}),
        "code without a version": Resource.example(RUNTIME, {"agentRuntimeArtifact": _code()}),
        "a version beside an image by tag": Resource.example(
            RUNTIME, {"agentRuntimeArtifact": {**_image("registry/agent:1"), **_code(versionId="v1")}}
        ),
        "nothing": Resource.example(RUNTIME, {}),
        "a harness by tag": Resource.example(HARNESS, {"environmentArtifact": _image("registry/agent:1")}),
    },
    neighbours={
        "a harness in AWS's environment": Resource.example(HARNESS, {"harnessName": "reviewer"}),
        "an endpoint of a runtime": Resource.example(f"{RUNTIME}Endpoint"),
    },
)

_ROLE_OF: Final = {
    AGENT: "agentResourceRoleArn",
    FLOW: "executionRoleArn",
    RUNTIME: "roleArn",
    HARNESS: "executionRoleArn",
    BROWSER: "executionRoleArn",
    CODE_INTERPRETER: "executionRoleArn",
    GATEWAY: "roleArn",
}


def _own_roles(stack: Stack) -> Iterator[Outcome]:
    agents = [(one, _ROLE_OF[one.type]) for one in stack.of_type(*_ROLE_OF)]
    if not agents:
        yield NotApplicable("the stack has no agent")
        return
    holders: defaultdict[str, list[Resource]] = defaultdict(list)
    for agent, name in agents:
        role, joined = agent.at(name), agent.joined.get(name, ())
        for known in joined or (role.text,):
            holders[known].append(agent)
        if role.is_unknown and not joined:
            yield Unclear(role.path, agent.urn)
    for known, sharing in holders.items():
        for agent in sharing if known and len(sharing) > 1 else ():
            subject = View(None, _ROLE_OF[agent.type])
            yield from demand(Truth.NO, "another agent has the same role", subject, agent.urn)


def _agent(name: str, role: str) -> Resource:
    return Resource.example(AGENT, {}, name, agentResourceRoleArn=role)


_SHARED = "arn:aws:iam::111122223333:role/agent"

OWN_ROLE = StackRule(
    name="agentcore-require-role-of-its-own",
    description="Every agent, tool and gateway of agents has a role of its own: nobody borrows another's rights.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.16", "A.8.2"),
        nist_800_53_r5=("AC-6", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0053", "AML.T0098", "AML.M0026"),
    ),
    remediation="Give each agent its own role with its own permissions.",
    check=_own_roles,
    obeys={
        "one role each": (_agent("a", "role-a"), _agent("b", "role-b")),
        "one role each, by ARN": (
            Resource.example(RUNTIME, {"roleArn": _SHARED}, "a"),
            Resource.example(GATEWAY, {"roleArn": f"{_SHARED}-gateway"}, "b"),
        ),
    },
    breaks={
        "two agents with one role": (_agent("a", "role"), _agent("b", "role")),
        "an agent and a gateway with one role": (
            Resource.example(RUNTIME, {"roleArn": _SHARED}, "a"),
            Resource.example(GATEWAY, {"roleArn": _SHARED}, "b"),
        ),
        "a browser with its agent's role": (
            Resource.example(RUNTIME, {"roleArn": _SHARED}, "a"),
            Resource.example(BROWSER, {"executionRoleArn": _SHARED}, "b"),
        ),
    },
    neighbours={
        "an agent and its memory": (
            Resource.example(RUNTIME, {"roleArn": _SHARED}, "a"),
            Resource.example(_MEMORY, {"memoryExecutionRoleArn": _SHARED}, "b"),
        ),
        "tools without any role": (Resource.example(BROWSER, {}, "a"), Resource.example(CODE_INTERPRETER, {}, "b")),
        "no agent": (Resource.example(_MEMORY, {}),),
    },
)
