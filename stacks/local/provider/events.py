"""EventBridge: rules on the default bus and their targets."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, given, pascal, tag_list

_BUS = "default"


def _create_rule(aws: Aws, inputs: Inputs) -> Made:
    aws.client("events").put_rule(
        Name=inputs["name"],
        EventBusName=inputs.get("eventBusName", _BUS),
        State=inputs.get("state", "ENABLED"),
        **given(
            Description=inputs.get("description"),
            EventPattern=inputs.get("eventPattern"),
            ScheduleExpression=inputs.get("scheduleExpression"),
            RoleArn=inputs.get("roleArn"),
            Tags=tag_list(inputs),
        ),
    )
    return Made(inputs["name"])


def _read_rule(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    events = aws.client("events")
    try:
        found = events.describe_rule(Name=identifier, EventBusName=inputs.get("eventBusName", _BUS))
    except events.exceptions.ResourceNotFoundException:
        return None
    kept = ("Arn", "Name", "Description", "EventPattern", "ScheduleExpression", "State")
    return {key[:1].lower() + key[1:]: found[key] for key in kept if key in found}


def _delete_rule(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("events").delete_rule(Name=identifier, EventBusName=inputs.get("eventBusName", _BUS))


def _create_target(aws: Aws, inputs: Inputs) -> Made:
    target = given(
        Id=inputs["targetId"],
        Arn=inputs["arn"],
        RoleArn=inputs.get("roleArn"),
        Input=inputs.get("input"),
        DeadLetterConfig=pascal(inputs.get("deadLetterConfig") or {}),
    )
    bus = inputs.get("eventBusName", _BUS)
    aws.client("events").put_targets(Rule=inputs["rule"], EventBusName=bus, Targets=[target])
    return Made(f"{inputs['rule']}-{inputs['targetId']}")


def _read_target(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    bus = inputs.get("eventBusName", _BUS)
    for target in aws.client("events").list_targets_by_rule(Rule=inputs["rule"], EventBusName=bus)["Targets"]:
        if f"{inputs['rule']}-{target['Id']}" == identifier:
            found: Outputs = camel({key: target[key] for key in ("Arn", "DeadLetterConfig", "Input") if key in target})
            return {**found, "rule": inputs["rule"], "targetId": target["Id"]}
    return None


def _delete_target(aws: Aws, identifier: str, inputs: Inputs) -> None:
    bus = inputs.get("eventBusName", _BUS)
    aws.client("events").remove_targets(Rule=inputs["rule"], EventBusName=bus, Ids=[inputs["targetId"]])


KINDS = {
    "aws:cloudwatch/eventRule:EventRule": Kind(_create_rule, _read_rule, _delete_rule),
    "aws:cloudwatch/eventTarget:EventTarget": Kind(_create_target, _read_target, _delete_target),
}
