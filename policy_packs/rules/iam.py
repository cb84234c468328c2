"""IAM: permissions are named, and nobody holds a key that never expires."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import (
    BOUNDARY_PATH,
    IDENTITY_POLICY_TYPES,
    PERMISSION_SET,
    Statement,
    identity_documents,
)
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, Violation, forbid
from policy_packs.tristate import Truth, all_of

ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
STATIC_CREDENTIAL_TYPES: Final = (
    "aws:iam/accessKey:AccessKey",
    "aws:iam/user:User",
    "aws:iam/userLoginProfile:UserLoginProfile",
)


def _named_permissions(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if not documents:
        yield NotApplicable("it hands out no permissions")
    for document in documents:
        yield from document.outcomes()
        for statement in document.statements:
            yield from forbid(_grants_everything(statement), "allows a whole service on every resource", statement.view)


def _grants_everything(statement: Statement) -> Truth:
    return all_of(statement.allows(), statement.names_whole_service(), statement.names_every_resource())


def _role_policy(**changes: object) -> Resource:
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::documents/*", **changes}
    return Resource.example(ROLE_POLICY, {"policy": json.dumps({"Version": "2012-10-17", "Statement": statement})})


def _managed(path: str) -> Resource:
    everything = '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    return Resource.example("aws:iam/policy:Policy", {"path": path, "policy": everything})


NAMED_PERMISSIONS = Rule(
    name="iam-policy-disallow-service-wide-allow",
    description="No identity policy allows a whole service, or everything but a list, on every resource.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-6", "AC-3"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012", "AML.M0026"),
    ),
    remediation="List the actions the role calls and the ARNs it calls them on.",
    checkov=("CKV_AWS_62", "CKV_AWS_1", "CKV_AWS_355", "CKV_AWS_356"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_named_permissions,
    obeys={
        "named actions on named resources": _role_policy(),
        "a deny may be as wide as it likes": _role_policy(Effect="Deny", Action="*", Resource="*"),
        "one action that knows no resource": _role_policy(Action="ecr:GetAuthorizationToken", Resource="*"),
        "a role without inline policies": Resource.example("aws:iam/role:Role", {}),
        "a permissions boundary": _managed(BOUNDARY_PATH),
    },
    breaks={
        "everything": _role_policy(Action="*", Resource="*"),
        "everything, spelled out": _role_policy(Action="*:*", Resource="arn:aws:*:*:*:*"),
        "everything, spelled otherwise": _role_policy(Action="s3:?*", Resource="**"),
        "a whole service on all it has": _role_policy(Action="s3:*", Resource="arn:aws:s3:::*"),
        "everything but one resource": _role_policy(Action="s3:*", Resource=None, NotResource="arn:aws:s3:::a"),
        "for people": Resource.example(
            PERMISSION_SET, {"inlinePolicy": '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'}
        ),
        "a whole service": _role_policy(Action="s3:*", Resource=["arn:aws:s3:::documents/*", "*"]),
        "everything but": _role_policy(Action=None, NotAction="iam:*", Resource="*"),
        "inline in the role": Resource.example(
            "aws:iam/role:Role",
            {"inlinePolicies": [{"policy": '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'}]},
        ),
        "text that is no policy": Resource.example(ROLE_POLICY, {"policy": "allow everything"}),
        "a managed policy under another path": _managed("/"),
        "a managed policy under a path that only looks like a boundary's": _managed("/teams/boundary/"),
    },
    neighbours={
        "a whole service on one resource": _role_policy(Action="s3:*"),
        "a family of actions on every resource": _role_policy(Action="ec2:Describe*", Resource="*"),
        "a role that everybody may take on": Resource.example(
            "aws:iam/role:Role",
            {"assumeRolePolicy": '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:*"}}'},
        ),
    },
)


def _counted_actions(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if not documents:
        yield NotApplicable("it hands out no permissions")
    for document in documents:
        yield from document.outcomes()
        for statement in document.statements:
            unlimited = all_of(statement.allows(), statement.view.at("Action").any(lambda one: one.matches(_UNLIMITED)))
            yield from forbid(unlimited, "allows every action, or every action of IAM", statement.view)


_UNLIMITED: Final = r"(?i)[*?]*\*[*?]*(:[*?]*\*[*?]*)?|iam:[*?]*\*[*?]*"

COUNTED_ACTIONS = Rule(
    name="iam-policy-disallow-every-action",
    description="No identity policy allows every action, or every action of IAM, not even on a named resource.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-6", "AC-3"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012", "AML.M0026"),
    ),
    remediation="List the actions.",
    checkov=("CKV_AWS_63", "CKV_AWS_49", "CKV2_AWS_40"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_counted_actions,
    obeys={
        "named actions": _role_policy(),
        "a deny of everything": _role_policy(Effect="Deny", Action="*"),
        "a permissions boundary": _managed(BOUNDARY_PATH),
    },
    breaks={
        "every action on a named resource": _role_policy(Action="*"),
        "every action of every service": _role_policy(Action=["s3:GetObject", "*:*"]),
        "every action of IAM": _role_policy(Action="iam:*", Resource="arn:aws:iam::111122223333:role/worker"),
        "every action of IAM, in any case": _role_policy(Action="IAM:*"),
        "text that is no policy": Resource.example(ROLE_POLICY, {"policy": "allow everything"}),
    },
    neighbours={
        "every action of another service on a named resource": _role_policy(Action="s3:*"),
        "some actions of IAM": _role_policy(Action="iam:Get*"),
    },
)


ROLE: Final = "aws:iam/role:Role"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
_ATTACHMENT_TYPES: Final = (
    ATTACHMENT,
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
)
# Where a type names its managed policies otherwise than by policyArn.
_NAMED_OTHERWISE: Final = {
    ROLE: "managedPolicyArns",
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": "policyArns",
    "aws:ssoadmin/managedPolicyAttachment:ManagedPolicyAttachment": "managedPolicyArn",
}
# Policies that AWS writes, and widens whenever a service grows.
_BROAD: Final = r"arn:[^:]*:iam::aws:policy/(.*/)?(AdministratorAccess.*|PowerUserAccess|.*FullAccess.*|.*Bedrock.*)"


# What is under a boundary's path is not judged as a grant, so it must never become one.
_BOUNDARY: Final = rf"arn:[^:]*:iam::\d+:policy{BOUNDARY_PATH}.*"


def _narrow_attachments(resource: Resource) -> Iterator[Outcome]:
    attached = resource.at(_NAMED_OTHERWISE.get(resource.type, "policyArn"))
    yield from forbid(attached.any(lambda one: one.matches(_BROAD)), "is a broad policy of AWS", attached)
    message = "is a permissions boundary: attached as a policy it would grant nearly everything"
    yield from forbid(attached.any(lambda one: one.matches(_BOUNDARY)), message, attached)


def _attached(policy: str) -> Resource:
    return Resource.example(ATTACHMENT, {"role": "app", "policyArn": f"arn:aws:iam::aws:policy/{policy}"})


NARROW_ATTACHMENTS = Rule(
    name="iam-disallow-broad-managed-policies",
    description="Nobody is given an administrator's, full-access or Bedrock policy of AWS, nor a boundary as a policy.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.18", "A.8.2"),
        nist_800_53_r5=("AC-6", "AC-3"),
        owasp_llm=("LLM03:2026", "LLM06:2026"),
        atlas=("AML.T0012", "AML.T0034", "AML.M0019"),
    ),
    remediation="Write a policy that lists the actions the role calls and the ARNs it calls them on.",
    checkov=("CKV_AWS_274", "CKV2_AWS_56"),
    resource_types=(*_NAMED_OTHERWISE, *_ATTACHMENT_TYPES),
    check=_narrow_attachments,
    obeys={
        "a policy of our own": Resource.example(ATTACHMENT, {"policyArn": "arn:aws:iam::111122223333:policy/app"}),
        "a narrow one of AWS": _attached("service-role/AmazonECSTaskExecutionRolePolicy"),
        "a role without any": Resource.example(ROLE, {}),
    },
    breaks={
        "an administrator": _attached("AdministratorAccess"),
        "full access to models": _attached("AmazonBedrockFullAccess"),
        "less than full access to models, still to every one": _attached("AmazonBedrockLimitedAccess"),
        **{
            f"an administrator's, to {whom}": Resource.example(
                f"aws:iam/{kind}", {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
            )
            for whom, kind in (
                ("anybody", "policyAttachment:PolicyAttachment"),
                ("a user", "userPolicyAttachment:UserPolicyAttachment"),
                ("a group", "groupPolicyAttachment:GroupPolicyAttachment"),
            )
        },
        "a permissions boundary": Resource.example(
            ATTACHMENT, {"policyArn": "arn:aws:iam::111122223333:policy/boundary/platform"}
        ),
        "listed in the role": Resource.example(
            ROLE, {"managedPolicyArns": ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]}
        ),
        "listed for a role": Resource.example(
            "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive",
            {"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/IAMFullAccess"]},
        ),
        "for people": Resource.example(
            "aws:ssoadmin/managedPolicyAttachment:ManagedPolicyAttachment",
            {"managedPolicyArn": "arn:aws-cn:iam::aws:policy/PowerUserAccess"},
        ),
    },
    neighbours={
        "a policy of ours that is called like a broad one": Resource.example(
            ATTACHMENT, {"policyArn": "arn:aws:iam::111122223333:policy/AdministratorAccess"}
        ),
        "a policy of ours beside the boundaries": Resource.example(
            ATTACHMENT, {"policyArn": "arn:aws:iam::111122223333:policy/boundary-reader"}
        ),
    },
)


def _no_static_credentials(stack: Stack) -> Iterator[Outcome]:
    for found in stack.of_type(*STATIC_CREDENTIAL_TYPES):
        yield Violation(f"{found.type.rpartition(':')[2]} '{found.name}' is a credential that never expires", found.urn)


NO_STATIC_CREDENTIALS = StackRule(
    name="iam-disallow-static-credentials",
    description="No IAM user, access key or password: people and workloads come with short-lived tokens.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.16", "A.5.17"),
        nist_800_53_r5=("IA-5", "AC-2"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Use roles: OIDC federation for people and CI, task roles and pod identity for workloads.",
    checkov=("CKV_AWS_273",),
    check=_no_static_credentials,
    obeys={"a role": (Resource.example("aws:iam/role:Role", {}),)},
    breaks={
        "a user": (Resource.example("aws:iam/user:User", {}),),
        "an access key": (Resource.example("aws:iam/accessKey:AccessKey", {}),),
        "a password": (Resource.example("aws:iam/userLoginProfile:UserLoginProfile", {}),),
    },
    neighbours={
        "a group and the account's rules for passwords": (
            Resource.example("aws:iam/group:Group", {}),
            Resource.example("aws:iam/accountPasswordPolicy:AccountPasswordPolicy", {}),
        ),
    },
)
