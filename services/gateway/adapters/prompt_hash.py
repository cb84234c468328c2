"""Keyed hashes of prompts: equal prompts can be recognised in the audit chain, short ones cannot be guessed.

The key is derived once per process by KMS (HMAC_SHA_256 over a fixed label) and lives in memory only. While
KMS cannot be reached there is no hash and so no request; the next try heals it.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import time
from typing import TYPE_CHECKING

from services.gateway.adapters.aws import Calls, kms
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

STAGE = "prompt_governance"
LABEL = b"llm-pipelines:prompt-hash:v1"
RETRY_AFTER_S = 2.0

_logger = logging.getLogger(__name__)


class PromptHash:
    """`digest` needs the derived key; it starts deriving when there is none."""

    def __init__(self, region: str, key_arn: str) -> None:
        self._region = region
        self._key_arn = key_arn
        self._calls = Calls("prompt-hash")
        self._key: bytes | None = None
        self._deriving: asyncio.Task[None] | None = None
        self._tried_at = -RETRY_AFTER_S

    def digest(self, canonical: bytes) -> str:
        """hmac-sha256:<64 hex>; Unavailable until the key is there."""
        if self._key is None:
            self._start_deriving()
            raise Unavailable(STAGE, "the key of prompt hashes is not derived yet: KMS has not answered")
        return f"hmac-sha256:{hmac.digest(self._key, canonical, 'sha256').hex()}"

    def ready(self) -> None:
        """Returns when prompts can be hashed; Unavailable otherwise, and tries again."""
        self.digest(b"")

    async def start(self) -> None:
        """Tries once and does not insist: the gateway may start before KMS can be reached."""
        self._start_deriving()
        if self._deriving is not None:
            await asyncio.wait([self._deriving])

    def _start_deriving(self) -> None:
        if self._deriving is not None and not self._deriving.done():
            return
        if time.monotonic() - self._tried_at >= RETRY_AFTER_S:
            self._tried_at = time.monotonic()
            self._deriving = asyncio.create_task(self._derive())

    async def _derive(self) -> None:
        try:
            self._key = await self._calls(self._generate_mac)
        except Unavailable as failure:
            _logger.warning("the key of prompt hashes could not be derived, will try again: %s", failure)

    @functools.cached_property
    def _kms(self) -> KMSClient:
        return kms(self._region)

    def _generate_mac(self) -> bytes:
        return self._kms.generate_mac(KeyId=self._key_arn, Message=LABEL, MacAlgorithm="HMAC_SHA_256")["Mac"]


def derive(settings: Settings) -> PromptHash:
    """The prompt hash of the settings. Calls nothing yet: `start` does, or the first request."""
    return PromptHash(settings.region, settings.audit_mac_key_arn)
