"""Passwords that are IAM tokens: presigned requests that RDS and ElastiCache accept for 15 minutes.

Made anew for every connection from the credentials of the running task; nothing is stored.
"""

from __future__ import annotations

import asyncio
import functools
import re
from urllib.parse import urlencode

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from services.gateway.exchange import Unavailable

TOKEN_LIFETIME_S = 900


class IamToken:
    """Signs tokens for one user of one server."""

    def __init__(self, service: str, region: str, host: str, parameters: tuple[tuple[str, str], ...]) -> None:
        self._service = service  # the name to sign for: rds-db or elasticache
        self._region = region
        self._url = f"https://{host}/?{urlencode(parameters)}"

    async def __call__(self) -> str:
        # In a thread: fresh credentials may be a call to the container's credential endpoint.
        try:
            return await asyncio.to_thread(self.sign)
        except BotoCoreError as error:
            raise Unavailable("credentials", f"no token for {self._service}: {type(error).__name__}") from error

    def sign(self) -> str:
        signer = RequestSigner(
            ServiceId(self._service), self._region, self._service, "v4", self._credentials, self._session.events
        )
        request = {"method": "GET", "url": self._url, "body": {}, "headers": {}, "context": {}}
        presigned: str = signer.generate_presigned_url(
            request, operation_name="connect", expires_in=TOKEN_LIFETIME_S, region_name=self._region
        )
        return presigned.removeprefix("https://")

    @functools.cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(region_name=self._region)

    @functools.cached_property
    def _credentials(self) -> Credentials:
        """Those of the running task; they refresh themselves."""
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        return credentials


def database_token(region: str, host: str, port: int, user: str) -> IamToken:
    return IamToken("rds-db", region, f"{host}:{port}", (("Action", "connect"), ("DBUser", user)))


def cache_token(region: str, host: str, user: str) -> IamToken:
    parameters = [("Action", "connect"), ("User", user)]
    if ".serverless." in host:
        parameters.append(("ResourceType", "ServerlessCache"))
    return IamToken("elasticache", region, cache_name(host), tuple(parameters))


def cache_name(host: str) -> str:
    """The name of a cache, which is what a token is signed for, from its endpoint's host name.

    master.<name>.<id>.<region>.cache.amazonaws.com, replica., clustercfg. likewise; serverless caches are
    <name>-<id>.serverless.<region>.cache.amazonaws.com. Anything else is taken whole.
    """
    serverless = re.match(r"(?P<name>[a-z0-9-]+)-[a-z0-9]+\.serverless\.", host)
    if serverless:
        return serverless["name"]
    group = re.match(r"(?:master|replica|clustercfg)\.(?P<name>[a-z0-9-]+)\..+\.cache\.amazonaws\.com", host)
    return group["name"] if group else host
