"""Passwords that are IAM tokens: presigned requests that RDS and ElastiCache accept for 15 minutes.

Made anew for every connection from the credentials of the running task; nothing is stored.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlencode

import boto3
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from services.gateway.exchange import Unavailable

TOKEN_LIFETIME_S = 900


@dataclass(frozen=True, slots=True)
class IamToken:
    """Signs tokens for one user of one server."""

    service: str  # name to sign for: rds-db or elasticache
    region: str
    host: str  # host:port of the database, or the name of the cache
    parameters: tuple[tuple[str, str], ...]

    async def __call__(self) -> str:
        # In a thread: fresh credentials may be a call to the container's credential endpoint.
        try:
            return await asyncio.to_thread(self.sign)
        except BotoCoreError as error:
            raise Unavailable("credentials", f"no {self.service} token: {error}") from error

    def sign(self) -> str:
        session = boto3.Session(region_name=self.region)
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        signer = RequestSigner(
            ServiceId(self.service),
            self.region,
            self.service,
            "v4",
            credentials,
            session.events,
        )
        url = f"https://{self.host}/?{urlencode(self.parameters)}"
        request = {"method": "GET", "url": url, "body": {}, "headers": {}, "context": {}}
        presigned: str = signer.generate_presigned_url(
            request, operation_name="connect", expires_in=TOKEN_LIFETIME_S, region_name=self.region
        )
        return presigned.removeprefix("https://")


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
