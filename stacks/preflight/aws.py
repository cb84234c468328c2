"""AWS as the preflight sees it: clients that read, in the environment's region, with short patience."""

from __future__ import annotations

from typing import Any, Protocol

import boto3
from botocore.config import Config

_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})


class Aws(Protocol):
    """Gives a boto3 client by service name and, where it is another, region."""

    def client(self, service: str, region: str = "") -> Any: ...  # Any: boto3 makes clients at run time


class Session:
    """The caller's own credentials, whichever way boto3 finds them."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = boto3.session.Session(region_name=region)

    def client(self, service: str, region: str = "") -> Any:
        return self._session.client(service, region_name=region or self._region, config=_PATIENCE)  # type: ignore[call-overload]  # the name is a variable
