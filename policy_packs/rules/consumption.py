"""Bounded consumption: what a public endpoint may be asked, and how many accelerators may run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Statement, identity_documents
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand
from policy_packs.rules import api_gateway, waf
from policy_packs.rules.load_balancing import BALANCER
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

USAGE_PLAN: Final = "aws:apigateway/usagePlan:UsagePlan"
_MODELS: Final = ("aws:bedrock", "aws:sagemaker/endpoint:", "aws:sagemaker/model:")
_INVOCATIONS: Final = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "sagemaker:InvokeEndpoint")


def _within(number: View, most: object) -> Truth:
    """More than nothing, and no more than this."""
    limit = float(str(most))
    return all_of(
        negate(number.equals(0)), number.at_least(0), any_of(number.equals(limit), negate(number.at_least(limit)))
    )


def _requests_bounded(stack: Stack) -> Iterator[Outcome]:
    endpoints = (*waf.endpoints(stack), *stack.of_type(api_gateway.HTTP_STAGE))
    fronts_models = _calls_models(stack)
    if not endpoints or fronts_models is Truth.NO:
        yield NotApplicable("nothing that the public could reach a model through")
        return
    for endpoint in endpoints:
        exposed = all_of(fronts_models, _is_public(stack, endpoint))
        subject = View(None, f"'{endpoint.name}'")
        truth = any_of(negate(exposed), _is_limited(stack, endpoint))
        yield from demand(truth, "is public before models, and nothing limits what it is asked", subject, endpoint.urn)


def _calls_models(stack: Stack) -> Truth:
    """A model of AWS in the stack, or somebody in it who may call one."""
    if any(one.type.startswith(_MODELS) for one in stack.resources):
        return Truth.YES
    documents = [found for one in stack.of_type(*IDENTITY_POLICY_TYPES) for found in identity_documents(one)]
    return any_of(*(one.any([_lets_call(statement) for statement in one.statements]) for one in documents))


def _lets_call(statement: Statement) -> Truth:
    return all_of(statement.allows(), statement.covers(*_INVOCATIONS))


def _is_public(stack: Stack, endpoint: Resource) -> Truth:
    """An HTTP API answers nowhere but in public."""
    return Truth.YES if endpoint.type == api_gateway.HTTP_STAGE else waf.is_public(stack, endpoint)


def _is_limited(stack: Stack, endpoint: Resource) -> Truth:
    per_second = endpoint.settings["requests_per_second_max"]
    if endpoint.type == api_gateway.HTTP_STAGE:
        return _within(endpoint.at("defaultRouteSettings.throttlingRateLimit"), per_second)
    by_acl = any_of(*(_counts_requests(one, endpoint.settings) for one in _rules_before(stack, endpoint)))
    if endpoint.type == BALANCER:
        return by_acl
    methods = api_gateway.settings_of_every_method(stack, endpoint)
    throttled = [_within(one.at("settings.throttlingRateLimit"), per_second) for one in methods]
    return any_of(by_acl, *throttled, _has_usage_plan(stack, endpoint))


def _rules_before(stack: Stack, endpoint: Resource) -> Iterator[View]:
    """The rules of every web ACL of the stack that stands before the endpoint."""
    joints = {one.urn for one in stack.related(endpoint, (waf.ASSOCIATION,), by="resourceArn").certain}
    for acl in stack.of_type(waf.WEB_ACL):
        if joints & {one.urn for one in stack.related(acl, (waf.ASSOCIATION,), by="webAclArn").certain}:
            yield from waf.rules_of(stack, acl)


def _counts_requests(rule: View, settings: object) -> Truth:
    most = View(settings).at("requests_per_address_max").value
    stops = any_of(*(rule.at(f"action.{one}").is_given() for one in ("block", "captcha", "challenge")))
    return all_of(stops, _within(rule.at("statement.rateBasedStatement.limit"), most))


def _has_usage_plan(stack: Stack, stage: Resource) -> Truth:
    """A plan bounds those who come with a key, so every method has to ask for one."""
    plans = stack.related(stage, (USAGE_PLAN,), by="apiStages").certain
    rates = [_within(one.at("throttleSettings.rateLimit"), stage.settings["requests_per_second_max"]) for one in plans]
    methods = [one for one in stack.of_type(api_gateway.METHOD) if api_gateway.of_same_api(one, stage)]
    return all_of(any_of(*rates), Truth.of(bool(methods)), *(one.at("apiKeyRequired").equals(True) for one in methods))


_GUARDRAIL: Final = Resource.example("aws:bedrock/guardrail:Guardrail", {}, "guardrail")
_CALL: Final = {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}


def _permission(**changes: object) -> Resource:
    return Resource.example(
        "aws:iam/rolePolicy:RolePolicy", {"policy": json.dumps({"Statement": [{**_CALL, **changes}]})}, "permission"
    )


def _acl(limit: float, *, name: str = "acl", action: str = "block") -> Resource:
    rule = {"name": "flood", "action": {action: {}}, "statement": {"rateBasedStatement": {"limit": limit}}}
    return Resource.example(waf.WEB_ACL, {"rules": [rule]}, name)


def _http_stage(**settings: object) -> Resource:
    return Resource.example(api_gateway.HTTP_STAGE, {"defaultRouteSettings": settings}, "stage")


def _throttled(rate: float, path: str = "*/*") -> Resource:
    return Resource.example(
        api_gateway.METHOD_SETTINGS,
        {"methodPath": path, "settings": {"throttlingRateLimit": rate}},
        "settings",
        stageName="stage",
    )


def _plan(rate: float) -> Resource:
    return Resource.example(USAGE_PLAN, {"throttleSettings": {"rateLimit": rate}}, "plan", apiStages="stage")


def _method(*, key: bool | None = None, api: str = "api") -> Resource:
    return Resource.example(api_gateway.METHOD, {"apiKeyRequired": key}, "method", restApi=api)


_FRONT: Final = (_GUARDRAIL, waf.balancer(), waf.association("front"))
_API: Final = (_GUARDRAIL, *waf.rest_api("REGIONAL"))

RATE_LIMIT = StackRule(
    name="llm-endpoint-require-rate-limit",
    description="What the public can reach beside models answers so many requests and no more.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("A1.1", "CC6.6"),
        iso27001_2022=("A.8.6",),
        nist_800_53_r5=("SC-5", "SC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0029", "AML.T0034", "AML.M0004"),
    ),
    remediation="Block by a rate-based rule of a web ACL in front of it, or throttle: stage, every method, usage plan.",
    settings={"requests_per_address_max": 10_000, "requests_per_second_max": 1_000},
    check=_requests_bounded,
    obeys={
        "a rate-based rule before a load balancer": (*_FRONT, _acl(2_000.0)),
        "the most that is allowed": (*_FRONT, _acl(10_000.0)),
        "whoever asks too much proves to be human": (*_FRONT, _acl(2_000.0, action="captcha")),
        "or to be a browser": (*_FRONT, _acl(2_000.0, action="challenge")),
        "a rate-based rule before an API": (*_API, waf.association("stage"), _acl(2_000.0)),
        "every method throttled": (*_API, _throttled(50.0)),
        "a usage plan for callers with a key": (*_API, _plan(1_000.0), _method(key=True), _method(key=False, api="x")),
        "an HTTP API that throttles": (_GUARDRAIL, _http_stage(throttlingRateLimit=0.5)),
        "the web ACL stands before another too": (
            *_FRONT,
            _acl(2_000.0),
            Resource.example(waf.WEB_ACL, {"rules": []}, "other"),
        ),
    },
    breaks={
        "no web ACL": (_GUARDRAIL, waf.balancer()),
        "nothing before somebody who may call a model": (_permission(), waf.balancer()),
        "one of two may": (_permission(Action="s3:GetObject"), _permission(), waf.balancer()),
        "by another way of calling it": (_permission(Action="sagemaker:InvokeEndpoint"), waf.balancer()),
        "or a stream of it": (_permission(Action="bedrock:InvokeModelWithResponseStream"), waf.balancer()),
        "a managed model": (Resource.example("aws:sagemaker/model:Model", {}, "model"), waf.balancer()),
        "an endpoint of one": (Resource.example("aws:sagemaker/endpoint:Endpoint", {}, "served"), waf.balancer()),
        "a rule that only counts": (*_FRONT, _acl(2_000.0, action="count")),
        "more than is allowed": (*_FRONT, _acl(10_001.0)),
        "a rule without a rate": (
            *_FRONT,
            Resource.example(waf.WEB_ACL, {"rules": [{"action": {"block": {}}, "statement": {}}]}, "acl"),
        ),
        "the web ACL of something else": (_GUARDRAIL, waf.balancer(), waf.association("stage"), _acl(2_000.0)),
        "another web ACL has the rule": (*_FRONT, _acl(2_000.0, name="other")),
        "an API that throttles nothing": _API,
        "an API that throttles one method": (*_API, _throttled(50.0, "chat/POST")),
        "an API that throttles at the account's pace": (*_API, _throttled(-1.0)),
        "an API that throttles above what is allowed": (*_API, _throttled(1_000.5)),
        "a usage plan, and a method that asks for no key": (
            *_API,
            _plan(50.0),
            _method(key=True),
            _method(),
        ),
        "a usage plan, and no method": (*_API, _plan(50.0)),
        "a usage plan of too much": (*_API, _plan(1_001.0), _method(key=True)),
        "keys without a plan": (*_API, _method(key=True)),
        "an HTTP API at the account's pace": (_GUARDRAIL, _http_stage(detailedMetricsEnabled=True)),
        "an HTTP API closed by mistake": (_GUARDRAIL, _http_stage(throttlingRateLimit=0.0)),
    },
    neighbours={
        "a load balancer inside the network": (_GUARDRAIL, waf.balancer(internal=True)),
        "an API inside the network": (_GUARDRAIL, *waf.rest_api("PRIVATE")),
        "no model near": (waf.balancer(), _permission(Action="s3:GetObject"), _http_stage()),
        "nobody may call one": (waf.balancer(), _permission(Effect="Deny")),
        "models without an endpoint": (_GUARDRAIL,),
    },
)


NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
SCALING_GROUP: Final = "aws:autoscaling/group:Group"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
LAUNCH_CONFIGURATION: Final = "aws:ec2/launchConfiguration:LaunchConfiguration"
# GPUs of NVIDIA and AMD, Inferentia, Trainium, Gaudi: each family at AWS whose name begins so.
_ACCELERATED: Final = r"(g|gr|p|inf|trn|dl)\d[^.]*\..+"
_ACCELERATED_IMAGE: Final = r".*(GPU|NVIDIA|NEURON).*"


def _fleet_capped(stack: Stack) -> Iterator[Outcome]:
    groups = stack.of_type(NODE_GROUP, SCALING_GROUP)
    yield from () if groups else (NotApplicable("the stack has no group of instances"),)
    for group in groups:
        most = group.at("scalingConfig.maxSize" if group.type == NODE_GROUP else "maxSize")
        capped = _within(most, group.settings["accelerated_instances_max"])
        truth = any_of(capped, negate(_is_accelerated(stack, group)))
        subject = View(None, f"'{group.name}'")
        yield from demand(truth, "may grow to more accelerated instances than is allowed", subject, group.urn)


def _is_accelerated(stack: Stack, group: Resource) -> Truth:
    image = group.at("amiType").matches(_ACCELERATED_IMAGE)
    return any_of(image, *(one.any(lambda kind: kind.matches(_ACCELERATED)) for one in _instance_types(stack, group)))


def _instance_types(stack: Stack, group: Resource) -> Iterator[View]:
    yield group.at("instanceTypes")
    for override in group.at("mixedInstancesPolicy.launchTemplate.overrides").items():
        yield override.at("instanceType")
    for template in stack.of_type(LAUNCH_TEMPLATE, LAUNCH_CONFIGURATION):
        if _launches_from(group, template):
            yield template.at("instanceType")


def _launches_from(group: Resource, template: Resource) -> bool:
    joined = {
        urn
        for key in ("launchTemplate", "launchConfiguration", "mixedInstancesPolicy")
        for urn in group.joined.get(key, ())
    }
    named = {group.at(path).text for path in ("launchTemplate.id", "launchTemplate.name", "launchConfiguration")}
    return template.urn in joined or bool((named - {""}) & {template.at("id").text, template.at("name").text})


def _nodes(most: float | None, *instance_types: str, **props: object) -> Resource:
    scaling = {"minSize": 0.0, "maxSize": most}
    return Resource.example(NODE_GROUP, {"scalingConfig": scaling, "instanceTypes": list(instance_types), **props})


def _scaling_group(most: float, by: str, template: str = "template") -> Resource:
    return Resource.example(SCALING_GROUP, {"maxSize": most}, "group", **{by: template})


def _template(instance_type: str, type_: str = LAUNCH_TEMPLATE, **props: object) -> Resource:
    return Resource.example(type_, {"instanceType": instance_type, **props}, "template")


def _mixed(*instance_types: str) -> Resource:
    overrides = [{"instanceType": one} for one in instance_types]
    return Resource.example(
        SCALING_GROUP, {"maxSize": 99.0, "mixedInstancesPolicy": {"launchTemplate": {"overrides": overrides}}}
    )


FLEET_CAP = StackRule(
    name="llm-accelerated-instances-require-cap",
    description="No group of accelerated instances grows beyond what is allowed.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("A1.1",),
        iso27001_2022=("A.8.6",),
        nist_800_53_r5=("SC-5", "SC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0029", "AML.T0034"),
    ),
    remediation="Set max_size to what is paid for, or raise this rule's setting accelerated_instances_max on purpose.",
    settings={"accelerated_instances_max": 16},
    check=_fleet_capped,
    obeys={
        "a few": (_nodes(4.0, "g6.2xlarge"),),
        "the most that is allowed": (_nodes(16.0, "p5.48xlarge"),),
        "instances by template": (_scaling_group(2.0, "launchTemplate"), _template("trn1.32xlarge")),
    },
    breaks={
        **{
            f"too many {one}": (_nodes(17.0, "m7i.large", one),)
            for one in ("g6.2xlarge", "gr6.4xlarge", "p5.48xlarge", "inf2.xlarge", "trn1.32xlarge", "dl1.24xlarge")
        },
        "no maximum": (_nodes(None, "g6.2xlarge"),),
        **{
            f"too many, told by the image {one}": (_nodes(17.0, amiType=one),)
            for one in ("AL2_x86_64_GPU", "AL2023_x86_64_NVIDIA", "AL2023_x86_64_NEURON")
        },
        **{
            f"too many, by {one}": (_scaling_group(17.0, one), _template("g6.2xlarge"))
            for one in ("launchTemplate", "mixedInstancesPolicy")
        },
        "too many, by a launch configuration": (
            _scaling_group(17.0, "launchConfiguration"),
            _template("g6.2xlarge", LAUNCH_CONFIGURATION),
        ),
        "too many, by overrides": (_mixed("m7i.large", "g6.2xlarge"),),
        "too many, by the template's id": (
            _nodes(17.0, launchTemplate={"id": "lt-1"}),
            _template("g6.2xlarge", id="lt-1"),
        ),
        "too many, by the template's name": (
            _nodes(17.0, launchTemplate={"name": "gpu"}),
            _template("g6.2xlarge", name="gpu"),
        ),
        "too many, by a launch configuration's name": (
            Resource.example(SCALING_GROUP, {"maxSize": 17.0, "launchConfiguration": "gpu"}),
            _template("g6.2xlarge", LAUNCH_CONFIGURATION, name="gpu"),
        ),
    },
    neighbours={
        "any number of others": (_nodes(100.0, "m7i.large", amiType="AL2023_x86_64_STANDARD"),),
        "a family that only begins alike": (_mixed("t3.large", "is4gen.large", "mac2.metal"),),
        "another group's template": (_scaling_group(17.0, "launchTemplate", "other"), _template("g6.2xlarge")),
        "a template alone": (_template("g6.2xlarge"),),
    },
)
