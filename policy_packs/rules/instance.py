"""EC2 instances: no public address, a role, guarded credentials, encrypted volumes, no secret in the user data.

An instance from a launch template takes from it what it does not say itself; the template is judged for itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand, forbid
from policy_packs.rules.launch_template import TEMPLATE
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

INSTANCE: Final = "aws:ec2/instance:Instance"
LAUNCH_CONFIGURATION: Final = "aws:ec2/launchConfiguration:LaunchConfiguration"
SPOT_INSTANCE: Final = "aws:ec2/spotInstanceRequest:SpotInstanceRequest"
_FROM_TEMPLATE: Final = {"launchTemplate": {"id": "lt-0123456789abcdef0"}}


def _left_to_template(instance: Resource, part: View) -> Truth:
    return all_of(instance.at("launchTemplate").is_given(), negate(part.is_given()))


# --- volumes --------------------------------------------------------------------------------------


def _volumes_encrypted(instance: Resource) -> Iterator[Outcome]:
    root = instance.at("rootBlockDevice")
    named = any_of(root.is_given(), _left_to_template(instance, root))
    yield from demand(named, "not named: the image's own may be plain", root)
    for volume in (*root.items(), *instance.at("ebsBlockDevices").items()):
        encrypted = volume.at("encrypted", absent=False)
        yield from demand(encrypted.equals(True), "not encrypted", encrypted)


def _volumes(root: object, *others: object, type_: str = INSTANCE) -> Resource:
    return Resource.example(type_, {"rootBlockDevice": root, "ebsBlockDevices": list(others)})


VOLUMES_ENCRYPTED = Rule(
    name="ec2-instance-require-encrypted-volumes",
    description="Every volume of an instance says that it is encrypted.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)",),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set encrypted=True in root_block_device and in every one of ebs_block_devices.",
    checkov=("CKV_AWS_8",),
    resource_types=(INSTANCE, SPOT_INSTANCE, LAUNCH_CONFIGURATION),
    check=_volumes_encrypted,
    obeys={
        "an encrypted root": _volumes({"encrypted": True}),
        "an encrypted volume beside it": _volumes({"encrypted": True}, {"encrypted": True}),
        "a template names the root": Resource.example(INSTANCE, _FROM_TEMPLATE),
    },
    breaks={
        "no root named": Resource.example(INSTANCE, {}),
        "a spot instance, too": Resource.example(SPOT_INSTANCE, {}),
        "a launch configuration, too": Resource.example(LAUNCH_CONFIGURATION, {}),
        "left out, and AWS's default is plain": _volumes({"volumeSize": 8.0}),
        "turned off": _volumes({"encrypted": False}),
        "one of two": _volumes({"encrypted": True}, {"deviceName": "/dev/sdf"}),
        "a plain root instead of the template's": Resource.example(
            INSTANCE, {**_FROM_TEMPLATE, "rootBlockDevice": {"encrypted": False}}
        ),
    },
    neighbours={
        "a local disk goes with the instance": Resource.example(
            INSTANCE,
            {"rootBlockDevice": {"encrypted": True}, "ephemeralBlockDevices": [{"virtualName": "ephemeral0"}]},
        ),
    },
)


# --- metadata -------------------------------------------------------------------------------------


def _imdsv2(instance: Resource) -> Iterator[Outcome]:
    of_template = _left_to_template(instance, instance.at("metadataOptions"))
    is_off = instance.at("metadataOptions.httpEndpoint").equals("disabled")
    tokens = instance.at("metadataOptions.httpTokens")
    is_guarded = any_of(of_template, is_off, tokens.equals("required"))
    yield from demand(is_guarded, "metadata are given without a session token", tokens)


def _metadata(type_: str = INSTANCE, **options: object) -> Resource:
    return Resource.example(type_, {"metadataOptions": options})


IMDSV2 = Rule(
    name="ec2-instance-require-imdsv2",
    description="Instances give their metadata, and with them their credentials, to holders of a session token only.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.9"),
        nist_800_53_r5=("AC-3", "AC-6", "IA-5"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Set http_tokens required in metadata_options.",
    checkov=("CKV_AWS_79",),
    resource_types=(INSTANCE, SPOT_INSTANCE, LAUNCH_CONFIGURATION),
    check=_imdsv2,
    obeys={
        "tokens": _metadata(httpTokens="required"),
        "no metadata at all": _metadata(httpEndpoint="disabled"),
        "left to a template": Resource.example(INSTANCE, _FROM_TEMPLATE),
    },
    breaks={
        "left out, and AWS's default is optional": Resource.example(INSTANCE, {}),
        "a spot instance, too": Resource.example(SPOT_INSTANCE, {}),
        "a launch configuration, too": Resource.example(LAUNCH_CONFIGURATION, {}),
        "optional": _metadata(httpTokens="optional", httpEndpoint="enabled"),
        "optional instead of the template's": Resource.example(
            INSTANCE, {**_FROM_TEMPLATE, "metadataOptions": {"httpTokens": "optional"}}
        ),
    },
    neighbours={"tags in the metadata": _metadata(httpTokens="required", instanceMetadataTags="enabled")},
)


# --- addresses ------------------------------------------------------------------------------------


def public_addresses(resource: Resource) -> Iterator[View]:
    """Where an instance or its template may ask for a public address."""
    yield resource.at("associatePublicIpAddress")
    for interface in resource.at("networkInterfaces").items():
        yield interface.at("associatePublicIpAddress")


def _not_public(resource: Resource) -> Iterator[Outcome]:
    for public in public_addresses(resource):
        yield from forbid(public.equals(True, "true"), "asks for a public address", public)


def _interfaces(*publicity: object) -> Resource:
    return Resource.example(TEMPLATE, {"networkInterfaces": [{"associatePublicIpAddress": one} for one in publicity]})


NO_PUBLIC_IP = Rule(
    name="ec2-instance-disallow-public-ip",
    description="No instance, and no launch template, asks for a public address.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Set associate_public_ip_address=False; reach the instance by a load balancer or Session Manager.",
    checkov=("CKV_AWS_88",),
    resource_types=(INSTANCE, SPOT_INSTANCE, LAUNCH_CONFIGURATION, TEMPLATE),
    check=_not_public,
    obeys={
        "turned off": Resource.example(INSTANCE, {"associatePublicIpAddress": False}),
        "turned off in a template": _interfaces("false"),
    },
    breaks={
        "an instance": Resource.example(INSTANCE, {"associatePublicIpAddress": True}),
        "a spot instance": Resource.example(SPOT_INSTANCE, {"associatePublicIpAddress": True}),
        "a launch configuration": Resource.example(LAUNCH_CONFIGURATION, {"associatePublicIpAddress": True}),
        "a template, as the provider writes it": _interfaces("true"),
        "the second interface of a template": _interfaces("false", True),
    },
    neighbours={
        "left out: the subnet decides, and is judged": Resource.example(INSTANCE, {"subnetId": "subnet-1"}),
        "a private address of our choice": Resource.example(INSTANCE, {"privateIp": "10.0.0.8"}),
    },
)


# --- identity -------------------------------------------------------------------------------------


def _has_role(instance: Resource) -> Iterator[Outcome]:
    profile = instance.at("iamInstanceProfile")
    has_role = any_of(profile.is_given(), instance.at("launchTemplate").is_given())
    yield from demand(has_role, "without a role its programs need keys that stay", profile)


INSTANCE_PROFILE = Rule(
    name="ec2-instance-require-role",
    description="Every instance has a role, by an instance profile of its own or of its launch template.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.16", "A.5.17"),
        nist_800_53_r5=("IA-5", "IA-9", "AC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Set iam_instance_profile.",
    checkov=("CKV2_AWS_41",),
    resource_types=(INSTANCE, SPOT_INSTANCE),
    check=_has_role,
    obeys={
        "a profile": Resource.example(INSTANCE, {"iamInstanceProfile": "runner"}),
        "a template's profile": Resource.example(INSTANCE, _FROM_TEMPLATE),
    },
    breaks={
        "none": Resource.example(INSTANCE, {}),
        "a spot instance without": Resource.example(SPOT_INSTANCE, {}),
        "an empty name": Resource.example(INSTANCE, {"iamInstanceProfile": ""}),
        "a key pair is none": Resource.example(INSTANCE, {"keyName": "runner"}),
    },
    neighbours={
        "a profile beside a key pair": Resource.example(INSTANCE, {"iamInstanceProfile": "runner", "keyName": "x"}),
    },
)


# --- user data ------------------------------------------------------------------------------------

_CREDENTIAL: Final = (
    r"(?is:.*)("
    r"\b(A3T[A-Z0-9]|AKIA|ASIA)[A-Z0-9]{16}\b"  # an access key
    r"|-----BEGIN ([A-Z]+ )*PRIVATE KEY-----"
    r"|\b(gh[pousr]_|github_pat_|glpat-|xox[abp]-|sk-|hf_)[A-Za-z0-9_-]{20}"  # tokens that tell their kind
    # A name of a secret and a literal behind it; $NAME, $(command), {{reference}}, a path and an ARN fetch it.
    r"|(?i:(secret_?(access_?)?key|secret|password|passwd|token|api_?key)[\"']?\s*[=:]\s*[\"']?)(?!/|arn:)[^\s\"'$`{<(]{8}"
    r")(?is:.*)"
)


def _no_secret(resource: Resource) -> Iterator[Outcome]:
    for data in (resource.at("userData"), resource.at("userDataBase64")):
        found = any_of(data.matches(_CREDENTIAL), View(_decoded(data.text)).matches(_CREDENTIAL))
        yield from forbid(found, "holds a secret, which everybody reads who may describe the instance", data)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _started_with(script: str, key: str = "userData", type_: str = INSTANCE) -> Resource:
    return Resource.example(type_, {key: script})


def _in_base64(script: str) -> str:
    return base64.b64encode(script.encode()).decode()


# Made here of halves: scanners for secrets would find them whole. They open nothing.
_ACCESS_KEY: Final = "AKIA" + "EXAMPLE0EXAMPLE0"
_TOKEN: Final = "ghp" + "_0123456789abcdefghij"
_PEM: Final = "-----BEGIN RSA " + "PRIVATE KEY-----"

NO_SECRET_IN_USER_DATA = Rule(
    name="ec2-instance-disallow-secrets-in-user-data",
    description="No user data hold an access key, a private key, a token or a password.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.12"),
        nist_800_53_r5=("IA-5(7)", "IA-5"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0055",),
    ),
    remediation="Give the instance a role and let it read the secret from Secrets Manager when it starts.",
    checkov=("CKV_AWS_46",),
    resource_types=(INSTANCE, SPOT_INSTANCE, LAUNCH_CONFIGURATION, TEMPLATE),
    check=_no_secret,
    obeys={
        "a script": _started_with("#!/bin/sh\nsystemctl start app\n"),
        "a secret that is fetched": _started_with("export DB_PASSWORD=$(aws secretsmanager get-secret-value)\n"),
        "a secret by reference": _started_with("token: {{resolve:secretsmanager:app}}\n"),
        "a script in base64": _started_with(_in_base64("systemctl start app"), "userDataBase64"),
    },
    breaks={
        "an access key": _started_with(f"export AWS_ACCESS_KEY_ID={_ACCESS_KEY}\n"),
        "a secret key": _started_with("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfi\n"),
        "a private key": _started_with(f"cat > key <<X\n{_PEM}\nX\n"),
        "a token": _started_with(f"git clone https://{_TOKEN}@example.com/x\n"),
        "a password in quotes": _started_with('{"password": "correct-horse"}'),
        "an access key in base64": _started_with(_in_base64(f"key {_ACCESS_KEY}"), "userDataBase64"),
        "an access key in a template": _started_with(_in_base64(f"key {_ACCESS_KEY}"), type_=TEMPLATE),
        "a spot instance": _started_with(f"key {_ACCESS_KEY}", type_=SPOT_INSTANCE),
        "a launch configuration": _started_with(f"key {_ACCESS_KEY}", type_=LAUNCH_CONFIGURATION),
    },
    neighbours={
        "no user data": Resource.example(INSTANCE, {}),
        "the name of a secret": _started_with("aws secretsmanager get-secret-value --secret-id app\n"),
        "where a secret is": _started_with("SECRET=arn:aws:secretsmanager:eu-central-1:111122223333:secret:app\n"),
        "a file with a secret": _started_with("export DB_PASSWORD_FILE=/run/secrets/db TOKEN=/run/secrets/token\n"),
        "the token of the instance's own metadata": _started_with(
            'TOKEN=$(curl -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 21600" http://169.254.169.254/latest/api/token)'
        ),
        "a task by name": _started_with("systemctl start task-0123456789-abcdefghij.service\n"),
        "a long word": _started_with("echo SHAKIAEXAMPLE0EXAMPLE0EXAMPLE0\n"),
    },
)
