"""The log archive as the audit chain uses it: heads are put once, never replaced, and read back in order."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from botocore.exceptions import ClientError

from services.gateway.adapters.aws import Calls, s3
from services.gateway.audit.head import PREFIX, StoredHead, name

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

STAGE = "audit"
READING_THREADS = 16


class HeadArchive:
    def __init__(self, region: str, bucket: str) -> None:
        self._region = region
        self._bucket = bucket
        self._calls = Calls("audit-archive")

    async def put(self, object_name: str, content: bytes) -> bool:
        """True when it is stored; False when there is an object of that name already."""
        return await self._calls(functools.partial(self._put, object_name, content))

    async def get(self, object_name: str) -> bytes:
        return await self._calls(functools.partial(self._get, object_name))

    async def last_name(self, chain: UUID, seq_near: int) -> str | None:
        """The name of the chain's last head; looks close to `seq_near` first, since listings only go forward."""
        return await self._calls(functools.partial(self._last_name, chain, seq_near))

    async def first_name(self, chain: UUID, seq_least: int) -> str | None:
        """The name of the first head that covers record `seq_least`."""
        return await self._calls(functools.partial(self._first_name, chain, seq_least))

    async def all_heads(self) -> list[StoredHead]:
        """Every version of every head, by name: an overwritten or deleted one is still there to be seen."""
        return await self._calls(self._all_heads)

    def close(self) -> None:
        self._s3.close()

    @functools.cached_property
    def _s3(self) -> S3Client:
        return s3(self._region)

    def _put(self, object_name: str, content: bytes) -> bool:
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=object_name,
                Body=content,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "PreconditionFailed":
                return False
            raise
        return True

    def _get(self, object_name: str, version: str | None = None) -> bytes:
        if version is None:
            return self._s3.get_object(Bucket=self._bucket, Key=object_name)["Body"].read()
        return self._s3.get_object(Bucket=self._bucket, Key=object_name, VersionId=version)["Body"].read()

    def _last_name(self, chain: UUID, seq_near: int) -> str | None:
        prefix = f"{PREFIX}{chain}/"
        near = self._names(prefix, after=name(chain, max(seq_near - 50_000, 0)))
        return max(near, default=None) or max(self._names(prefix), default=None)

    def _first_name(self, chain: UUID, seq_least: int) -> str | None:
        prefix = f"{PREFIX}{chain}/"
        before = prefix if seq_least == 0 else name(chain, seq_least - 1)
        return next(iter(self._names(prefix, after=before)), None)

    def _names(self, prefix: str, after: str = "") -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def _all_heads(self) -> list[StoredHead]:
        with ThreadPoolExecutor(READING_THREADS, thread_name_prefix="audit-heads") as threads:
            return list(threads.map(self._read_version, self._versions()))

    def _versions(self) -> Iterable[tuple[str, str | None]]:
        """Name and version of every version, oldest first; version None for delete markers."""
        found: list[tuple[str, datetime, str | None]] = []
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=PREFIX):
            found += [(one["Key"], one["LastModified"], one["VersionId"]) for one in page.get("Versions", ())]
            found += [(one["Key"], one["LastModified"], None) for one in page.get("DeleteMarkers", ())]
        found.sort(key=lambda entry: entry[:2])
        return [(key, version) for key, _, version in found]

    def _read_version(self, entry: tuple[str, str | None]) -> StoredHead:
        object_name, version = entry
        return StoredHead(object_name, None if version is None else self._get(object_name, version))
