"""IAM: nobody makes himself more powerful than he was made.

The ways are those that Rhino Security Labs published and cloudsplaining, and Checkov with it, look for.
https://rhinosecuritylabs.com/aws/aws-privilege-escalation-methods-mitigation/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, Statement, identity_documents
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, forbid
from policy_packs.rules.iam_unbounded import allowing, is_denied, policy_with
from policy_packs.tristate import Truth, all_of, any_of, negate

_WAYS_UP: Final = (
    ("iam:CreateAccessKey",),
    ("iam:CreateLoginProfile",),
    ("iam:UpdateLoginProfile",),
    ("iam:AddUserToGroup",),
    ("iam:CreatePolicyVersion",),
    ("iam:SetDefaultPolicyVersion",),
    ("iam:AttachUserPolicy",),
    ("iam:AttachGroupPolicy",),
    ("iam:PutUserPolicy",),
    ("iam:PutGroupPolicy",),
    ("iam:AttachRolePolicy", "sts:AssumeRole"),
    ("iam:PutRolePolicy", "sts:AssumeRole"),
    ("iam:UpdateAssumeRolePolicy", "sts:AssumeRole"),
    ("iam:PassRole", "ec2:RunInstances"),
    ("iam:PassRole", "lambda:CreateFunction", "lambda:InvokeFunction"),
    ("iam:PassRole", "lambda:CreateFunction", "lambda:CreateEventSourceMapping"),
    ("iam:PassRole", "glue:CreateDevEndpoint"),
    ("iam:PassRole", "cloudformation:CreateStack"),
    ("iam:PassRole", "datapipeline:CreatePipeline"),
    ("iam:PassRole", "ecs:RunTask", "ecs:RegisterTaskDefinition"),
    ("iam:PassRole", "sagemaker:CreateNotebookInstance", "sagemaker:CreatePresignedNotebookInstanceUrl"),
    ("iam:PassRole", "bedrock-agentcore:CreateCodeInterpreter", "bedrock-agentcore:InvokeCodeInterpreter"),
    ("glue:UpdateDevEndpoint",),
    ("lambda:UpdateFunctionCode",),
)
# Everything of one kind: for a role it is as good as everything.
_EVERY_ONE_OF_A_KIND: Final = r"arn:[^:]*(:[^:]*){3}:[^:/]+[:/][*?]+"


def _stays_as_it_is(resource: Resource) -> Iterator[Outcome]:
    documents = identity_documents(resource)
    if not documents:
        yield NotApplicable("it hands out no permissions")
    for document in documents:
        yield from document.outcomes()
        for way in _WAYS_UP:
            found = all_of(*(_is_open(document, action) for action in way))
            yield from forbid(found, f"opens a way to more power by {' and '.join(way)}", document.view)


def _is_open(document: Document, action: str) -> Truth:
    allowed = any_of(*(all_of(_opens(one), one.covers(action)) for one in document.statements))
    return all_of(allowed, negate(is_denied(document, action)))


def _opens(statement: Statement) -> Truth:
    kind = any_of(*(one.matches(_EVERY_ONE_OF_A_KIND) for one in statement.resources()))
    wide = any_of(statement.names_every_resource(), kind)
    return all_of(statement.allows(), wide, negate(statement.is_conditional()))


_ROLES: Final = "arn:aws:iam::111122223333:role/*"
_ONE_ROLE: Final = "arn:aws:iam::111122223333:role/worker"

NO_ESCALATION = Rule(
    name="iam-policy-disallow-privilege-escalation",
    description="No policy lets its holder reach more than it allows: not by keys, policies, nor by roles passed on.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.18", "A.8.2"),
        nist_800_53_r5=("AC-5", "AC-6", "AC-6(10)"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Name the roles that may be passed or changed, and to which service by iam:PassedToService.",
    checkov=("CKV_AWS_286", "CKV_AWS_110"),
    resource_types=IDENTITY_POLICY_TYPES,
    check=_stays_as_it_is,
    obeys={
        "one role passed on": policy_with(allowing("iam:PassRole", resource=_ONE_ROLE), allowing("ec2:RunInstances")),
        "half of a way": policy_with(allowing("iam:PassRole", "ecs:RunTask")),
        "passed on under a condition": policy_with(
            allowing("ec2:RunInstances"),
            allowing("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
        ),
        "one function's code": policy_with(
            allowing("lambda:UpdateFunctionCode", resource="arn:aws:lambda:eu-west-1:111122223333:function:resize")
        ),
        "allowed with others and taken back": policy_with(
            allowing("iam:Create*"),
            {"Effect": "Deny", "Action": ["iam:Create*"], "Resource": "*"},
        ),
        "a role without inline policies": Resource.example("aws:iam/role:Role", {}),
    },
    breaks={
        **{" and ".join(way): policy_with(allowing(*way)) for way in _WAYS_UP},
        "in two statements": policy_with(allowing("iam:PassRole"), allowing("cloudformation:CreateStack")),
        "whichever role": policy_with(allowing("iam:PassRole", resource=_ROLES), allowing("ec2:Run*", resource="*")),
        "whichever function": policy_with(
            allowing("lambda:UpdateFunctionCode", resource="arn:aws:lambda:eu-west-1:111122223333:function:*")
        ),
        "whichever function, and one bucket": policy_with(
            allowing(
                "lambda:UpdateFunctionCode",
                resource=["arn:aws:s3:::documents", "arn:aws:lambda:eu-west-1:111122223333:function:*"],
            )
        ),
        "by patterns": policy_with(allowing("iam:P*", "ec2:*")),
        "every action but some": policy_with({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
        "taken back from one user": policy_with(
            allowing("iam:CreateAccessKey"),
            {"Effect": "Deny", "Action": "iam:CreateAccessKey", "Resource": "arn:aws:iam::111122223333:user/root"},
        ),
        "taken back from whom it does not concern": policy_with(
            allowing("iam:CreateAccessKey"),
            {"Effect": "Deny", "Action": "iam:DeleteAccessKey", "Resource": "*"},
        ),
        "text that is no policy": Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": "{}"}),
    },
    neighbours={
        "a look at identities": policy_with(allowing("iam:Get*", "iam:List*")),
        "a deny of keys of whichever user": policy_with(
            {"Effect": "Deny", "Action": "iam:CreateAccessKey", "Resource": "arn:aws:iam::111122223333:user/*"}
        ),
        "one's own keys, deleted": policy_with(allowing("iam:DeleteAccessKey")),
    },
)
