"""Requests to AWS on the hot path: signed with SigV4 by botocore, sent by the shared HTTP client.

Endpoint, region and credentials come from the standard environment, as for any AWS SDK. boto3's own
clients would block the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError

from services.gateway.exchange import Unavailable


class SignedRequests:
    """Signs requests to one AWS service."""

    def __init__(self, session: boto3.Session, service: str, signing_name: str) -> None:
        client = session.client(service)  # type: ignore[call-overload]  # any service's name
        self.endpoint: str = client.meta.endpoint_url.rstrip("/")
        self._region: str = client.meta.region_name
        self._session = session
        self._signing_name = signing_name
        self._credentials: Credentials | None = None

    async def headers(self, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """`headers` with the signature of a POST of `body` to `url`."""
        request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
        SigV4Auth(await self._frozen(), self._signing_name, self._region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    async def _frozen(self) -> ReadOnlyCredentials:
        """The task's credentials of now. Fetching them is a blocking call, so it runs in a thread."""
        try:
            if self._credentials is None:
                self._credentials = await asyncio.to_thread(self._session.get_credentials)
            if self._credentials is None:
                raise Unavailable("model_call", "no AWS credentials")
            if isinstance(self._credentials, RefreshableCredentials) and self._credentials.refresh_needed():
                return await asyncio.to_thread(self._credentials.get_frozen_credentials)
            return self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise Unavailable("model_call", f"no AWS credentials: {type(error).__name__}") from error
