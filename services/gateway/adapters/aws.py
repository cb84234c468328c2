"""Clients of AWS for adapters: short timeouts, few retries, everything else from the standard environment."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.gateway.adapters.tls import aws_session
from services.gateway.exchange import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient
    from mypy_boto3_s3.client import S3Client

CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=16,
)

AWS_ERRORS = (BotoCoreError, ClientError)

Result = TypeVar("Result")


class Calls:
    """Threads of one's own for blocking calls, so that a slow service cannot take everybody's."""

    def __init__(self, stage: str, *, threads: int = 1) -> None:
        self._stage = stage
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=stage)

    async def __call__(self, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except AWS_ERRORS as error:
            raise Unavailable(self._stage, describe(error)) from error


def kms(region: str) -> KMSClient:
    with _making:
        return _session(region).client("kms", config=CONFIG)


def s3(region: str) -> S3Client:
    with _making:
        return _session(region).client("s3", config=CONFIG)


_making = threading.Lock()  # clients may be shared by threads; making them may not


@functools.cache
def _session(region: str) -> boto3.Session:
    return aws_session(region)


def describe(error: BotoCoreError | ClientError) -> str:
    """Code and operation; never the message, which can quote what was sent."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response.get('Error', {}).get('Code', 'unknown')}"
    return type(error).__name__
