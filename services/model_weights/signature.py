"""Who vouches for a manifest: a key of KMS that never leaves it signs, anybody with the public half verifies.

ECC_NIST_P384 with ECDSA_SHA_384. The verifier needs neither network nor rights, so that it can run before every
start of a model server, in a pod that reaches nothing.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient


class SignatureError(Exception):
    """The signature, or the key, is not what it must be."""


class KmsKey:
    """The private half, by its ARN."""

    def __init__(self, key_arn: str, region: str) -> None:
        self._key_arn = key_arn
        self._kms: KMSClient = boto3.client(
            "kms", region_name=region, config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 3})
        )

    def sign(self, text: bytes) -> bytes:
        # RAW: KMS hashes the text itself, so that there is no second place where the digest is computed.
        answer = self._kms.sign(KeyId=self._key_arn, Message=text, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_384")
        return _encoded(answer["Signature"])

    def public(self) -> PublicKey:
        return PublicKey(load_der_public_key(self._kms.get_public_key(KeyId=self._key_arn)["PublicKey"]))


class PublicKey:
    def __init__(self, key: object) -> None:
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise SignatureError("the public key must be of the curve P-384")
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        try:
            return cls(load_pem_public_key(pem))
        except ValueError:
            raise SignatureError("the public key must be a PEM file") from None

    def pem(self) -> bytes:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def require(self, text: bytes, signature: bytes) -> None:
        """SignatureError unless this key signed `text`."""
        try:
            self._key.verify(_decoded(signature), text, ec.ECDSA(hashes.SHA384()))
        except (InvalidSignature, binascii.Error):
            raise SignatureError("the manifest is not signed by the intake key") from None


def _decoded(signature: bytes) -> bytes:
    """From its one spelling: base64 has others, which differ in bits that nobody reads."""
    plain = base64.b64decode(signature.rstrip(b"\n"), validate=True)
    if _encoded(plain) != signature:
        raise InvalidSignature
    return plain


def _encoded(signature: bytes) -> bytes:
    return base64.b64encode(signature) + b"\n"
