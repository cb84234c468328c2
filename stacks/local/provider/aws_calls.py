"""Clients of the AWS API on loopback, for one region."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from stacks.local.provider.guard import refuse_leaving, require_loopback
from stacks.local.provider.parts_of import Parts

# moto checks no signature, but an SDK sends nothing without a key.
_NOBODY = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
_CONFIG = Config(
    retries={"total_max_attempts": 2, "mode": "standard"},
    s3={"addressing_style": "path"},  # bucket.127.0.0.1 names no host
    proxies={},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=4,
)


@functools.cache
def _session() -> Any:
    """One for all clients: it reads the descriptions of the services once."""
    session = boto3.session.Session()
    session.events.register("before-send", refuse_leaving)
    return session


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
    """What the functions of a resource type call with: clients, and the parts that stand behind AWS.

    `deployer_role` is the name of the role in which a deployment acts: resource policies name it.
    """

    endpoint: Endpoint
    region: str
    parts: Parts | None
    starts_services: bool = False
    deployer_role: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)
    _credentials: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._new_client(service, **self._as_deployer())
        return self._clients[service]

    def _new_client(self, service: str, **credentials: str) -> Any:
        return _session().client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint.url,
            verify=self.endpoint.ca_bundle or None,
            config=_CONFIG,
            **(credentials or _NOBODY),
        )

    def _as_deployer(self) -> dict[str, str]:
        """A session of the deployer's role, taken once."""
        if self.deployer_role and not self._credentials:
            sts = self._new_client("sts")
            role = f"arn:aws:iam::{sts.get_caller_identity()['Account']}:role/{self.deployer_role}"
            given = sts.assume_role(RoleArn=role, RoleSessionName="deployment")["Credentials"]
            self._credentials = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["SessionToken"],
            }
        return self._credentials

    @property
    def account(self) -> str:
        if "account" not in self._clients:
            self._clients["account"] = self.client("sts").get_caller_identity()["Account"]
        return str(self._clients["account"])

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"
