"""What a message of the queue says: which objects were created in the workload's bucket."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_plus

import msgspec

from services.gateway.exchange import Registration
from services.gateway.ingestion.rejection import Reason, Rejected

NAME_CHARS_MAX = 200


class _Object(msgspec.Struct, frozen=True):
    key: str


class _Bucket(msgspec.Struct, frozen=True):
    name: str


class _S3(msgspec.Struct, frozen=True):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, frozen=True):
    s3: _S3
    event_name: str = msgspec.field(name="eventName")


class _Event(msgspec.Struct, frozen=True):
    """S3 sends records, or once, when notifications are set up, a test event."""

    records: tuple[_Record, ...] | None = msgspec.field(name="Records", default=None)
    event: str = msgspec.field(name="Event", default="")


@dataclass(frozen=True, slots=True)
class Upload:
    """One object that was created."""

    bucket: str
    key: str


def read_event(body: str) -> tuple[Upload, ...]:
    """The uploads that a message reports; Rejected when it is not an S3 event."""
    try:
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.MsgspecError, UnicodeError):
        raise Rejected(Reason.MALFORMED_EVENT) from None
    if event.event == "s3:TestEvent":
        return ()
    if event.records is None:
        raise Rejected(Reason.MALFORMED_EVENT)
    created = (record.s3 for record in event.records if "ObjectCreated" in record.event_name)
    return tuple(Upload(s3.bucket.name, unquote_plus(s3.object.key)) for s3 in created)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document belongs: read from its key."""

    tenant: str
    collection: str
    name: str


def locate(upload: Upload, registration: Registration) -> Location:
    """The tenant's place of an upload; Rejected when it is not one of this workload's."""
    if upload.bucket != registration.document_bucket:
        raise Rejected(Reason.WRONG_BUCKET)
    parts = upload.key.split("/")
    if len(parts) != 3 or not all(_is_name(part) for part in parts):
        raise Rejected(Reason.WRONG_KEY)
    location = Location(*parts)
    if location.tenant not in registration.tenants:
        raise Rejected(Reason.WRONG_TENANT)
    return location


def _is_name(part: str) -> bool:
    """Something that can be shown: not empty, not hidden, no control or formatting characters."""
    printable = all(unicodedata.category(char)[0] != "C" for char in part)
    return part.strip() == part and 0 < len(part) <= NAME_CHARS_MAX and not part.startswith(".") and printable
