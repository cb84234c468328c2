"""Clients of the AWS API on loopback, for one region."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from stacks.local.provider.guard import refuse_leaving, require_loopback
from stacks.local.provider.parts_of import Parts

NOBODY = "local"  # access key and secret: moto checks no signature, but an SDK sends nothing without them
_CONFIG = Config(
    retries={"total_max_attempts": 2, "mode": "standard"},
    s3={"addressing_style": "path"},  # bucket.127.0.0.1 names no host
    proxies={},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=4,
)


@dataclass(frozen=True)
class Endpoint:
    """Where the AWS API answers. The credentials name nobody: moto checks no signature."""

    url: str
    ca_bundle: str = ""

    def __post_init__(self) -> None:
        require_loopback(self.url)

    @classmethod
    def from_environment(cls) -> Endpoint:
        """From the standard variables, as any SDK finds it."""
        url = os.environ.get("AWS_ENDPOINT_URL", "")
        if not url:
            raise ValueError("AWS_ENDPOINT_URL is not set: the provider needs the AWS API of the local platform")
        return cls(url, os.environ.get("AWS_CA_BUNDLE", ""))


@dataclass
class Aws:
    """What the functions of a resource type call with: clients, and the parts that stand behind AWS."""

    endpoint: Endpoint
    region: str
    parts: Parts | None
    starts_services: bool = False
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session: Any = boto3.session.Session(NOBODY, NOBODY, region_name=self.region)
            session.events.register("before-send", refuse_leaving)
            self._clients[service] = session.client(
                service,
                endpoint_url=self.endpoint.url,
                verify=self.endpoint.ca_bundle or None,
                config=_CONFIG,
            )
        return self._clients[service]

    @property
    def account(self) -> str:
        if "account" not in self._clients:
            self._clients["account"] = self.client("sts").get_caller_identity()["Account"]
        return str(self._clients["account"])

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"
