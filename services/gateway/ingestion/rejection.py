"""Why a document cannot be ingested. The reason goes to the dead-letter queue and the audit log, no content does."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    MALFORMED_EVENT = "malformed_event"  # the message is not an S3 event
    WRONG_BUCKET = "wrong_bucket"  # the event names another bucket than the workload's
    WRONG_KEY = "wrong_key"  # not <tenant>/<collection>/<file name>
    WRONG_TENANT = "wrong_tenant"  # not a tenant of the registration
    UNSAFE_NAME = "unsafe_name"  # the file name itself holds a credential, personal data or an instruction
    MISSING = "missing"  # the object is not there (any more)
    TOO_LARGE = "too_large"
    UNKNOWN_TYPE = "unknown_type"  # neither txt, md, html, pdf nor docx, or not what its name says
    EMPTY = "empty"  # no text in it
    ENCRYPTED = "encrypted"
    UNREADABLE = "unreadable"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_MUCH_INSIDE = "too_much_inside"  # unpacks to far more than it is
    TOO_SLOW = "too_slow"  # reading took longer than allowed
    NOT_CLEANABLE = "not_cleanable"  # credentials were still found after they were cut out
    NOTHING_LEFT = "nothing_left"  # everything in it instructs the model
    DATA_CLASS_ABOVE_WORKLOAD = "data_class_above_workload"
    EMBEDDING_REFUSED = "embedding_refused"
    INTERNAL_ERROR = "internal_error"


class Rejected(Exception):
    """The document cannot be ingested, now or later."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Extracted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the process answers: a text or a reason."""

    text: str = ""
    reason: Reason | None = None
