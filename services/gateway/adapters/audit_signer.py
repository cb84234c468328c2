"""Signs heads of the audit chain with a key of KMS that never leaves it (ECC_NIST_P384, ECDSA_SHA_384)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from services.gateway.adapters.aws import Calls, kms

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

STAGE = "audit"


class KmsSigner:
    """`sign` by KMS; `public_key` for whoever verifies."""

    def __init__(self, region: str, key_arn: str) -> None:
        self._region = region
        self._key_arn = key_arn
        self._calls = Calls("audit-signer")

    async def sign(self, text: bytes) -> bytes:
        return await self._calls(functools.partial(self._sign, text))

    async def public_key(self) -> AuditKey:
        return await self._calls(self._public_key)

    @functools.cached_property
    def _kms(self) -> KMSClient:
        return kms(self._region)

    def _sign(self, text: bytes) -> bytes:
        # RAW: KMS hashes the text (at most 4,096 bytes) itself. The signature is the same as for
        # MessageType DIGEST over its SHA-384, without a second place where the digest is computed.
        answer = self._kms.sign(KeyId=self._key_arn, Message=text, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_384")
        return answer["Signature"]

    def _public_key(self) -> AuditKey:
        return AuditKey.from_der(self._kms.get_public_key(KeyId=self._key_arn)["PublicKey"])


class AuditKey:
    """The public half: says whether a head is signed by the audit key."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    @classmethod
    def from_der(cls, der: bytes) -> AuditKey:
        return cls(_elliptic(load_der_public_key(der)))

    @classmethod
    def from_pem(cls, pem: bytes) -> AuditKey:
        return cls(_elliptic(load_pem_public_key(pem)))

    def signed(self, text: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text, ec.ECDSA(hashes.SHA384()))
        except InvalidSignature:
            return False
        return True


def _elliptic(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError(f"the audit key must be an elliptic-curve key (got {type(key).__name__})")
    return key
