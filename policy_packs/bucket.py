"""A bucket and what is said about it: in its own properties, or by a resource that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.satellite import any_satellite
from policy_packs.tristate import Truth, any_of

BUCKET: Final = "aws:s3/bucket:Bucket"
NO_BUCKET: Final = "the stack has no bucket"
VERSIONING: Final = "aws:s3/bucketVersioning:BucketVersioning"


def any_part(stack: Stack, bucket: Resource, part_type: str, judge: Callable[[Resource], Truth]) -> Truth:
    """Whether a part of this type answers yes; one whose bucket is not known yet may."""
    return any_satellite(stack, bucket, part_type, "bucket", judge)


def is_versioned(stack: Stack, bucket: Resource) -> Truth:
    inline = bucket.at("versioning.enabled").equals(True)
    return any_of(inline, any_part(stack, bucket, VERSIONING, _is_enabled))


def _is_enabled(versioning: Resource) -> Truth:
    return versioning.at("versioningConfiguration.status").equals("Enabled")
