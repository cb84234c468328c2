"""A bucket and what is said about it: in its own properties, or by a resource that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.tristate import Truth, any_of

BUCKET: Final = "aws:s3/bucket:Bucket"
VERSIONING: Final = "aws:s3/bucketVersioning:BucketVersioning"


def any_part(stack: Stack, bucket: Resource, part_type: str, judge: Callable[[Resource], Truth]) -> Truth:
    """Whether a part of this type answers yes; one whose bucket is not known yet may."""
    related = stack.related(bucket, (part_type,), by="bucket")
    return any_of(*(judge(one) for one in related.certain), *([Truth.UNKNOWN] if related.is_unclear else []))


def is_versioned(stack: Stack, bucket: Resource) -> Truth:
    inline = bucket.at("versioning.enabled").equals(True)
    return any_of(inline, any_part(stack, bucket, VERSIONING, _is_enabled))


def _is_enabled(versioning: Resource) -> Truth:
    return versioning.at("versioningConfiguration.status").equals("Enabled")
