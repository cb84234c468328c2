"""Documents as they lie in a workload's S3 bucket."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.gateway.adapters.aws import CONFIG, Calls
from services.gateway.adapters.tls import aws_session
from services.gateway.document_ports import Source, SourceMissing, SourceTooLarge

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_MISSING = ("NoSuchKey", "404")


class S3DocumentBucket:
    """The DocumentBucket port on S3."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._calls = Calls("document_bucket", threads=4)

    async def fetch(self, bucket: str, key: str, bytes_max: int) -> Source:
        return await self._calls(lambda: self._fetch(bucket, key, bytes_max))

    def _fetch(self, bucket: str, key: str, bytes_max: int) -> Source:
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise SourceMissing(key) from error
            raise
        with answer["Body"] as body:
            if answer["ContentLength"] > bytes_max:
                raise SourceTooLarge(key)
            return Source(body.read(), answer["LastModified"])

    @functools.cached_property
    def _s3(self) -> S3Client:
        return aws_session(self._region).client("s3", config=CONFIG)
