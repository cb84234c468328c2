"""AWS Organizations: policies and what they are attached to. moto knows every type but BEDROCK_POLICY."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list

_ATTACHMENT = "{target}:{policy}"  # as the AWS provider spells an attachment's id


def _create(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("organizations").create_policy(
        Name=inputs["name"],
        Type=inputs["type"],
        Content=inputs["content"],
        Description=inputs.get("description", ""),
        **given(Tags=tag_list(inputs)),
    )
    return Made(answer["Policy"]["PolicySummary"]["Id"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    organizations = aws.client("organizations")
    try:
        found = organizations.describe_policy(PolicyId=identifier)["Policy"]
    except organizations.exceptions.PolicyNotFoundException:
        return None
    summary = found["PolicySummary"]
    return {
        "arn": summary["Arn"],
        "name": summary["Name"],
        "type": summary["Type"],
        "description": summary["Description"],
        "content": found["Content"],
    }


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("organizations").delete_policy(PolicyId=identifier)


def _attach(aws: Aws, inputs: Inputs) -> Made:
    policy, target = inputs["policyId"], inputs["targetId"]
    aws.client("organizations").attach_policy(PolicyId=policy, TargetId=target)
    return Made(_ATTACHMENT.format(target=target, policy=policy))


def _read_attachment(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    target, _, policy = identifier.partition(":")
    pages = aws.client("organizations").get_paginator("list_targets_for_policy").paginate(PolicyId=policy)
    if target not in [one["TargetId"] for page in pages for one in page["Targets"]]:
        return None
    return {"policyId": policy, "targetId": target}


def _detach(aws: Aws, identifier: str, inputs: Inputs) -> None:
    target, _, policy = identifier.partition(":")
    aws.client("organizations").detach_policy(PolicyId=policy, TargetId=target)


KINDS = {
    "aws:organizations/policy:Policy": Kind(_create, _read, _delete),
    "aws:organizations/policyAttachment:PolicyAttachment": Kind(_attach, _read_attachment, _detach),
}
