"""IAM: what must never be allowed on every resource without a condition.

The actions are those that cloudsplaining, and Checkov with it, look for; where theirs are hundreds, the ones by
which access to data, keys and code changes hands.
https://github.com/salesforce/cloudsplaining
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, Statement, identity_documents
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

_CREDENTIALS: Final = (
    "codeartifact:GetAuthorizationToken",
    "cognito-identity:GetCredentialsForIdentity",
    "cognito-identity:GetOpenIdToken",
    "cognito-identity:GetOpenIdTokenForDeveloperIdentity",
    "ec2:GetPasswordData",
    "iam:CreateAccessKey",
    "iam:CreateLoginProfile",
    "iam:CreateServiceSpecificCredential",
    "iam:ResetServiceSpecificCredential",
    "iam:UpdateAccessKey",
    "lightsail:GetInstanceAccessDetails",
    "rds-db:connect",
    "redshift:GetClusterCredentials",
    "redshift:GetClusterCredentialsWithIAM",
    "redshift-serverless:GetCredentials",
    "sso:GetRoleCredentials",
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:GetFederationToken",
    "sts:GetSessionToken",
)
_DATA: Final = (
    "kms:Decrypt",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "secretsmanager:BatchGetSecretValue",
    "secretsmanager:GetSecretValue",
    "ssm:GetParameter",
    "ssm:GetParameters",
    "ssm:GetParametersByPath",
)
_PERMISSIONS: Final = (
    "acm-pca:CreatePermission",
    "acm-pca:PutPolicy",
    "backup:PutBackupVaultAccessPolicy",
    "dynamodb:PutResourcePolicy",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:ModifySnapshotAttribute",
    "ec2:ModifyVpcEndpointServicePermissions",
    "ecr:SetRepositoryPolicy",
    "elasticfilesystem:PutFileSystemPolicy",
    "events:PutPermission",
    "glue:PutResourcePolicy",
    "iam:AddUserToGroup",
    "iam:AttachGroupPolicy",
    "iam:AttachRolePolicy",
    "iam:AttachUserPolicy",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:CreateUser",
    "iam:DeleteRolePermissionsBoundary",
    "iam:PassRole",
    "iam:PutGroupPolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:PutUserPolicy",
    "iam:SetDefaultPolicyVersion",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateLoginProfile",
    "kms:CreateGrant",
    "kms:PutKeyPolicy",
    "lakeformation:GrantPermissions",
    "lambda:AddLayerVersionPermission",
    "lambda:AddPermission",
    "logs:PutResourcePolicy",
    "ram:AssociateResourceShare",
    "ram:CreateResourceShare",
    "rds:ModifyDBClusterSnapshotAttribute",
    "rds:ModifyDBSnapshotAttribute",
    "s3:PutAccessPointPolicy",
    "s3:PutBucketAcl",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutObjectAcl",
    "secretsmanager:PutResourcePolicy",
    "sns:AddPermission",
    "sns:SetTopicAttributes",
    "sqs:AddPermission",
    "sqs:SetQueueAttributes",
    "sso:AttachManagedPolicyToPermissionSet",
    "sso:PutPermissionsPolicy",
)


def is_denied(document: Document, action: str) -> Truth:
    """Whether the document takes the action back from everything."""
    return any_of(
        *(
            all_of(one.denies(), one.covers(action), one.names_every_resource(), negate(one.is_conditional()))
            for one in document.statements
        )
    )


def allows_anywhere(statement: Statement) -> Truth:
    return all_of(statement.allows(), statement.names_every_resource(), negate(statement.is_conditional()))


def _disallowed(document: Document, statement: Statement, actions: tuple[str, ...]) -> Truth:
    left = (all_of(statement.covers(one), negate(is_denied(document, one))) for one in actions)
    return all_of(allows_anywhere(statement), any_of(*left))


def _never_anywhere(actions: tuple[str, ...], message: str) -> Callable[[Resource], Iterator[Outcome]]:
    def check(resource: Resource) -> Iterator[Outcome]:
        documents = identity_documents(resource)
        if not documents:
            yield NotApplicable("it hands out no permissions")
        for document in documents:
            yield from document.outcomes()
            for statement in document.statements:
                yield from forbid(_disallowed(document, statement, actions), message, statement.view)

    return check


def policy_with(*statements: object) -> Resource:
    """A role's inline policy for examples."""
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": text})


def allowing(*actions: str, resource: object = "*", **changes: object) -> dict[str, object]:
    """A statement for examples."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **changes}


def _deny(*actions: str, **changes: object) -> dict[str, object]:
    return allowing(*actions, **{"Effect": "Deny", **changes})


_IN_OUR_ACCOUNT: Final = {"StringEquals": {"aws:ResourceAccount": "111122223333"}}


def _obeying(action: str, arn: str) -> dict[str, Resource]:
    return {
        "a named resource": policy_with(allowing(action, resource=arn)),
        "every resource under a condition": policy_with(allowing(action, Condition=_IN_OUR_ACCOUNT)),
        "allowed with others and taken back": policy_with(allowing(f"{action[:-1]}*"), _deny(action, f"{action}*")),
        "a deny": policy_with(_deny(action)),
        "a role without inline policies": Resource.example("aws:iam/role:Role", {}),
    }


def _breaking(action: str, arn: str) -> dict[str, Resource]:
    return {
        "every resource": policy_with(allowing(action)),
        "in any case": policy_with(allowing(action.upper())),
        "by a pattern": policy_with(allowing(f"{action[:-2]}*")),
        "one resource, and every other": policy_with(allowing(action, resource=[arn, "*"])),
        "every resource but one": policy_with(allowing(action, Resource=None, NotResource=arn)),
        "every action but some": policy_with(
            {"Effect": "Allow", "NotAction": ["organizations:*", "account:*"], "Resource": "*"}
        ),
        "beside a harmless statement": policy_with(allowing("sts:GetCallerIdentity"), allowing(action)),
        "taken back from one resource": policy_with(allowing(action), _deny(action, resource=arn)),
        "another action taken back": policy_with(allowing(action), _deny("organizations:LeaveOrganization")),
        "taken back now and then": policy_with(allowing(action), _deny(action, Condition=_IN_OUR_ACCOUNT)),
        "inline in the role": Resource.example(
            "aws:iam/role:Role", {"inlinePolicies": [{"policy": json.dumps({"Statement": allowing(action)})}]}
        ),
        "text that is no policy": Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": "everything"}),
    }


def _each(actions_by_service: Mapping[str, str]) -> dict[str, Resource]:
    """Every action, written out a second time: one that goes missing above shows."""
    named = (f"{service}:{name}" for service, names in actions_by_service.items() for name in names.split())
    return {action: policy_with(allowing(action)) for action in named}


_NEIGHBOURS: Final = {
    "an action that knows no resource": policy_with(allowing("ecr:GetAuthorizationToken", "ec2:DescribeInstances")),
    "a registry's token and a look at identities": policy_with(allowing("sts:GetCallerIdentity", "iam:ListRoles")),
}

CREDENTIALS = Rule(
    name="iam-policy-disallow-unbounded-credentials",
    description="Nobody may obtain credentials of whichever role, user or database there is.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.17"),
        nist_800_53_r5=("AC-6", "IA-5"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Name the roles, users or databases in Resource.",
    checkov=("CKV_AWS_287", "CKV_AWS_107"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_never_anywhere(_CREDENTIALS, "hands out credentials on every resource"),
    obeys=_obeying("sts:AssumeRole", "arn:aws:iam::111122223333:role/deployer"),
    breaks={
        **_breaking("sts:AssumeRole", "arn:aws:iam::111122223333:role/deployer"),
        **_each(
            {
                "codeartifact": "GetAuthorizationToken",
                "cognito-identity": "GetCredentialsForIdentity GetOpenIdToken GetOpenIdTokenForDeveloperIdentity",
                "ec2": "GetPasswordData",
                "iam": (
                    "CreateAccessKey CreateLoginProfile CreateServiceSpecificCredential "
                    "ResetServiceSpecificCredential UpdateAccessKey"
                ),
                "lightsail": "GetInstanceAccessDetails",
                "rds-db": "connect",
                "redshift": "GetClusterCredentials GetClusterCredentialsWithIAM",
                "redshift-serverless": "GetCredentials",
                "sso": "GetRoleCredentials",
                "sts": ("AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity GetFederationToken GetSessionToken"),
            }
        ),
    },
    neighbours=_NEIGHBOURS,
)

DATA = Rule(
    name="iam-policy-disallow-unbounded-data-reads",
    description="Nobody may read whichever object, secret or parameter there is, nor decrypt with every key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.5.15", "A.8.12"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0036", "AML.T0025"),
    ),
    remediation="Name the buckets, secrets, parameters and keys in Resource.",
    checkov=("CKV_AWS_288", "CKV_AWS_108", "CKV_AWS_355", "CKV_AWS_356"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_never_anywhere(_DATA, "reads data on every resource"),
    obeys=_obeying("s3:GetObject", "arn:aws:s3:::documents/*"),
    breaks={
        **_breaking("s3:GetObject", "arn:aws:s3:::documents/*"),
        **_each(
            {
                "kms": "Decrypt",
                "s3": "GetObject GetObjectVersion",
                "secretsmanager": "BatchGetSecretValue GetSecretValue",
                "ssm": "GetParameter GetParameters GetParametersByPath",
            }
        ),
    },
    neighbours=_NEIGHBOURS,
)

PERMISSIONS = Rule(
    name="iam-policy-disallow-unbounded-permissions-management",
    description="Nobody may change who has access to whichever resource there is, nor share it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.18", "A.8.2"),
        nist_800_53_r5=("AC-3", "AC-6", "CM-5"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Name the resources whose policy may change, or make the change part of a deployment.",
    checkov=("CKV_AWS_289", "CKV_AWS_109"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_never_anywhere(_PERMISSIONS, "changes permissions on every resource"),
    obeys=_obeying("s3:PutBucketPolicy", "arn:aws:s3:::documents"),
    breaks={
        **_breaking("s3:PutBucketPolicy", "arn:aws:s3:::documents"),
        **_each(
            {
                "acm-pca": "CreatePermission PutPolicy",
                "backup": "PutBackupVaultAccessPolicy",
                "dynamodb": "PutResourcePolicy",
                "ec2": ("CreateNetworkInterfacePermission ModifySnapshotAttribute ModifyVpcEndpointServicePermissions"),
                "ecr": "SetRepositoryPolicy",
                "elasticfilesystem": "PutFileSystemPolicy",
                "events": "PutPermission",
                "glue": "PutResourcePolicy",
                "iam": (
                    "AddUserToGroup AttachGroupPolicy AttachRolePolicy AttachUserPolicy "
                    "CreatePolicyVersion CreateRole CreateUser DeleteRolePermissionsBoundary PassRole "
                    "PutGroupPolicy PutRolePermissionsBoundary PutRolePolicy PutUserPolicy "
                    "SetDefaultPolicyVersion UpdateAssumeRolePolicy UpdateLoginProfile"
                ),
                "kms": "CreateGrant PutKeyPolicy",
                "lakeformation": "GrantPermissions",
                "lambda": "AddLayerVersionPermission AddPermission",
                "logs": "PutResourcePolicy",
                "ram": "AssociateResourceShare CreateResourceShare",
                "rds": "ModifyDBClusterSnapshotAttribute ModifyDBSnapshotAttribute",
                "s3": ("PutAccessPointPolicy PutBucketAcl PutBucketPolicy PutBucketPublicAccessBlock PutObjectAcl"),
                "secretsmanager": "PutResourcePolicy",
                "sns": "AddPermission SetTopicAttributes",
                "sqs": "AddPermission SetQueueAttributes",
                "sso": "AttachManagedPolicyToPermissionSet PutPermissionsPolicy",
            }
        ),
    },
    neighbours=_NEIGHBOURS,
)

_READS: Final = (
    r"(?i)[^:*?]+:(BatchGet|BatchDescribe|Check|Describe|Detect|Download|Estimate|Filter|Get|Head|List|Lookup|Query|"
    r"Read|Scan|Search|Select|Simulate|Validate|Verify|View).*"
)
# Writes for which AWS knows no resource: every resource is all that can be said of them.
_KNOW_NO_RESOURCE: Final = (
    r"(?i)(cloudwatch:PutMetricData|xray:Put(TraceSegments|TelemetryRecords)|ssmmessages:.*|ec2messages:.*|"
    r"ssm:UpdateInstanceInformation|ssm:PutInventory|kms:(CreateKey|GenerateRandom)|logs:(CreateLogDelivery|"
    r"DeleteLogDelivery|UpdateLogDelivery|StopQuery)|route53:CreateHostedZone|acm:RequestCertificate|"
    r"iam:CreateServiceLinkedRole|s3:CreateJob|translate:TranslateText|polly:SynthesizeSpeech|"
    r"ecs:(CreateCluster|DiscoverPollEndpoint)|application-autoscaling:.*|organizations:CreateAccount|"
    r"cloudfront:CreateOriginAccessControl|ecr:CreatePullThroughCacheRule)"
)


def _writes_named(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if not documents:
        yield NotApplicable("it hands out no permissions")
    for document in documents:
        yield from document.outcomes()
        for statement in document.statements:
            written = any_of(statement.view.at("NotAction").is_given(), statement.view.at("Action").any(_is_write))
            message = "writes, starts or deletes on every resource"
            yield from forbid(all_of(allows_anywhere(statement), written), message, statement.view)


def _is_write(action: View) -> Truth:
    return negate(any_of(action.matches(_READS), action.matches(_KNOW_NO_RESOURCE)))


WRITES = Rule(
    name="iam-policy-disallow-unbounded-writes",
    description="Nobody may change, start or delete whichever resource there is.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Name the resources, or demand a tag of theirs by a condition on aws:ResourceTag.",
    checkov=("CKV_AWS_290", "CKV_AWS_111", "CKV_AWS_355", "CKV_AWS_356"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_writes_named,
    obeys={
        "a named queue": policy_with(allowing("sqs:SendMessage", resource="arn:aws:sqs:eu-west-1:111122223333:jobs")),
        "whatever bears a tag": policy_with(
            allowing("ec2:TerminateInstances", Condition={"StringEquals": {"aws:ResourceTag/owner": "platform"}})
        ),
        "reads": policy_with(allowing("ec2:DescribeInstances", "logs:FilterLogEvents", "s3:ListAllMyBuckets")),
        "a deny of writes": policy_with(_deny("s3:DeleteBucket")),
        "a role without inline policies": Resource.example("aws:iam/role:Role", {}),
    },
    breaks={
        "every queue": policy_with(allowing("sqs:SendMessage")),
        "reads, and one write": policy_with(allowing("ec2:DescribeInstances", "ec2:TerminateInstances")),
        "a pattern that begins as a write": policy_with(allowing("dynamodb:Put*")),
        "a whole service": policy_with(allowing("dynamodb:*")),
        "reads of whichever service, and more": policy_with(allowing("*:D*")),
        "every action but some": policy_with({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
        "everything in our account": policy_with(
            allowing("sqs:SendMessage", resource="arn:aws:sqs:eu-west-1:111122223333:*")
        ),
        "under a condition that is empty": policy_with(allowing("sqs:SendMessage", Condition={"StringEquals": {}})),
        "text that is no policy": Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": "[]"}),
    },
    neighbours={
        "metrics, which know no resource": policy_with(allowing("cloudwatch:PutMetricData")),
        "traces, in any case": policy_with(allowing("xray:puttracesegments", "xray:GetSamplingRules")),
    },
)
