"""API Gateway: callers are known, requests are checked and logged, and no log repeats what they said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

REST_API: Final = "aws:apigateway/restApi:RestApi"
STAGE: Final = "aws:apigateway/stage:Stage"
METHOD: Final = "aws:apigateway/method:Method"
METHOD_SETTINGS: Final = "aws:apigateway/methodSettings:MethodSettings"
DOMAIN: Final = "aws:apigateway/domainName:DomainName"
HTTP_API: Final = "aws:apigatewayv2/api:Api"
HTTP_STAGE: Final = "aws:apigatewayv2/stage:Stage"
HTTP_ROUTE: Final = "aws:apigatewayv2/route:Route"
HTTP_DOMAIN: Final = "aws:apigatewayv2/domainName:DomainName"


def settings_of_every_method(stack: Stack, stage: Resource) -> list[Resource]:
    """By dependency, or by the stage's literal name in the same API."""
    joined = stack.related(stage, (METHOD_SETTINGS,), by="stageName").certain
    named = [one for one in stack.of_type(METHOD_SETTINGS) if _names_stage(one, stage)]
    return [one for one in (*joined, *named) if one.at("methodPath").equals("*/*") is Truth.YES]


def _names_stage(settings: Resource, stage: Resource) -> bool:
    name = settings.at("stageName").text
    return of_same_api(settings, stage) and bool(name) and name == stage.at("stageName").text


def of_same_api(one: Resource, other: Resource) -> bool:
    """By dependency, or by the API's literal id."""
    joined = {*one.joined.get("restApi", ())} & {*other.joined.get("restApi", ())}
    api = one.at("restApi").text
    return bool(joined) or (bool(api) and api == other.at("restApi").text)


def _stage(type_: str = STAGE, /, **props: object) -> Resource:
    return Resource.example(type_, {"stageName": "live", **props}, "stage", restApi="api")


def _method(**props: object) -> Resource:
    return Resource.example(METHOD, {"httpMethod": "POST", **props})


def _route(**props: object) -> Resource:
    return Resource.example(HTTP_ROUTE, {"routeKey": "POST /chat", **props})


def _caller_known(operation: Resource) -> Iterator[Outcome]:
    asks_nobody = _needs_no_caller(operation)
    if asks_nobody is Truth.YES:
        yield NotApplicable("a browser asks before it says who calls, or the connection was authorized already")
        return
    kind = operation.at("authorization" if operation.type == METHOD else "authorizationType")
    known = kind.equals("AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS", "JWT")
    yield from demand(any_of(asks_nobody, known), "whoever calls is let in", kind)


def _needs_no_caller(operation: Resource) -> Truth:
    """OPTIONS; and of a WebSocket API every message: its first request is authorized, by the route $connect."""
    if operation.type == METHOD:
        return operation.at("httpMethod").equals("OPTIONS")
    return operation.at("routeKey").matches(r"OPTIONS .*|(?!\$connect$|\$default$)\S+")


AUTHORIZED = Rule(
    name="apigateway-method-require-authorization",
    description="Every method and route of an API knows who calls; a key of an API is no proof of that.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "IA-2"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.M0019",),
    ),
    remediation="Set authorization (REST) or authorization_type (HTTP, WebSocket): AWS_IAM, an authorizer, or JWT.",
    checkov=("CKV_AWS_59", "CKV_AWS_309", "CKV2_AWS_70"),
    resource_types=(METHOD, HTTP_ROUTE),
    check=_caller_known,
    obeys={
        "callers of AWS": _method(authorization="AWS_IAM"),
        "an authorizer of ours": _method(authorization="CUSTOM", authorizerId="a1"),
        "a user pool": _method(authorization="COGNITO_USER_POOLS", authorizerId="a1"),
        "tokens": _route(authorizationType="JWT", authorizerId="a1"),
        "a WebSocket's first request": _route(routeKey="$connect", authorizationType="AWS_IAM"),
    },
    breaks={
        "nobody is asked": _method(authorization="NONE"),
        "left out, and AWS's default is to ask nobody": _route(target="integrations/i1"),
        "a key alone": _method(authorization="NONE", apiKeyRequired=True),
        "whatever no other route takes": _route(routeKey="$default"),
        "a WebSocket's first request": _route(routeKey="$connect", authorizationType="NONE"),
    },
    neighbours={
        "a browser asks what is allowed": _method(httpMethod="OPTIONS", authorization="NONE"),
        "a browser asks a route": _route(routeKey="OPTIONS /chat"),
        "a message on a WebSocket": _route(routeKey="sendmessage"),
        "the end of a WebSocket": _route(routeKey="$disconnect"),
    },
)


def _requests_validated(method: Resource) -> Iterator[Outcome]:
    asks = method.at("httpMethod").equals("OPTIONS")
    if asks is Truth.YES:
        yield NotApplicable("a browser's question has nothing to check")
        return
    validator = method.at("requestValidatorId")
    yield from demand(any_of(asks, validator.is_given()), "requests reach the backend unchecked", validator)


VALIDATED = Rule(
    name="apigateway-method-require-request-validator",
    description="Every method of a REST API refuses requests that lack what the method needs.",
    severity=Severity.LOW,
    controls=Controls(soc2=("CC6.6", "PI1.2"), iso27001_2022=("A.8.26",), nist_800_53_r5=("SI-10",)),
    remediation="Set request_validator_id to an aws.apigateway.RequestValidator of the API.",
    checkov=("CKV2_AWS_53",),
    resource_types=(METHOD,),
    check=_requests_validated,
    obeys={"checked": _method(requestValidatorId="v1")},
    breaks={"left out": _method(authorization="AWS_IAM"), "empty": _method(requestValidatorId="")},
    neighbours={
        "a browser asks what is allowed": _method(httpMethod="OPTIONS"),
        "a route, which knows no validator": _route(authorizationType="JWT"),
    },
)


def _access_logged(stage: Resource) -> Iterator[Outcome]:
    destination = stage.at("accessLogSettings.destinationArn")
    yield from demand(destination.is_given(), "nobody sees who called", destination)


_LOG_GROUP: Final = "arn:aws:logs:eu-central-1:111122223333:log-group:api"

ACCESS_LOGS = Rule(
    name="apigateway-stage-require-access-logs",
    description="Every stage of an API writes who called it.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation='Set access_log_settings={"destination_arn": …, "format": …}; the format names no body.',
    checkov=("CKV_AWS_76",),
    resource_types=(STAGE, HTTP_STAGE),
    check=_access_logged,
    obeys={
        "logged": _stage(accessLogSettings={"destinationArn": _LOG_GROUP}),
        "a stage of an HTTP API": _stage(HTTP_STAGE, accessLogSettings={"destinationArn": _LOG_GROUP}),
    },
    breaks={
        "left out, and AWS's default is off": _stage(),
        "without a destination": _stage(HTTP_STAGE, accessLogSettings={"format": "$context.requestId"}),
        "to nowhere": _stage(accessLogSettings={"destinationArn": ""}),
    },
    neighbours={"the API itself": Resource.example(REST_API, {"name": "chat"})},
)


def _repeats_no_content(resource: Resource) -> Iterator[Outcome]:
    places = ("settings",) if resource.type == METHOD_SETTINGS else ("defaultRouteSettings", "routeSettings")
    for settings in (one for place in places for one in resource.at(place).items()):
        trace = settings.at("dataTraceEnabled")
        yield from forbid(trace.equals(True), "the log repeats every request and response", trace)


def _method_settings(**settings: object) -> Resource:
    return Resource.example(METHOD_SETTINGS, {"methodPath": "*/*", "settings": settings}, "settings", stageName="stage")


DATA_TRACE = Rule(
    name="apigateway-stage-disallow-data-trace",
    description="No log of an API repeats the requests and responses themselves.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("C1.1", "CC6.1"),
        iso27001_2022=("A.8.12", "A.8.15"),
        nist_800_53_r5=("AU-3", "SC-28"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0057",),
    ),
    remediation="Set data_trace_enabled=False: with it prompts and answers stand in the log, and tokens beside them.",
    checkov=("CKV_AWS_276",),
    resource_types=(METHOD_SETTINGS, HTTP_STAGE),
    check=_repeats_no_content,
    obeys={
        "left out, and AWS's default is off": _method_settings(loggingLevel="INFO"),
        "turned off": _method_settings(dataTraceEnabled=False),
        "a stage of an HTTP API": _stage(HTTP_STAGE, defaultRouteSettings={"dataTraceEnabled": False}),
    },
    breaks={
        "every request": _method_settings(dataTraceEnabled=True),
        "every message of a WebSocket": _stage(HTTP_STAGE, defaultRouteSettings={"dataTraceEnabled": True}),
        "one route": _stage(HTTP_STAGE, routeSettings=[{"routeKey": "a"}, {"dataTraceEnabled": True}]),
    },
    neighbours={
        "an access log": _stage(accessLogSettings={"destinationArn": _LOG_GROUP}),
        "metrics": _method_settings(metricsEnabled=True),
        "an HTTP API without settings": _stage(HTTP_STAGE),
    },
)


def _execution_logged(stack: Stack) -> Iterator[Outcome]:
    stages = stack.of_type(STAGE)
    yield from () if stages else (NotApplicable("the stack has no stage of a REST API"),)
    for stage in stages:
        logged = any_of(*(_is_watched(one) for one in settings_of_every_method(stack, stage)))
        subject = View(None, f"stage '{stage.name}'")
        yield from demand(logged, "neither errors nor metrics of its methods are kept", subject, stage.urn)


def _is_watched(settings: Resource) -> Truth:
    level, metrics = settings.at("settings.loggingLevel"), settings.at("settings.metricsEnabled")
    return all_of(level.equals("ERROR", "INFO"), metrics.equals(True))


_WATCHED: Final = {"loggingLevel": "ERROR", "metricsEnabled": True}


def _named_settings(api: str, stage: str = "live", **changes: object) -> Resource:
    props = {"methodPath": "*/*", "stageName": stage, "settings": _WATCHED, **changes}
    return Resource.example(METHOD_SETTINGS, props, "settings", restApi=api)


EXECUTION_LOGS = StackRule(
    name="apigateway-stage-require-execution-logs",
    description="Every stage of a REST API logs the errors of all its methods and measures them.",
    severity=Severity.LOW,
    controls=Controls(soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-12", "SI-4")),
    remediation='Add aws.apigateway.MethodSettings for "*/*" with logging_level ERROR and metrics_enabled.',
    checkov=("CKV2_AWS_4",),
    check=_execution_logged,
    obeys={
        "errors": (_stage(), _method_settings(**_WATCHED)),
        "more than errors": (_stage(), _method_settings(loggingLevel="INFO", metricsEnabled=True)),
        "by the stage's name in the same API": (_stage(), _named_settings("api")),
        "by names alone": (
            Resource.example(STAGE, {"restApi": "a1", "stageName": "live"}),
            Resource.example(
                METHOD_SETTINGS, {"restApi": "a1", "stageName": "live", "methodPath": "*/*", "settings": _WATCHED}
            ),
        ),
    },
    breaks={
        "left out": (_stage(),),
        "logging is off": (_stage(), _method_settings(loggingLevel="OFF", metricsEnabled=True)),
        "metrics are off": (_stage(), _method_settings(loggingLevel="ERROR", metricsEnabled=False)),
        "one method of many": (_stage(), _named_settings("api", methodPath="chat/POST")),
        "another API's": (_stage(), _named_settings("others")),
        "another stage's": (_stage(), _named_settings("api", "test")),
        "nobody's": (
            Resource.example(STAGE, {}),
            Resource.example(METHOD_SETTINGS, {"methodPath": "*/*", "settings": _WATCHED}),
        ),
        "a stage without a name": (
            Resource.example(STAGE, {"restApi": "a1"}),
            Resource.example(METHOD_SETTINGS, {"restApi": "a1", "methodPath": "*/*", "settings": _WATCHED}),
        ),
    },
    neighbours={
        "a stage of an HTTP API": (_stage(HTTP_STAGE),),
        "settings of a stage elsewhere": (_named_settings("others"),),
    },
)


def _modern_tls(domain: Resource) -> Iterator[Outcome]:
    path = "securityPolicy" if domain.type == DOMAIN else "domainNameConfiguration.securityPolicy"
    policy = domain.at(path)
    yield from demand(policy.matches(r"TLS_1_2|SecurityPolicy_TLS1[23]_\w+"), "accepts less than TLS 1.2", policy)


def _domain(policy: str) -> Resource:
    return Resource.example(DOMAIN, {"domainName": "api.example.com", "securityPolicy": policy})


DOMAIN_TLS = Rule(
    name="apigateway-domain-require-tls12",
    description="An API's own domain name accepts TLS 1.2 or newer; HTTP APIs know nothing newer.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",), iso27001_2022=("A.8.20", "A.8.24"), nist_800_53_r5=("SC-8", "SC-13"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Set security_policy to SecurityPolicy_TLS13_1_3_2025_09, or TLS_1_2 for an HTTP API.",
    checkov=("CKV_AWS_206",),
    resource_types=(DOMAIN, HTTP_DOMAIN),
    check=_modern_tls,
    obeys={
        "TLS 1.2": _domain("TLS_1_2"),
        "TLS 1.3 alone": _domain("SecurityPolicy_TLS13_1_3_2025_09"),
        "TLS 1.2 at the edge": _domain("SecurityPolicy_TLS12_PFS_2025_EDGE"),
        "of an HTTP API": Resource.example(HTTP_DOMAIN, {"domainNameConfiguration": {"securityPolicy": "TLS_1_2"}}),
    },
    breaks={
        "TLS 1.0": _domain("TLS_1_0"),
        "left out, and the default depends on where it answers": Resource.example(DOMAIN, {}),
        "of an HTTP API, left out": Resource.example(HTTP_DOMAIN, {"domainNameConfiguration": {}}),
    },
    neighbours={
        "which path leads to which API": Resource.example("aws:apigateway/basePathMapping:BasePathMapping"),
        "TLS 1.3 and 1.2": _domain("SecurityPolicy_TLS13_1_2_2021_06"),
    },
)


def _proves_itself(stage: Resource) -> Iterator[Outcome]:
    certificate = stage.at("clientCertificateId")
    yield from demand(certificate.is_given(), "backends cannot tell the API from anybody else", certificate)


CLIENT_CERTIFICATE = Rule(
    name="apigateway-stage-require-client-certificate",
    description="A REST API proves to the backends it calls over HTTPS that it is the one who calls.",
    severity=Severity.LOW,
    controls=Controls(soc2=("CC6.1", "CC6.7"), iso27001_2022=("A.8.20", "A.8.21"), nist_800_53_r5=("IA-9", "SC-8")),
    remediation="Set client_certificate_id to an aws.apigateway.ClientCertificate; backends trust no other.",
    checkov=("CKV2_AWS_51",),
    resource_types=(STAGE,),
    check=_proves_itself,
    obeys={"a certificate": _stage(clientCertificateId="c1")},
    breaks={"left out": _stage(), "empty": _stage(clientCertificateId="")},
    neighbours={"a stage of an HTTP API, which knows no such certificate": _stage(HTTP_STAGE)},
)
