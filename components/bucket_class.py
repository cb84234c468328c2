"""What buckets are for, and what that demands: encryption, Object Lock, lifecycle, replication. One table, no knobs.

Load balancers and S3's own access logs can be delivered under Amazon's key only, and access logs never into a
locked bucket: such buckets hand everything on to evidence. Prompts and answers may have to be erased: what is
locked of them stays locked no longer than they may be kept, and never in a way that nobody can lift.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BucketClass(StrEnum):
    """What a bucket keeps."""

    EVIDENCE = "evidence"
    CONTENT = "content"
    CONTENT_EVIDENCE = "content-evidence"
    LOAD_BALANCER_LOGS = "load-balancer-logs"
    ACCESS_LOGS = "access-logs"
    REGISTRATIONS = "registrations"
    DOCUMENTS = "documents"
    MODELS = "models"
    QUARANTINE = "quarantine"
    DATA_SETS = "data-sets"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a class demands of its buckets."""

    own_key: bool
    locked: bool
    expires: bool
    replicated: bool


TREATMENTS: dict[BucketClass, Treatment] = {
    BucketClass.EVIDENCE: Treatment(own_key=True, locked=True, expires=False, replicated=False),
    BucketClass.CONTENT: Treatment(own_key=True, locked=False, expires=True, replicated=True),
    BucketClass.CONTENT_EVIDENCE: Treatment(own_key=True, locked=True, expires=True, replicated=False),
    BucketClass.LOAD_BALANCER_LOGS: Treatment(own_key=False, locked=False, expires=True, replicated=True),
    BucketClass.ACCESS_LOGS: Treatment(own_key=False, locked=False, expires=True, replicated=True),
    BucketClass.REGISTRATIONS: Treatment(own_key=True, locked=False, expires=False, replicated=False),
    BucketClass.DOCUMENTS: Treatment(own_key=True, locked=False, expires=False, replicated=False),
    BucketClass.QUARANTINE: Treatment(own_key=True, locked=False, expires=True, replicated=False),
    BucketClass.DATA_SETS: Treatment(own_key=True, locked=False, expires=False, replicated=False),
    BucketClass.MODELS: Treatment(own_key=True, locked=True, expires=False, replicated=False),
}
