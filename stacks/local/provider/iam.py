"""IAM: roles, their inline policies, managed policies and attachments."""

from __future__ import annotations

import json

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list, tag_map


def _create_role(aws: Aws, inputs: Inputs) -> Made:
    iam, name = aws.client("iam"), inputs["name"]
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        **given(
            Path=inputs.get("path"),
            Description=inputs.get("description"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=tag_list(inputs),
        ),
    )
    for policy in inputs.get("inlinePolicies") or []:
        iam.put_role_policy(RoleName=name, PolicyName=policy["name"], PolicyDocument=policy["policy"])
    for arn in inputs.get("managedPolicyArns") or []:
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return Made(name)


def _read_role(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    iam = aws.client("iam")
    try:
        role = iam.get_role(RoleName=identifier)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return given(
        arn=role["Arn"],
        name=role["RoleName"],
        uniqueId=role["RoleId"],
        path=role["Path"],
        createDate=role["CreateDate"].isoformat(),
        assumeRolePolicy=json.dumps(role["AssumeRolePolicyDocument"]),
        maxSessionDuration=role.get("MaxSessionDuration"),
        permissionsBoundary=boundary,
        tagsAll=tag_map(role.get("Tags")),
    )


def _delete_role(aws: Aws, identifier: str, inputs: Inputs) -> None:
    iam = aws.client("iam")
    for policy in inputs.get("inlinePolicies") or []:
        iam.delete_role_policy(RoleName=identifier, PolicyName=policy["name"])
    for arn in inputs.get("managedPolicyArns") or []:
        iam.detach_role_policy(RoleName=identifier, PolicyArn=arn)
    iam.delete_role(RoleName=identifier)


def _create_role_policy(aws: Aws, inputs: Inputs) -> Made:
    policy = inputs["policy"] if isinstance(inputs["policy"], str) else json.dumps(inputs["policy"])
    aws.client("iam").put_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=policy)
    return Made(f"{inputs['role']}:{inputs['name']}")


def _read_role_policy(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    iam = aws.client("iam")
    role, _, name = identifier.partition(":")
    try:
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None
    return {"role": role, "name": name, "policy": json.dumps(policy)}


def _delete_role_policy(aws: Aws, identifier: str, inputs: Inputs) -> None:
    role, _, name = identifier.partition(":")
    aws.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def _attach(aws: Aws, inputs: Inputs) -> Made:
    aws.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return Made(f"{inputs['role']}/{inputs['policyArn']}")


def _read_attachment(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    role, _, arn = identifier.partition("/")
    attached = aws.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return {"role": role, "policyArn": arn} if arn in [policy["PolicyArn"] for policy in attached] else None


def _detach(aws: Aws, identifier: str, inputs: Inputs) -> None:
    role, _, arn = identifier.partition("/")
    aws.client("iam").detach_role_policy(RoleName=role, PolicyArn=arn)


def _create_policy(aws: Aws, inputs: Inputs) -> Made:
    policy = inputs["policy"] if isinstance(inputs["policy"], str) else json.dumps(inputs["policy"])
    made = aws.client("iam").create_policy(
        PolicyName=inputs["name"],
        PolicyDocument=policy,
        **given(Path=inputs.get("path"), Description=inputs.get("description"), Tags=tag_list(inputs)),
    )
    return Made(made["Policy"]["Arn"])


def _read_policy(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    iam = aws.client("iam")
    try:
        policy = iam.get_policy(PolicyArn=identifier)["Policy"]
    except iam.exceptions.NoSuchEntityException:
        return None
    version = iam.get_policy_version(PolicyArn=identifier, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    return {
        "arn": policy["Arn"],
        "name": policy["PolicyName"],
        "policyId": policy["PolicyId"],
        "path": policy["Path"],
        "policy": json.dumps(version["Document"]),
        "tagsAll": tag_map(policy.get("Tags")),
    }


def _delete_policy(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("iam").delete_policy(PolicyArn=identifier)


KINDS = {
    "aws:iam/role:Role": Kind(_create_role, _read_role, _delete_role),
    "aws:iam/rolePolicy:RolePolicy": Kind(_create_role_policy, _read_role_policy, _delete_role_policy),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Kind(_attach, _read_attachment, _detach),
    "aws:iam/policy:Policy": Kind(_create_policy, _read_policy, _delete_policy),
}
