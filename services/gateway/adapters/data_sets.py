"""Where data sets come from and go to: a content bucket, a quarantine bucket, and the key of a run's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.gateway.adapters.aws import kms, s3

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

LABEL = "llm-pipelines:redaction:v1:"
OBJECT_BYTES_MAX = 64 << 20


class TooLarge(Exception):
    """An object that is not read into memory; it stays where it is."""


class DataSets:
    """S3 objects by name, and the key of one run."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._s3: S3Client = s3(region)

    def names(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        yield from (found["Key"] for page in pages for found in page.get("Contents", []))

    def read(self, bucket: str, name: str) -> bytes:
        answer = self._s3.get_object(Bucket=bucket, Key=name)
        with answer["Body"] as body:
            if answer["ContentLength"] > OBJECT_BYTES_MAX:
                raise TooLarge(f"more than {OBJECT_BYTES_MAX} bytes")
            return body.read()

    def write(self, bucket: str, name: str, content: bytes) -> None:
        """A new object; one that is there already stays as it is, and this fails."""
        self._s3.put_object(Bucket=bucket, Key=name, Body=content, IfNoneMatch="*")

    def run_key(self, key_arn: str, run: str) -> bytes:
        """Derived by KMS, so that it can be derived again only by whoever may use that key."""
        message = f"{LABEL}{run}".encode()
        return kms(self._region).generate_mac(KeyId=key_arn, Message=message, MacAlgorithm="HMAC_SHA_256")["Mac"]
