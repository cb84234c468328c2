"""Envelope encryption: passages under a tenant's data key, data keys under the workload's key in KMS.

KMS binds a data key to tenant, workload, environment and purpose (encryption context): asked for another
tenant, it does not open. AES-256-GCM binds a passage to its place, so one moved in the database does not open
either. GCM alone would allow a ciphertext that opens under two keys; a commitment derived beside the cipher
key rules that out. Opened keys stay in memory for a bounded time and number of uses; Python cannot wipe them.
"""

from __future__ import annotations

import functools
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from services.gateway.adapters.aws import CONFIG, Calls
from services.gateway.adapters.tls import aws_session
from services.gateway.exchange import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

STAGE = "documents"
KEY_LIFETIME_S = 300.0
KEY_USES_MAX = 100_000
KEYS_KEPT_MAX = 256
NONCE_BYTES = 12
COMMITMENT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data key: what KMS is told, and must be told again to open it."""

    tenant: str
    workload: str
    environment: str

    @property
    def context(self) -> dict[str, str]:
        return {
            "tenant": self.tenant,
            "workload": self.workload,
            "environment": self.environment,
            "purpose": "documents",
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage belongs and how it is classified: it opens nowhere else and as nothing else."""

    scope: Scope
    collection: str
    document: str
    document_digest: str
    number: int
    data_class: str

    @property
    def associated_data(self) -> bytes:
        parts = (
            self.scope.tenant,
            self.scope.workload,
            self.scope.environment,
            self.collection,
            self.document,
            self.document_digest,
            str(self.number),
            self.data_class,
        )
        # Lengths first: no two places are written alike.
        return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A data key as it is stored: only KMS can open it."""

    id: UUID
    key_arn: str
    ciphertext: bytes


class DataKey:
    """An opened data key."""

    __slots__ = ("_cipher", "_commitment")

    def __init__(self, plaintext: bytes) -> None:
        derived = HKDFExpand(SHA512(), 32 + COMMITMENT_BYTES, b"llm-pipelines:documents:v1").derive(plaintext)
        self._cipher = AESGCM(derived[:32])
        self._commitment = derived[32:]

    def seal(self, text: str, place: Place) -> tuple[bytes, bytes]:
        """Nonce and ciphertext of a passage."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), self._commitment + place.associated_data)
        return nonce, self._commitment + sealed

    def open(self, nonce: bytes, ciphertext: bytes, place: Place) -> str:
        """The passage; Unavailable when it was changed, moved, or is of another key."""
        commitment, sealed = ciphertext[:COMMITMENT_BYTES], ciphertext[COMMITMENT_BYTES:]
        if not hmac.compare_digest(commitment, self._commitment):
            raise Unavailable(STAGE, "a passage was not encrypted with its data key")
        try:
            return self._cipher.decrypt(nonce, sealed, self._commitment + place.associated_data).decode()
        except InvalidTag:
            raise Unavailable(STAGE, "a passage does not belong where it was found, or was changed") from None


class KeyService(Protocol):
    """What is needed of KMS."""

    async def generate(self, key_arn: str, context: dict[str, str]) -> tuple[bytes, bytes]:
        """A new data key: plaintext and ciphertext."""

    async def decrypt(self, key_arn: str, ciphertext: bytes, context: dict[str, str]) -> bytes:
        """The plaintext; Unavailable when KMS refuses."""


class KmsKeys:
    """KMS, asked from threads of its own."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._calls = Calls(STAGE, threads=2)

    async def generate(self, key_arn: str, context: dict[str, str]) -> tuple[bytes, bytes]:
        made = await self._calls(
            lambda: self._kms.generate_data_key(KeyId=key_arn, KeySpec="AES_256", EncryptionContext=context)
        )
        return made["Plaintext"], made["CiphertextBlob"]

    async def decrypt(self, key_arn: str, ciphertext: bytes, context: dict[str, str]) -> bytes:
        # The key is named, so that a ciphertext under anybody else's key is refused.
        opened = await self._calls(
            lambda: self._kms.decrypt(KeyId=key_arn, CiphertextBlob=ciphertext, EncryptionContext=context)
        )
        return opened["Plaintext"]

    @functools.cached_property
    def _kms(self) -> KMSClient:
        return aws_session(self._region).client("kms", config=CONFIG)


@dataclass(slots=True)
class _Kept:
    key: DataKey
    until_s: float
    uses_left: int


class Envelope:
    """Makes and opens data keys, and remembers opened ones for a while."""

    def __init__(self, service: KeyService, now_s: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._now_s = now_s
        self._kept: OrderedDict[tuple[UUID, Scope], _Kept] = OrderedDict()

    async def make(self, key_arn: str, scope: Scope) -> SealedKey:
        """A new data key of a scope."""
        plaintext, ciphertext = await self._service.generate(key_arn, scope.context)
        sealed = SealedKey(uuid4(), key_arn, ciphertext)
        self._keep(sealed, scope, DataKey(plaintext))
        return sealed

    async def open(self, sealed: SealedKey, scope: Scope) -> DataKey:
        """A data key, opened by KMS for this scope within the last minutes."""
        kept = self._kept.get((sealed.id, scope))
        if kept is None or kept.uses_left == 0 or kept.until_s <= self._now_s():
            plaintext = await self._service.decrypt(sealed.key_arn, sealed.ciphertext, scope.context)
            kept = self._keep(sealed, scope, DataKey(plaintext))
        kept.uses_left -= 1
        return kept.key

    def _keep(self, sealed: SealedKey, scope: Scope, key: DataKey) -> _Kept:
        kept = _Kept(key, self._now_s() + KEY_LIFETIME_S, KEY_USES_MAX)
        self._kept[sealed.id, scope] = kept
        self._kept.move_to_end((sealed.id, scope))
        if len(self._kept) > KEYS_KEPT_MAX:
            self._kept.popitem(last=False)
        return kept
