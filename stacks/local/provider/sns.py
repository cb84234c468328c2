"""SNS: topics and their policies."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, left_to_owner, tag_list

_ATTRIBUTES = {"displayName": "DisplayName", "kmsMasterKeyId": "KmsMasterKeyId", "policy": "Policy"}


def _create(aws: Aws, inputs: Inputs) -> Made:
    attributes = {name: inputs[key] for key, name in _ATTRIBUTES.items() if inputs.get(key)}
    answer = aws.client("sns").create_topic(Name=inputs["name"], Attributes=attributes, **given(Tags=tag_list(inputs)))
    return Made(answer["TopicArn"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    sns = aws.client("sns")
    try:
        found = sns.get_topic_attributes(TopicArn=identifier)["Attributes"]
    except sns.exceptions.NotFoundException:
        return None
    kept = {key: found[name] for key, name in _ATTRIBUTES.items() if key in inputs and name in found}
    return {**kept, "arn": identifier, "name": identifier.rpartition(":")[2], "owner": found["Owner"]}


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("sns").delete_topic(TopicArn=identifier)


def _create_policy(aws: Aws, inputs: Inputs) -> Made:
    aws.client("sns").set_topic_attributes(
        TopicArn=inputs["arn"], AttributeName="Policy", AttributeValue=inputs["policy"]
    )
    return Made(inputs["arn"])


def _read_policy(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("sns").get_topic_attributes(TopicArn=identifier)["Attributes"]
    return {"arn": identifier, "policy": found["Policy"], "owner": found["Owner"]}


KINDS = {
    "aws:sns/topic:Topic": Kind(_create, _read, _delete),
    "aws:sns/topicPolicy:TopicPolicy": Kind(_create_policy, _read_policy, left_to_owner),
}
