"""Registrations, loaded live from S3: signed documents, each verified, the last good one kept.

A registration's signature is a KMS ciphertext of its digest under the platform's registration key, with
an encryption context that names purpose, workload and environment: who may encrypt under which context
is the key policy's decision, and only the gateway may decrypt. Polling needs no event source and heals by
itself; a document that does not hold, has expired or is older than the last one accepted is refused and alarmed
once, and changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.gateway.adapters.registration_document import RegistrationError, digest, read
from services.gateway.adapters.registration_marks import Marks
from services.gateway.exchange import Caller, Denied, Registration, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

POLL_S = 5
STALE_S = 60
OBJECT_BYTES_MAX = 512 << 10
PREFIX = "registrations/"

log = logging.getLogger(__name__)

_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
_AWS_ERRORS = (BotoCoreError, ClientError)


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: str
    signature: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where registrations lie and which key signs them."""

    bucket: str
    key_arn: str
    environment: str


class S3Registrations:
    """Implements Registrations. `refused` counts the alarms since the start."""

    def __init__(self, session: boto3.Session, source: Source, marks: Marks) -> None:
        self._source = source
        self._marks = marks
        self._s3: S3Client = session.client("s3", config=_CONFIG)
        self._kms: KMSClient = session.client("kms", config=_CONFIG)
        self._loaded: dict[str, tuple[str, Registration]] = {}  # workload → ETag, registration
        self._alarmed: dict[str, str] = {}  # workload → ETag of what did not hold
        self._by_workload: Mapping[str, Registration] = {}
        self._polling: asyncio.Task[None] | None = None
        self._looked_at: float | None = None
        self.refused = 0

    def find(self, caller: Caller) -> Registration:
        """The caller's registration: all its claims and the tenant must hold."""
        workload = caller.claims.get("workload")
        registration = self._by_workload.get(workload) if isinstance(workload, str) else None
        if registration is None or caller.tenant not in registration.tenants:
            raise _not_registered()
        if any(caller.claims.get(name) != value for name, value in registration.claims.items()):
            raise _not_registered()
        if registration.not_after is not None and registration.not_after <= datetime.now(UTC):
            raise _not_registered("the registration has expired")
        return registration

    def all(self) -> tuple[Registration, ...]:
        return tuple(self._by_workload.values())

    async def ready(self) -> None:
        if not self._by_workload:
            raise Unavailable("registrations", "no registration is loaded")
        if self.age_s > STALE_S:
            raise Unavailable("registrations", f"not read for {self.age_s:.0f} s: a withdrawn one would still hold")

    @property
    def age_s(self) -> float:
        """Seconds since the bucket was last read to its end; infinite before the first time."""
        return math.inf if self._looked_at is None else time.monotonic() - self._looked_at

    async def start(self) -> None:
        """Loads what is there now, if anything, and keeps looking."""
        self._polling = asyncio.create_task(self._poll_forever())

    async def close(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    async def refresh(self) -> None:
        """One look at the bucket. Raises what AWS raised; everything loaded before stays."""
        began_at = time.monotonic()
        listed, changed = await asyncio.to_thread(self._read_changes)
        for workload, registration in changed.items():
            await self._accept(workload, listed[workload], registration)
        for workload in set(self._loaded) - set(listed):
            del self._loaded[workload]  # withdrawn
        self._by_workload = {workload: registration for workload, (_, registration) in self._loaded.items()}
        self._looked_at = began_at

    async def _poll_forever(self) -> None:
        while True:
            try:
                await self.refresh()
            except _AWS_ERRORS as error:
                log.warning("registrations cannot be read", extra={"error": type(error).__name__})
            await asyncio.sleep(POLL_S)

    def _read_changes(self) -> tuple[dict[str, str], dict[str, Registration]]:
        """The ETag of every registration that is there, and those among them that are new and hold."""
        listed = dict(self._listed())
        changed: dict[str, Registration] = {}
        for workload, tag in listed.items():
            known = self._loaded.get(workload)
            registration = None if known is not None and known[0] == tag else self._read(workload, tag)
            if registration is not None:
                changed[workload] = registration
        return listed, changed

    async def _accept(self, workload: str, tag: str, registration: Registration) -> None:
        try:
            await self._marks.advance(registration)
        except RegistrationError as error:
            self._alarm(workload, tag, str(error))
        except Unavailable as failure:  # tried again with the next look
            log.warning("registration cannot be compared with the last one", extra={"reason": failure.reason})
        else:
            self._loaded[workload] = (tag, registration)
            self._alarmed.pop(workload, None)
            log.info("registration loaded", extra={"workload": workload, "digest": registration.digest})

    def _listed(self) -> Iterator[tuple[str, str]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._source.bucket, Prefix=PREFIX)
        for page in pages:
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(PREFIX)
                if name.endswith(".json") and "/" not in name:
                    yield name.removesuffix(".json"), entry["ETag"]

    def _read(self, workload: str, tag: str) -> Registration | None:
        try:
            document = self._verified(workload, self._object(f"{PREFIX}{workload}.json"))
            return read(document, workload, self._source.environment, self._object)
        except RegistrationError as error:
            self._alarm(workload, tag, str(error))
        except ClientError as error:  # of this workload's objects only: the others are none the worse for it
            self._alarm(workload, tag, f"AWS: {error.response.get('Error', {}).get('Code', 'unknown')}")
        return None

    def _alarm(self, workload: str, tag: str, reason: str) -> None:
        """Once for each content: it is tried again with every poll, should the fault be ours."""
        if self._alarmed.get(workload) != tag:
            self._alarmed[workload] = tag
            self.refused += 1
            log.error("registration refused", extra={"workload": workload, "reason": reason})

    def _object(self, key: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._source.bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                raise RegistrationError(f"object '{key}' is missing") from error
            raise
        content = answer["Body"].read(OBJECT_BYTES_MAX + 1)
        if len(content) > OBJECT_BYTES_MAX:
            raise RegistrationError(f"object '{key}' is larger than {OBJECT_BYTES_MAX} bytes")
        return content

    def _verified(self, workload: str, content: bytes) -> bytes:
        """The document, when its signature says that this workload's deployer wrote exactly these bytes."""
        try:
            envelope = msgspec.json.decode(content, type=_Envelope)
            ciphertext = base64.b64decode(envelope.signature, validate=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error) as error:
            raise RegistrationError(f"not a signed document: {type(error).__name__}") from error
        document = envelope.document.encode()
        signed = self._decrypted(workload, ciphertext)
        if not hmac.compare_digest(signed, digest(document).encode()):
            raise RegistrationError("the signature is not of this document")
        return document

    def _decrypted(self, workload: str, ciphertext: bytes) -> bytes:
        context = {"purpose": "registration", "workload": workload, "environment": self._source.environment}
        try:
            answer = self._kms.decrypt(CiphertextBlob=ciphertext, KeyId=self._source.key_arn, EncryptionContext=context)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _BAD_SIGNATURE:
                raise RegistrationError("the signature does not hold for this workload and environment") from error
            raise
        return answer["Plaintext"]


_BAD_SIGNATURE = frozenset(("InvalidCiphertextException", "IncorrectKeyException", "ValidationException"))


def _not_registered(reason: str = "no registration matches the caller's claims and tenant") -> Denied:
    return Denied(
        "registrations",
        reason,
        status=403,
        code="workload_not_registered",
        type="permission_error",
        public="Your workload or tenant is not registered at this gateway.",
    )
