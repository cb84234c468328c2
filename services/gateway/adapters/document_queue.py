"""The queue in which S3 reports new documents of one workload, and the one for dead letters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from services.gateway.adapters.aws import CONFIG, Calls
from services.gateway.adapters.tls import aws_session
from services.gateway.document_ports import DeadLetter, Message

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

MESSAGES_MAX = 4  # worked on at the same time
VISIBILITY_S = 300  # longer than these take; after that somebody else may try
RECEIVE_WAIT_MAX_S = 5  # well below the read timeout of AWS clients


class SqsDocumentQueue:
    """The DocumentQueue port on SQS."""

    def __init__(self, region: str, queue_url: str, dead_letter_queue_url: str) -> None:
        self._region = region
        self._queue_url = queue_url
        self._dead_letter_queue_url = dead_letter_queue_url
        self._receiving = Calls("document_queue")  # a thread of its own: a long poll must not hold up the rest
        self._calls = Calls("document_queue", threads=2)

    async def receive(self, wait_s: int) -> Sequence[Message]:
        answer = await self._receiving(
            lambda: self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=MESSAGES_MAX,
                WaitTimeSeconds=min(wait_s, RECEIVE_WAIT_MAX_S),
                VisibilityTimeout=VISIBILITY_S,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        )
        return tuple(
            Message(
                id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
            )
            for message in answer.get("Messages", ())
        )

    async def done(self, message: Message) -> None:
        await self._calls(lambda: self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt))

    async def give_back(self, message: Message, delay_s: int) -> None:
        await self._calls(
            lambda: self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=delay_s
            )
        )

    async def bury(self, letter: DeadLetter) -> None:
        body = msgspec.json.encode(letter).decode()
        await self._calls(lambda: self._sqs.send_message(QueueUrl=self._dead_letter_queue_url, MessageBody=body))

    @functools.cached_property
    def _sqs(self) -> SQSClient:
        return aws_session(self._region).client("sqs", config=CONFIG)
