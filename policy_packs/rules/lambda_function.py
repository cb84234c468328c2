"""Lambda: functions run signed code on a runtime that is patched, inside our network, and hold no secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, Unclear, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

FUNCTION: Final = "aws:lambda/function:Function"
CODE_SIGNING: Final = "aws:lambda/codeSigningConfig:CodeSigningConfig"
_TELLING_NAME: Final = (
    r"(?i).*(password|passwd|secret|token|credential|api_?key|access_?key|private_?key)"
    r"(?!.*(_arn|_id|_name|_url|_path|_parameter|_header|_ttl|_s)$)(?!s|iz).*"
)
_REFERENCE: Final = r"arn:.*|/.*|\{\{resolve:.*|-?[\d.]*|true|false"
_ACCESS_KEY: Final = r"(AKIA|ASIA)[A-Z0-9]{16}"
_LONG_KEY: Final = r"(?=.*[G-Zg-z/+])[A-Za-z0-9/+=]{40}"  # a digest or a commit has hexadecimal digits alone
_PRIVATE_KEY: Final = r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
_URL_WITH_LOGIN: Final = r"[a-z][a-z0-9+.-]*://[^/@:\s]*:[^/@\s]+@.*"


def variables_of(function: Resource) -> View:
    return function.at("environment.variables")


def _no_secrets(function: Resource) -> Iterator[Outcome]:
    variables = variables_of(function)
    if variables.is_unknown:
        yield Unclear(variables.path)
    listed = variables.value if isinstance(variables.value, dict) else {}
    for name, content in listed.items():
        value = View(content, f"{variables.path}.{name}")
        yield from forbid(_is_secret(name, value), "is a secret in clear", value)


def _is_secret(name: str, value: View) -> Truth:
    named = all_of(View(name).matches(_TELLING_NAME), negate(value.matches(_REFERENCE)))
    looks = (_ACCESS_KEY, _LONG_KEY, _PRIVATE_KEY, _URL_WITH_LOGIN)
    return any_of(named, *(value.matches(one) for one in looks))


def _function(**props: object) -> Resource:
    return Resource.example(FUNCTION, props)


def _variables(variables: Mapping[str, object]) -> Resource:
    return _function(environment={"variables": variables})


NO_SECRETS = Rule(
    name="lambda-function-disallow-secrets-in-environment",
    description="No function holds a password, token or key in its environment: it is told where to fetch them.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.12"),
        nist_800_53_r5=("IA-5", "IA-5(7)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0055",),
    ),
    remediation="Put the ARN of a Secrets Manager secret into the variable, and let the function fetch it.",
    checkov=("CKV_AWS_45",),
    resource_types=(FUNCTION,),
    check=_no_secrets,
    obeys={
        "where to fetch it": _variables({"DB_PASSWORD": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db"}),
        "a parameter's name": _variables({"API_KEY": "/prod/search/key", "TABLE": "documents"}),
        "no variables": _function(),
    },
    breaks={
        "a password": _variables({"DB_PASSWORD": "correct horse"}),
        "an API key": _variables({"search_apikey": "c0ffee"}),
        "an access key under a harmless name": _variables({"USER_NAME": "AKIA" + "Q" * 16}),
        "a secret access key under a harmless name": _variables({"OTHER": "q" * 40}),
        "a private key": _variables({"SIGNER": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE"}),
        "a database's address with its password": _variables({"DATABASE": "postgres://app:horse@db:5432/app"}),
        "the second of two": _variables({"TABLE": "documents", "SESSION_TOKEN": "horse"}),
    },
    neighbours={
        "how many tokens a model may return": _variables(
            {"TOKENS_MAX": "4 thousand", "TOKEN_TTL": "one hour", "TOKENIZER": "bpe"}
        ),
        "the name of a secret": _variables({"SECRET_NAME": "prod/db", "SECRET_ARN": "prod/db"}),
        "a commit": _variables({"REVISION": "0123456789abcdef0123456789abcdef01234567"}),
        "an empty token, and one that is switched on": _variables({"TOKEN": "", "USE_TOKEN": "true"}),
        "an address without a password": _variables({"DATABASE": "postgres://db:5432/app"}),
    },
)


def _in_vpc(function: Resource) -> Iterator[Outcome]:
    for name in ("subnetIds", "securityGroupIds"):
        given = function.at(f"vpcConfig.{name}")
        yield from demand(given.is_given(), "the function runs outside our network", given)


_NETWORK: Final = {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}

IN_VPC = Rule(
    name="lambda-function-require-vpc",
    description="Every function runs in subnets and security groups of ours.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Set vpc_config with private subnets and a security group that names what the function reaches.",
    checkov=("CKV_AWS_117",),
    resource_types=(FUNCTION,),
    check=_in_vpc,
    obeys={"subnets and security groups": _function(vpcConfig=_NETWORK)},
    breaks={
        "left out: the function runs in a network of AWS": _function(),
        "no subnets": _function(vpcConfig={**_NETWORK, "subnetIds": []}),
        "no security groups": _function(vpcConfig={**_NETWORK, "securityGroupIds": None}),
    },
    neighbours={
        "IPv6 beside it": _function(vpcConfig={**_NETWORK, "ipv6AllowedForDualStack": True}),
    },
)


def _environment_under_own_key(function: Resource) -> Iterator[Outcome]:
    variables, key = variables_of(function), function.at("kmsKeyArn")
    given = all_of(variables.is_given(), negate(variables.equals({})))
    if given is Truth.NO:
        yield NotApplicable("it has no variables")
    message = "the variables are under the key that AWS manages"
    yield from demand(any_of(negate(given), is_customer_key(key)), message, key)


CUSTOMER_KEY = Rule(
    name="lambda-function-require-customer-key",
    description="The environment of every function is under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set kms_key_arn.",
    checkov=("CKV_AWS_173",),
    resource_types=(FUNCTION,),
    check=_environment_under_own_key,
    obeys={
        "a key of ours": _function(environment={"variables": {"TABLE": "documents"}}, kmsKeyArn=OWN_KEY),
        "no variables": _function(),
    },
    breaks={
        "left out, and the default is AWS's key": _variables({"TABLE": "documents"}),
        "the key that AWS manages": _function(
            environment={"variables": {"TABLE": "documents"}},
            kmsKeyArn="arn:aws:kms:eu-west-1:111122223333:alias/aws/lambda",
        ),
    },
    neighbours={"an environment without variables": _function(environment={"variables": {}})},
)


def _signed(resource: Resource) -> Iterator[Outcome]:
    if resource.type == CODE_SIGNING:
        untrusted = resource.at("policies.untrustedArtifactOnDeployment")
        yield from demand(untrusted.equals("Enforce"), "code that nobody signed is deployed with a warning", untrusted)
        return
    is_image, config = resource.at("packageType").equals("Image"), resource.at("codeSigningConfigArn")
    if is_image is Truth.YES:
        yield NotApplicable("Lambda checks signatures of archives only; an image has its digest")
    yield from demand(any_of(is_image, config.is_given()), "code that nobody signed can be deployed", config)


_SIGNING: Final = "arn:aws:lambda:eu-west-1:111122223333:code-signing-config:csc-0123456789abcdef0"

SIGNED_CODE = Rule(
    name="lambda-function-require-code-signing",
    description="Every function takes signed code only, and unsigned code is refused, not warned of.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.8.9", "A.8.19"),
        nist_800_53_r5=("CM-14", "SI-7", "SR-4(3)"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010", "AML.M0013"),
    ),
    remediation="Set code_signing_config_arn; in the configuration set untrusted_artifact_on_deployment to Enforce.",
    checkov=("CKV_AWS_272",),
    resource_types=(FUNCTION, CODE_SIGNING),
    check=_signed,
    obeys={
        "a configuration for signing": _function(codeSigningConfigArn=_SIGNING),
        "an image": _function(packageType="Image"),
        "unsigned code is refused": Resource.example(
            CODE_SIGNING, {"policies": {"untrustedArtifactOnDeployment": "Enforce"}}
        ),
    },
    breaks={
        "left out": _function(),
        "an archive": _function(packageType="Zip"),
        "unsigned code is warned of": Resource.example(
            CODE_SIGNING, {"policies": {"untrustedArtifactOnDeployment": "Warn"}}
        ),
        "left out, and the default is a warning": Resource.example(CODE_SIGNING, {}),
    },
    neighbours={"an image whose configuration names its command": _function(packageType="Image", imageConfig={})},
)

# Deprecated by November 2026: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_DEPRECATED_RUNTIMES: Final = (
    *("dotnet5.0", "dotnet6", "dotnet7", "dotnet8", "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1"),
    *("dotnetcore3.1", "go1.x", "java8", "nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10"),
    *("nodejs10.x", "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x", "nodejs20.x", "provided", "provided.al2"),
    *("python2.7", "python3.6", "python3.7", "python3.8", "python3.9", "python3.10", "ruby2.5", "ruby2.7", "ruby3.2"),
)


def _supported(function: Resource) -> Iterator[Outcome]:
    is_image, runtime = function.at("packageType").equals("Image"), function.at("runtime")
    if is_image is Truth.YES:
        yield NotApplicable("an image brings its own runtime")
    deprecated = function.settings["deprecated_runtimes"]
    listed = deprecated if isinstance(deprecated, list | tuple) else ()
    named = all_of(runtime.is_given(), negate(runtime.equals(*listed)))
    yield from demand(any_of(is_image, named), "AWS no longer patches this runtime, or none is named", runtime)


SUPPORTED_RUNTIME = Rule(
    name="lambda-function-require-supported-runtime",
    description="Every function runs on a runtime that AWS still patches.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.1",),
        iso27001_2022=("A.8.8", "A.8.9"),
        nist_800_53_r5=("SI-2", "SA-22"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010",),
    ),
    remediation="Move the function to the newest runtime of its language.",
    checkov=("CKV_AWS_363",),
    resource_types=(FUNCTION,),
    check=_supported,
    settings={"deprecated_runtimes": _DEPRECATED_RUNTIMES},
    obeys={
        "a runtime of today": _function(runtime="python3.13"),
        "an image": _function(packageType="Image"),
    },
    breaks={
        "none named": _function(),
        **{one: _function(runtime=one) for one in _DEPRECATED_RUNTIMES},
    },
    neighbours={
        "a runtime newer than this rule": _function(runtime="python3.99"),
        "the operating system alone": _function(runtime="provided.al2023"),
    },
)
