"""CloudWatch Logs: log groups."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tags_of


def _create(aws: Aws, inputs: Inputs) -> Made:
    logs, name = aws.client("logs"), inputs["name"]
    logs.create_log_group(
        logGroupName=name,
        **given(kmsKeyId=inputs.get("kmsKeyId"), tags=tags_of(inputs), logGroupClass=inputs.get("logGroupClass")),
    )
    if inputs.get("retentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=inputs["retentionInDays"])
    return Made(name)


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    for group in aws.client("logs").describe_log_groups(logGroupNamePrefix=identifier)["logGroups"]:
        if group["logGroupName"] == identifier:
            return given(
                arn=group["arn"].removesuffix(":*"),
                name=identifier,
                kmsKeyId=group.get("kmsKeyId"),
                retentionInDays=group.get("retentionInDays"),
            )
    return None


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("logs").delete_log_group(logGroupName=identifier)


KINDS = {"aws:cloudwatch/logGroup:LogGroup": Kind(_create, _read, _delete)}
