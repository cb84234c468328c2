"""Notebook instances of SageMaker: no way out of our own network, no root, no role that may do everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import Document, identity_documents
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of

NOTEBOOK: Final = "aws:sagemaker/notebookInstance:NotebookInstance"
_ROLE: Final = "aws:iam/role:Role"
_ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
_ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
_POLICY: Final = "aws:iam/policy:Policy"
_ADMINISTRATORS: Final = r"arn:[^:]*:iam::aws:policy/(AdministratorAccess|PowerUserAccess|IAMFullAccess)"
_CONTROLS = Controls(
    soc2=("CC6.6",),
    iso27001_2022=("A.8.20", "A.8.22"),
    nist_800_53_r5=("SC-7", "AC-4"),
    owasp_llm=("LLM02:2026", "LLM04:2026"),
    atlas=("AML.T0025",),
)


def _notebook(**props: object) -> Resource:
    return Resource.example(NOTEBOOK, props, "notebook")


def _offline(notebook: Resource) -> Iterator[Outcome]:
    access = notebook.at("directInternetAccess")
    yield from demand(access.equals("Disabled"), "SageMaker gives the notebook the internet", access)


NO_DIRECT_INTERNET = Rule(
    name="sagemaker-notebook-disallow-direct-internet",
    description="A notebook reaches nothing but what our own network lets it reach.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Set direct_internet_access to Disabled.",
    checkov=("CKV_AWS_122",),
    resource_types=(NOTEBOOK,),
    check=_offline,
    obeys={"disabled": _notebook(directInternetAccess="Disabled")},
    breaks={"left out, and AWS's default is on": _notebook(), "enabled": _notebook(directInternetAccess="Enabled")},
    neighbours={"a domain has another switch": Resource.example("aws:sagemaker/domain:Domain")},
)


def _in_vpc(notebook: Resource) -> Iterator[Outcome]:
    for name in ("subnetId", "securityGroups"):
        part = notebook.at(name)
        yield from demand(part.is_given(), "the notebook runs outside our network", part)


IN_VPC = Rule(
    name="sagemaker-notebook-require-vpc",
    description="A notebook runs in our own subnet, behind our own security groups.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Set subnet_id and security_groups.",
    checkov=("CKV_AWS_306",),
    resource_types=(NOTEBOOK,),
    check=_in_vpc,
    obeys={"subnet and group": _notebook(subnetId="subnet-1", securityGroups=["sg-1"])},
    breaks={
        "neither": _notebook(),
        "no group": _notebook(subnetId="subnet-1"),
        "no subnet": _notebook(securityGroups=["sg-1"]),
    },
    neighbours={"what a notebook runs at its start": Resource.example(f"{NOTEBOOK}LifecycleConfiguration")},
)


def _no_root(notebook: Resource) -> Iterator[Outcome]:
    access = notebook.at("rootAccess")
    yield from demand(access.equals("Disabled"), "its users are root", access)


NO_ROOT = Rule(
    name="sagemaker-notebook-disallow-root",
    description="Nobody is root on a notebook: what its configuration says cannot be undone from inside.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.8.2", "A.8.18"),
        nist_800_53_r5=("AC-6(10)", "AC-6(2)"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.M0026",),
    ),
    remediation="Set root_access to Disabled; lifecycle configurations still run as root.",
    checkov=("CKV_AWS_307",),
    resource_types=(NOTEBOOK,),
    check=_no_root,
    obeys={"disabled": _notebook(rootAccess="Disabled")},
    breaks={"left out, and AWS's default is on": _notebook(), "enabled": _notebook(rootAccess="Enabled")},
    neighbours={"a space has no root": Resource.example("aws:sagemaker/space:Space")},
)


def _imdsv2(notebook: Resource) -> Iterator[Outcome]:
    version = notebook.at("instanceMetadataServiceConfiguration.minimumInstanceMetadataServiceVersion")
    yield from demand(version.equals("2"), "IMDSv1 hands out the role's credentials without a token", version)


def _metadata(version: str) -> Resource:
    return _notebook(instanceMetadataServiceConfiguration={"minimumInstanceMetadataServiceVersion": version})


IMDSV2 = Rule(
    name="sagemaker-notebook-require-imdsv2",
    description="A notebook's metadata service answers only those who fetched a token.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.9",),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0055",),
    ),
    remediation='Set minimum_instance_metadata_service_version to "2".',
    checkov=("CKV_AWS_371",),
    resource_types=(NOTEBOOK,),
    check=_imdsv2,
    obeys={"version 2": _metadata("2")},
    breaks={"left out, and AWS's default is version 1": _notebook(), "version 1": _metadata("1")},
    neighbours={"an app has no metadata service of ours": Resource.example("aws:sagemaker/app:App")},
)


def _narrow_roles(stack: Stack) -> Iterator[Outcome]:
    notebooks = stack.of_type(NOTEBOOK)
    if not notebooks:
        yield NotApplicable("the stack has no notebook")
        return
    for notebook in notebooks:
        role = notebook.at("roleArn")
        truth = any_of(Truth.of("roleArn" in notebook.joined), role.is_given())
        yield from demand(truth, "names no role", role, notebook.urn)
        for held in (one for one in stack.of_type(_ROLE) if _holds(notebook, one)):
            yield from _judge_role(stack, held)


def _holds(notebook: Resource, role: Resource) -> bool:
    arn = notebook.at("roleArn").text
    return role.urn in notebook.joined.get("roleArn", ()) or (bool(arn) and arn == role.at("arn").text)


def _judge_role(stack: Stack, role: Resource) -> Iterator[Outcome]:
    attachments = stack.related(role, (_ATTACHMENT,), by="role").certain
    for holder in (role, *stack.related(role, (_ROLE_POLICY,), by="role").certain, *_own(stack, attachments)):
        for document in identity_documents(holder):
            yield from _judge_document(document, holder)
    arns = [(one.at("policyArn"), one) for one in attachments]
    arns += [(arn, role) for arn in role.at("managedPolicyArns").items()]
    for arn, holder in arns:
        yield from forbid(arn.matches(_ADMINISTRATORS), "makes a notebook an administrator", arn, holder.urn)


def _own(stack: Stack, attachments: tuple[Resource, ...]) -> Iterator[Resource]:
    urns = {urn for one in attachments for urn in one.joined.get("policyArn", ())}
    yield from (policy for policy in stack.of_type(_POLICY) if policy.urn in urns)


def _judge_document(document: Document, holder: Resource) -> Iterator[Outcome]:
    yield from document.outcomes()
    for statement in document.statements:
        everything = statement.view.at("Action").any(lambda one: one.matches(r"\*+"))
        everything = everything if statement.view.at("NotAction").is_given() is Truth.NO else Truth.YES
        found = all_of(statement.allows(), everything)
        yield from forbid(found, "lets a notebook do everything", statement.view, holder.urn)


def _statement(**parts: object) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Resource": "*", **parts}]})


def _with_role(role: Resource, *more: Resource) -> tuple[Resource, ...]:
    return (Resource.example(NOTEBOOK, {}, "notebook", roleArn="role"), role, *more)


_PLAIN_ROLE = Resource.example(_ROLE, {"name": "notebook"}, "role")


def _inline(**parts: object) -> Resource:
    return Resource.example(_ROLE_POLICY, {"policy": _statement(**parts)}, "inline", role="role")


_ATTACHED = Resource.example(_ATTACHMENT, {}, "attachment", role="role", policyArn="policy")

NARROW_ROLE = StackRule(
    name="sagemaker-notebook-require-narrow-role",
    description="The role of a notebook names what it may do: whoever runs code in the notebook is that role.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.3",),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-6", "AC-3"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0012", "AML.M0026"),
    ),
    remediation="List actions in the role's policies; leave AdministratorAccess and its like to people.",
    checkov=("CKV2_AWS_68",),
    check=_narrow_roles,
    obeys={
        "named actions": _with_role(_PLAIN_ROLE, _inline(Action="s3:GetObject")),
        "named actions in the role itself": _with_role(
            Resource.example(_ROLE, {"inlinePolicies": [{"policy": _statement(Action=["s3:GetObject"])}]}, "role")
        ),
        "a role of another stack": (_notebook(roleArn="arn:aws:iam::111122223333:role/notebook"),),
    },
    breaks={
        "every action": _with_role(_PLAIN_ROLE, _inline(Action="*")),
        "every action behind one that is named": _with_role(_PLAIN_ROLE, _inline(Action=["s3:GetObject", "*"])),
        "no role": (_notebook(),),
        "a document that cannot be read": _with_role(
            _PLAIN_ROLE, Resource.example(_ROLE_POLICY, {"policy": "{"}, "inline", role="role")
        ),
        "everything but a list": _with_role(_PLAIN_ROLE, _inline(NotAction="iam:*")),
        "every action in the role itself": _with_role(
            Resource.example(_ROLE, {"inlinePolicies": [{"policy": _statement(Action=["*"])}]}, "role")
        ),
        "every action in a policy of ours": _with_role(
            _PLAIN_ROLE, _ATTACHED, Resource.example(_POLICY, {"policy": _statement(Action="*")}, "policy")
        ),
        "an administrator": _with_role(
            _PLAIN_ROLE,
            Resource.example(
                _ATTACHMENT, {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, "attachment", role="role"
            ),
        ),
        "an administrator in the role itself": _with_role(
            Resource.example(_ROLE, {"managedPolicyArns": ["arn:aws:iam::aws:policy/PowerUserAccess"]}, "role")
        ),
        "a role known by its ARN": (
            _notebook(roleArn="arn:aws:iam::111122223333:role/notebook"),
            Resource.example(
                _ROLE,
                {
                    "arn": "arn:aws:iam::111122223333:role/notebook",
                    "inlinePolicies": [{"policy": _statement(Action="*")}],
                },
                "role",
            ),
        ),
    },
    neighbours={
        "a role that no notebook holds": (_notebook(roleArn="arn:aws:iam::…"), _PLAIN_ROLE, _inline(Action="*")),
        "a deny of everything": _with_role(_PLAIN_ROLE, _inline(Effect="Deny", Action="*")),
        "a policy that nobody attached": _with_role(
            _PLAIN_ROLE, Resource.example(_POLICY, {"policy": _statement(Action="*")}, "policy")
        ),
        "no notebook": (_PLAIN_ROLE, _inline(Action="*")),
    },
)
