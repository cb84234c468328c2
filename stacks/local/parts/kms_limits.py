"""Refuses the KMS calls that moto would answer differently from AWS.

moto signs a digest as if it were a message, so that the signature verifies nowhere else, and takes messages
of any length. A caller who relied on either would first be refused in AWS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kms.exceptions import ValidationException
from moto.kms.responses import KmsResponse

MESSAGE_BYTES_MAX = 4096


def install() -> None:
    for operation in ("sign", "verify"):
        _limit(KmsResponse, operation)


def _limit(response: type[Any], operation: str) -> None:
    original: Callable[[Any], str] = getattr(response, operation)

    def limited(self: Any) -> str:
        if self._get_param("MessageType") == "DIGEST":
            raise ValidationException(
                "MessageType DIGEST is not available in the local stand-in: sign the message, RAW"
            )
        if len(self._get_param("Message") or b"") > MESSAGE_BYTES_MAX:
            raise ValidationException(
                "1 validation error detected: Value at 'message' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MESSAGE_BYTES_MAX}"
            )
        return original(self)

    setattr(response, operation, limited)
