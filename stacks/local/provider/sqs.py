"""SQS: queues and their policies."""

from __future__ import annotations

import json

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, left_to_owner, tags_of

# Pulumi's property → the API's attribute; attributes are text on the wire.
_ATTRIBUTES = {
    "delaySeconds": "DelaySeconds",
    "fifoQueue": "FifoQueue",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}


def _create(aws: Aws, inputs: Inputs) -> Made:
    attributes = {name: _text(inputs[key]) for key, name in _ATTRIBUTES.items() if inputs.get(key) not in (None, "")}
    answer = aws.client("sqs").create_queue(
        QueueName=inputs["name"], Attributes=attributes, **given(tags=tags_of(inputs))
    )
    return Made(answer["QueueUrl"])


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    sqs = aws.client("sqs")
    try:
        found = sqs.get_queue_attributes(QueueUrl=identifier, AttributeNames=["All"])["Attributes"]
    except sqs.exceptions.QueueDoesNotExist:
        return None
    outputs: Outputs = {
        "arn": found["QueueArn"],
        "url": identifier,
        "name": found["QueueArn"].rpartition(":")[2],
    }
    for key, name in _ATTRIBUTES.items():
        if key in inputs and name in found:
            outputs[key] = _like(inputs[key], found[name])
    return outputs


def _like(sent: Json, read: str) -> Json:
    if isinstance(sent, bool):
        return read == "true"
    return int(read) if isinstance(sent, int) else read


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("sqs").delete_queue(QueueUrl=identifier)


def _attribute_of_queue(key: str, name: str) -> Kind:
    """A setting of one queue as a resource of its own: its id is the queue's URL."""

    def create(aws: Aws, inputs: Inputs) -> Made:
        aws.client("sqs").set_queue_attributes(QueueUrl=inputs["queueUrl"], Attributes={name: _text(inputs[key])})
        return Made(inputs["queueUrl"])

    def read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
        found = aws.client("sqs").get_queue_attributes(QueueUrl=identifier, AttributeNames=[name]).get("Attributes")
        return {"queueUrl": identifier, key: found[name]} if found else None

    return Kind(create, read, left_to_owner)


KINDS = {
    "aws:sqs/queue:Queue": Kind(_create, _read, _delete),
    "aws:sqs/queuePolicy:QueuePolicy": _attribute_of_queue("policy", "Policy"),
    "aws:sqs/redrivePolicy:RedrivePolicy": _attribute_of_queue("redrivePolicy", "RedrivePolicy"),
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _attribute_of_queue("redriveAllowPolicy", "RedriveAllowPolicy"),
}
