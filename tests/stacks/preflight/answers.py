"""AWS as a test wants it: each service answers what it was told, and the service model checks that it could."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.stub import Stubber

REGION = "us-east-1"


class Answers:
    """Stubbed clients; answers are given in the order in which they are asked for."""

    def __init__(self) -> None:
        self._clients: dict[str, tuple[Any, Stubber]] = {}  # Any: boto3 makes clients at run time

    def client(self, service: str, region: str = "") -> Any:
        return self._stubbed(service)[0]

    def give(
        self, service: str, operation: str, answer: dict[str, Any], asked: dict[str, Any] | None = None
    ) -> Answers:
        self._stubbed(service)[1].add_response(operation, answer, asked)
        return self

    def refuse(self, service: str, operation: str, code: str, message: str = "no") -> Answers:
        self._stubbed(service)[1].add_client_error(operation, code, message)
        return self

    def all_given(self) -> bool:
        """True when nothing was prepared in vain."""
        for _, stubber in self._clients.values():
            stubber.assert_no_pending_responses()
        return True

    def _stubbed(self, service: str) -> tuple[Any, Stubber]:
        if service not in self._clients:
            client = boto3.client(  # type: ignore[call-overload]  # the name is a variable
                service, region_name=REGION, aws_access_key_id="unused", aws_secret_access_key="unused"
            )
            stubber = Stubber(client)
            stubber.activate()
            self._clients[service] = (client, stubber)
        return self._clients[service]
