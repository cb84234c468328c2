"""Who may call a model: a named one, under a pinned guardrail, with a short-lived identity."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, Statement, identity_documents
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, Unclear, demand, forbid
from policy_packs.rules.ecs import TASK_DEFINITION, containers
from policy_packs.rules.iam import ROLE_POLICY
from policy_packs.rules.lambda_function import FUNCTION, variables_of
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

INVOKE: Final = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")  # Converse is authorised by them
MODEL_CALLS: Final = (
    *INVOKE,
    "bedrock:InvokeAgent",
    "bedrock:InvokeInlineAgent",
    "bedrock:InvokeFlow",
    "bedrock:CreateModelInvocationJob",
    "bedrock:StartAsyncInvoke",
    "bedrock:Retrieve",
    "bedrock:RetrieveAndGenerate",
    "bedrock-mantle:CreateInference",
    "sagemaker:InvokeEndpoint",
    "sagemaker:InvokeEndpointAsync",
    "sagemaker:InvokeEndpointWithResponseStream",
)
GUARDRAIL_KEY: Final = "bedrock:GuardrailIdentifier"
_PINNED: Final = r"arn:[^:]*:bedrock:[^:]*:\d{12}:guardrail/[\w-]+:[1-9]\d*"
_NAMED_MODEL: Final = (
    r"arn:[^:*?]+:bedrock:[^:*?]*:[^:*?]*:"
    r"(foundation-model|inference-profile|application-inference-profile|custom-model|provisioned-model|imported-model)"
    r"/[^*?]+"
)
_EMBEDDING_MODEL: Final = r"arn:[^:]*:bedrock:[^:]*:[^:]*:foundation-model/[\w-]+\.(titan-)?embed[^*?]*"
_PROFILE_KEY: Final = "bedrock:InferenceProfileArn"


def invoking(document: Document) -> tuple[Statement, ...]:
    """Statements that let somebody call a model, or may."""
    return tuple(one for one in document.statements if _lets_call(one) is not Truth.NO)


def _lets_call(statement: Statement) -> Truth:
    return all_of(statement.allows(), statement.covers(*INVOKE))


def _nothing_invoked(documents: tuple[Document, ...]) -> bool:
    return not any(invoking(document) for document in documents)


def _names_model(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if _nothing_invoked(documents):
        yield NotApplicable("no statement lets anyone call a model")
    for document in documents:
        yield from document.outcomes()
        for statement in invoking(document):
            for named in statement.resources():
                message = "lets models be called that it does not name"
                yield from demand(_is_named(statement, named), message, named)


def _is_named(statement: Statement, resource: View) -> Truth:
    """A statement we cannot tell to be an Allow of invocation makes its resources unclear, not wrong."""
    return any_of(negate(_lets_call(statement)), resource.matches(_NAMED_MODEL))


def permission(*statements: object) -> Resource:
    return Resource.example(ROLE_POLICY, {"policy": json.dumps({"Version": "2012-10-17", "Statement": statements})})


_PROFILE = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123"
_MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
_EMBEDDING = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0"
_GUARDRAIL = "arn:aws:bedrock:eu-west-1:111122223333:guardrail/abc123"
_ALLOW = {"Effect": "Allow", "Action": list(INVOKE), "Resource": [_PROFILE, _MODEL]}
_UNGUARDED_DENY = {
    "Effect": "Deny",
    "Action": "bedrock:InvokeModel*",
    "Resource": [_PROFILE, _MODEL],
    "Condition": {"StringNotEquals": {GUARDRAIL_KEY: f"{_GUARDRAIL}:7"}},
}
_READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::documents/*"}

NAMED_MODEL = Rule(
    name="bedrock-invoke-require-named-model",
    description="A permission to call a model names the model or the inference profile, without a wildcard.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.3",),
        iso27001_2022=("A.5.15", "A.8.9"),
        nist_800_53_r5=("AC-6", "CM-7(5)"),
        owasp_llm=("LLM04:2026", "LLM06:2026"),
        atlas=("AML.T0010.003", "AML.T0034", "AML.M0019"),
    ),
    remediation="List the ARNs of the application inference profile and of the models behind it.",
    checkov=("CKV_AWS_355", "CKV_AWS_356"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_names_model,
    obeys={
        "a profile and the model behind it": permission(_ALLOW),
        "no invocation at all": permission(_READ),
        "a deny of everything": permission({"Effect": "Deny", "Action": "bedrock:*", "Resource": "*"}),
    },
    breaks={
        "every resource": permission({**_ALLOW, "Resource": "*"}),
        "every model": permission({**_ALLOW, "Resource": "arn:aws:bedrock:eu-west-1::foundation-model/*"}),
        "a family of models": permission(
            {**_ALLOW, "Resource": "arn:aws:bedrock:*::foundation-model/amazon.nova-lite"}
        ),
        "hidden behind a wildcard action": permission({**_ALLOW, "Action": "bedrock:*", "Resource": "*"}),
        "plain calls of every model": permission({"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}),
        "hidden behind NotAction": permission({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
        "hidden behind NotResource": permission(
            {"Effect": "Allow", "Action": "bedrock:Invoke*", "NotResource": _MODEL}
        ),
    },
    neighbours={
        "a look at every model": permission({**_ALLOW, "Action": "bedrock:ListFoundationModels", "Resource": "*"}),
        "every object of a bucket that is called like a model": permission(
            {**_READ, "Resource": "arn:aws:s3:::foundation-model/*"}
        ),
    },
)


def _guarded(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if _nothing_invoked(documents):
        yield NotApplicable("no statement lets anyone call a model")
    for document in documents:
        yield from document.outcomes()
        for statement in invoking(document):
            for model in statement.resources():
                guarded = any_of(_only_embeds(document, model), _pins(statement), _denied_unguarded(document, model))
                truth = any_of(negate(_lets_call(statement)), guarded)
                yield from demand(truth, "lets a model be called without a pinned guardrail", model)


def _only_embeds(document: Document, model: View) -> Truth:
    """Embeddings know no guardrail. A profile's ARN does not tell its model, but the statement that lets the
    model be called through that profile does: without it AWS refuses the call.
    """
    behind = [
        named
        for one in invoking(document)
        if _profiles(one).any(lambda profile: profile.equals(model.value)) is not Truth.NO
        for named in one.resources()
    ]
    through_profile = all_of(Truth.of(bool(behind)), *(one.matches(_EMBEDDING_MODEL) for one in behind))
    return any_of(model.matches(_EMBEDDING_MODEL), through_profile)


def _profiles(statement: Statement) -> View:
    return statement.condition(_PROFILE_KEY, "ArnEquals", "StringEquals", "ArnLike", "StringLike")


def _pins(statement: Statement) -> Truth:
    values = statement.condition(GUARDRAIL_KEY, "StringEquals")
    return all_of(values.is_given(), values.every(lambda one: one.matches(_PINNED)))


def _denied_unguarded(document: Document, model: View) -> Truth:
    """AWS's own pattern: an Allow, and a Deny of the same models when the guardrail is another one."""
    return any_of(
        *(
            all_of(
                one.denies(),
                one.covers_every(*INVOKE),
                _denies_other_guardrails(one),
                one.reaches(model),
            )
            for one in document.statements
        )
    )


def _denies_other_guardrails(statement: Statement) -> Truth:
    values = statement.condition(GUARDRAIL_KEY, "StringNotEquals")
    alone = negate(statement.has_other_conditions(GUARDRAIL_KEY))
    return all_of(values.is_given(), values.every(lambda one: one.matches(_PINNED)), alone)


def _denied_but(*guardrails: str) -> dict[str, object]:
    return {**_UNGUARDED_DENY, "Condition": {"StringNotEquals": {GUARDRAIL_KEY: list(guardrails)}}}


GUARDED_INVOCATION = Rule(
    name="bedrock-invoke-require-guardrail",
    description="A permission to call a model holds under one guardrail in one numbered version only.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.26", "A.8.12"),
        nist_800_53_r5=("SI-10", "SI-15", "AC-3"),
        owasp_llm=("LLM01:2026", "LLM02:2026", "LLM10:2026"),
        atlas=("AML.T0051", "AML.T0054", "AML.M0020"),
    ),
    remediation="Deny InvokeModel* on the same ARNs when bedrock:GuardrailIdentifier is not <guardrail ARN>:<version>.",
    resource_types=IDENTITY_POLICY_TYPES,
    check=_guarded,
    obeys={
        "allow and deny": permission(_ALLOW, _UNGUARDED_DENY),
        "a deny of every model": permission(_ALLOW, {**_UNGUARDED_DENY, "Resource": "*"}),
        "pinned in the allow": permission(
            {**_ALLOW, "Condition": {"StringEquals": {GUARDRAIL_KEY: [f"{_GUARDRAIL}:7"]}}}
        ),
        "embeddings know no guardrail": permission({**_ALLOW, "Resource": _EMBEDDING}),
        "a profile with nothing but an embedding model behind it": permission(
            {**_ALLOW, "Resource": _PROFILE},
            {**_ALLOW, "Resource": _EMBEDDING, "Condition": {"ArnEquals": {_PROFILE_KEY: _PROFILE}}},
        ),
        **{
            f"such a profile by {operator}": permission(
                {**_ALLOW, "Resource": _PROFILE},
                {**_ALLOW, "Resource": _EMBEDDING, "Condition": {operator: {_PROFILE_KEY: _PROFILE}}},
            )
            for operator in ("StringEquals", "StringLike", "ArnLike")
        },
        "no invocation at all": permission(_READ),
    },
    breaks={
        "no guardrail": permission(_ALLOW),
        "the draft": permission({**_ALLOW, "Condition": {"StringEquals": {GUARDRAIL_KEY: f"{_GUARDRAIL}:DRAFT"}}}),
        "no version": permission({**_ALLOW, "Condition": {"StringEquals": {GUARDRAIL_KEY: _GUARDRAIL}}}),
        "a pattern": permission({**_ALLOW, "Condition": {"StringLike": {GUARDRAIL_KEY: f"{_GUARDRAIL}:*"}}}),
        "IfExists lets the unguarded call through": permission(
            {**_ALLOW, "Condition": {"StringEqualsIfExists": {GUARDRAIL_KEY: f"{_GUARDRAIL}:7"}}}
        ),
        "one version, or the draft": permission(
            {**_ALLOW, "Condition": {"StringEquals": {GUARDRAIL_KEY: [f"{_GUARDRAIL}:7", f"{_GUARDRAIL}:DRAFT"]}}}
        ),
        "a deny of all but the draft": permission(_ALLOW, _denied_but(f"{_GUARDRAIL}:DRAFT")),
        "a deny of all but one version and the draft": permission(
            _ALLOW, _denied_but(f"{_GUARDRAIL}:7", f"{_GUARDRAIL}:DRAFT")
        ),
        "a deny of the guardrail itself": permission(
            _ALLOW, {**_UNGUARDED_DENY, "Condition": {"StringEquals": {GUARDRAIL_KEY: f"{_GUARDRAIL}:7"}}}
        ),
        "a deny of another model": permission(_ALLOW, {**_UNGUARDED_DENY, "Resource": _MODEL}),
        "a deny that leaves the model out": permission(
            _ALLOW, {**_UNGUARDED_DENY, "Resource": None, "NotResource": [_PROFILE, _MODEL]}
        ),
        "a deny that streaming escapes": permission(_ALLOW, {**_UNGUARDED_DENY, "Action": "bedrock:InvokeModel"}),
        "a deny with a second condition": permission(
            _ALLOW,
            {
                **_UNGUARDED_DENY,
                "Condition": {
                    "StringNotEquals": {GUARDRAIL_KEY: f"{_GUARDRAIL}:7"},
                    "Bool": {"aws:ViaAWSService": "false"},
                },
            },
        ),
        "an embedding model and another": permission({**_ALLOW, "Resource": [_EMBEDDING, _MODEL]}),
        "a profile with an embedding model and another behind it": permission(
            {**_ALLOW, "Resource": _PROFILE},
            {**_ALLOW, "Resource": [_EMBEDDING, _MODEL], "Condition": {"ArnEquals": {_PROFILE_KEY: _PROFILE}}},
        ),
        "a profile of which the document says nothing": permission({**_ALLOW, "Resource": _PROFILE}),
    },
    neighbours={
        "a guardrail applied to a text": permission({**_ALLOW, "Action": "bedrock:ApplyGuardrail"}),
        "a look at models": permission({**_ALLOW, "Action": "bedrock:GetFoundationModel", "Resource": "*"}),
    },
)

SERVICE_CREDENTIAL: Final = "aws:iam/serviceSpecificCredential:ServiceSpecificCredential"
VPC_ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
_KEY_MAKERS: Final = ("iam:CreateServiceSpecificCredential", "iam:ResetServiceSpecificCredential")
_BEARER_VARIABLE: Final = "AWS_BEARER_TOKEN_BEDROCK"


def _no_side_door(resource: Resource) -> Iterator[Outcome]:
    if resource.type == SERVICE_CREDENTIAL:
        yield from _credential(resource)
    elif resource.type == VPC_ENDPOINT:
        service = resource.at("serviceName")
        message = "opens bedrock-mantle, which knows neither guardrails nor invocation logging"
        yield from forbid(service.matches(r".*\.bedrock-mantle"), message, service)
    elif resource.type == TASK_DEFINITION:
        yield from _task(resource)
    elif resource.type == FUNCTION:
        key = variables_of(resource).at(_BEARER_VARIABLE)
        yield from forbid(key.is_given(), "hands a Bedrock API key to a function", key)
    else:
        yield from _permissions(resource)


def _credential(resource: Resource) -> Iterator[Outcome]:
    service = resource.at("serviceName")
    yield from forbid(service.matches(r"bedrock.*"), "is a Bedrock API key: it outlives every token", service)


def _task(resource: Resource) -> Iterator[Outcome]:
    listed = containers(resource)
    for container in () if listed.is_unknown else listed.items():
        for variable in (*container.at("environment").items(), *container.at("secrets").items()):
            name = variable.at("name")
            yield from forbid(name.equals(_BEARER_VARIABLE), "hands a Bedrock API key to a container", name)
    if listed.is_unknown:
        yield Unclear(listed.path)


def _permissions(resource: Resource) -> Iterator[Outcome]:
    for document in identity_documents(resource):
        yield from document.outcomes()
        for statement in document.statements:
            found = all_of(statement.allows(), _opens_side_door(statement))
            yield from forbid(found, "allows bedrock-mantle or calls with a Bedrock API key", statement.view)
            made = all_of(statement.allows(), statement.covers(*_KEY_MAKERS), negate(_for_other_services(statement)))
            yield from forbid(made, "allows Bedrock API keys to be made", statement.view)


def _for_other_services(statement: Statement) -> Truth:
    services = statement.condition(_CREDENTIAL_KEY, "StringEquals")
    return all_of(services.is_given(), negate(services.any(lambda one: one.matches(r"bedrock.*"))))


def _opens_side_door(statement: Statement) -> Truth:
    named = statement.view.at("Action").any(lambda one: one.matches(r"(?i)bedrock-mantle:.*"))
    return any_of(named, statement.covers("bedrock:CallWithBearerToken", "bedrock-mantle:CreateInference"))


_CREDENTIAL_KEY: Final = "iam:ServiceSpecificCredentialServiceName"
_KEY_SERVICE: Final = "bedrock.amazonaws.com"
_MAKE_KEYS: Final = {
    "Effect": "Allow",
    "Action": "iam:CreateServiceSpecificCredential",
    "Resource": "arn:aws:iam::111122223333:user/app",
}

NO_SIDE_DOOR = Rule(
    name="bedrock-disallow-api-keys-and-mantle",
    description="No Bedrock API key, no bearer token and no bedrock-mantle: every call is signed and logged.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.15"),
        nist_800_53_r5=("IA-5", "AC-2", "AU-12"),
        owasp_llm=("LLM06:2026", "LLM02:2026"),
        atlas=("AML.T0055", "AML.T0091", "AML.T0012"),
    ),
    remediation="Call bedrock-runtime with the task's role; remove the key, the endpoint or the permission.",
    resource_types=(SERVICE_CREDENTIAL, VPC_ENDPOINT, TASK_DEFINITION, FUNCTION, *IDENTITY_POLICY_TYPES),
    check=_no_side_door,
    obeys={
        "a key for another service": Resource.example(SERVICE_CREDENTIAL, {"serviceName": "codecommit.amazonaws.com"}),
        "the endpoint that logs": Resource.example(
            VPC_ENDPOINT, {"serviceName": "com.amazonaws.eu-west-1.bedrock-runtime"}
        ),
        "a container without a key": Resource.example(
            TASK_DEFINITION,
            {"containerDefinitions": '[{"environment": [{"name": "AWS_REGION", "value": "eu-west-1"}]}]'},
        ),
        "a permission to invoke": permission(_ALLOW),
        "a deny of mantle": permission({"Effect": "Deny", "Action": "bedrock-mantle:*", "Resource": "*"}),
        "a deny of keys": permission({**_MAKE_KEYS, "Effect": "Deny"}),
        "keys for another service": permission(
            {**_MAKE_KEYS, "Condition": {"StringEquals": {_CREDENTIAL_KEY: "codecommit.amazonaws.com"}}}
        ),
        "a function without a key": Resource.example(FUNCTION, {"environment": {"variables": {"TABLE": "documents"}}}),
    },
    breaks={
        "a Bedrock API key": Resource.example(SERVICE_CREDENTIAL, {"serviceName": "bedrock.amazonaws.com"}),
        "the endpoint that does not log": Resource.example(
            VPC_ENDPOINT, {"serviceName": "com.amazonaws.eu-west-1.bedrock-mantle"}
        ),
        "a key in a container": Resource.example(
            TASK_DEFINITION, {"containerDefinitions": f'[{{"secrets": [{{"name": "{_BEARER_VARIABLE}"}}]}}]'}
        ),
        "a permission for mantle": permission({"Effect": "Allow", "Action": "bedrock-mantle:Get*", "Resource": "*"}),
        "mantle beside objects": permission(
            {"Effect": "Allow", "Action": ["s3:GetObject", "bedrock-mantle:Get*"], "Resource": "*"}
        ),
        "everything but what Bedrock itself does": permission(
            {"Effect": "Allow", "NotAction": "bedrock:*", "Resource": "*"}
        ),
        "a permission for bearer tokens": permission(
            {"Effect": "Allow", "Action": "bedrock:CallWithBearerToken", "Resource": "*"}
        ),
        "a wildcard that includes them": permission({"Effect": "Allow", "Action": "bedrock:*", "Resource": "*"}),
        "a key in a container's environment": Resource.example(
            TASK_DEFINITION, {"containerDefinitions": f'[{{"environment": [{{"name": "{_BEARER_VARIABLE}"}}]}}]'}
        ),
        "a key in a function": Resource.example(FUNCTION, {"environment": {"variables": {_BEARER_VARIABLE: "k"}}}),
        "keys made for whatever service": permission(_MAKE_KEYS),
        "keys made anew": permission({**_MAKE_KEYS, "Action": "iam:ResetServiceSpecificCredential"}),
        "keys made for Bedrock": permission(
            {**_MAKE_KEYS, "Condition": {"StringEquals": {_CREDENTIAL_KEY: ["codecommit.amazonaws.com", _KEY_SERVICE]}}}
        ),
    },
    neighbours={
        "a look at keys": permission({**_MAKE_KEYS, "Action": "iam:ListServiceSpecificCredentials"}),
        "the endpoint of objects": Resource.example(VPC_ENDPOINT, {"serviceName": "com.amazonaws.eu-west-1.s3"}),
    },
)
