"""Brings a bundle from the models bucket to the pod's disk: the files that one manifest lists, and nothing else.

The manifest is asked for in one version and must have the digest that the deployment names. What arrives is not
trusted: `verify` looks at every byte afterwards, before a model server does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from services.model_weights.manifest import MANIFEST_BYTES_MAX, Manifest, ManifestError, parse
from services.model_weights.names import MANIFEST, SIGNATURE

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FILES_AT_ONCE = 4  # each is itself fetched in parts, in parallel
SIGNATURE_BYTES_MAX = 4_096
_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=64)


class FetchError(Exception):
    """The bucket does not hold what the deployment names."""


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle in the bucket, under a manifest in one version and with one digest."""

    bucket: str
    prefix: str
    manifest_version: str
    manifest_sha256: str
    region: str

    def key(self, path: str) -> str:
        return f"{self.prefix}/{path}"


def fetch(source: Source, folder: Path) -> Manifest:
    """Fills the empty `folder`; raises FetchError or ManifestError."""
    if any(folder.iterdir()):
        raise FetchError(f"{folder} must be empty")
    s3: S3Client = boto3.client("s3", region_name=source.region, config=_CONFIG)
    content = _small(s3, source, MANIFEST, MANIFEST_BYTES_MAX, VersionId=source.manifest_version)
    found = hashlib.sha256(content).hexdigest()
    if found != source.manifest_sha256:
        raise ManifestError(f"manifest sha256 must be {source.manifest_sha256} (got {found})")
    manifest = parse(content)
    (folder / MANIFEST).write_bytes(content)
    (folder / SIGNATURE).write_bytes(_small(s3, source, SIGNATURE, SIGNATURE_BYTES_MAX))
    with ThreadPoolExecutor(FILES_AT_ONCE) as fetchers:
        list(fetchers.map(_into(s3, source, folder), [(file.path, file.bytes) for file in manifest.files]))
    return manifest


def _small(s3: S3Client, source: Source, path: str, bytes_max: int, **version: str) -> bytes:
    body = s3.get_object(Bucket=source.bucket, Key=source.key(path), **version)["Body"]  # type: ignore[arg-type]  # VersionId
    content = body.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise FetchError(f"{path} has more than {bytes_max} bytes")
    return content


def _into(s3: S3Client, source: Source, folder: Path) -> Callable[[tuple[str, int]], None]:
    def one(file: tuple[str, int]) -> None:
        path, size = file
        stored = s3.head_object(Bucket=source.bucket, Key=source.key(path))["ContentLength"]
        if stored != size:
            # Before it fills the disk.
            raise FetchError(f"{path} must have {size} bytes (got {stored})")
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(source.bucket, source.key(path), str(place))

    return one
