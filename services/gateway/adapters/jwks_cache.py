"""The public keys of one issuer, by key id: fetched once for all who wait, never more often than is polite.

(1) While the issuer answers, a key counts for CONFIRMED_S after it was last published: a withdrawn one stops then.
(2) While the issuer cannot be reached, keys it published before go on counting, at most `outage_s_max` long; an
    unknown key id stays refused. Only a fault (no connection, no answer in time, an error status, a document that
    makes no sense) is an outage: an issuer that answers with fewer keys, or with none, has withdrawn the others.
(3) Key ids nobody knows cause one fetch in COOLDOWN_S, however many there are.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt

from services.gateway.adapters.http_connection import Broken
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Unavailable
from services.gateway.settings import OUTAGE_S_MAX

STAGE = "identity"
DOCUMENT_BYTES_MAX = 512 << 10
KEYS_MAX = 64
FETCH_TIMEOUT_S = 3
REFRESH_S = 10  # keys in use are asked for again after this long, in the background
CONFIRMED_S = 20  # a key that an issuer in reach has not confirmed for this long is not trusted
COOLDOWN_S = 30  # between fetches that unknown key ids cause
RETRY_S = 1  # between fetches of an issuer that did not answer


_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

log = logging.getLogger(__name__)


class IssuerKeys:
    def __init__(
        self,
        issuer: str,
        algorithms: tuple[str, ...],
        upstream: Upstream,
        ticks: Callable[[], float],
        outage_s_max: float = OUTAGE_S_MAX,
    ) -> None:
        """`ticks` counts seconds that no clock change moves."""
        self._issuer = issuer
        self._algorithms = algorithms
        self._upstream = upstream
        self._ticks = ticks
        self._outage_s_max = min(outage_s_max, OUTAGE_S_MAX)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._fault = ""  # why the last fetch failed; empty when the issuer answered
        self._fetching: asyncio.Task[None] | None = None

    @property
    def unconfirmed_s(self) -> float:
        """How long ago the issuer last answered; infinite when it never did."""
        return self._ticks() - self._fetched_at

    def trusts(self, key_id: str) -> bool:
        """True for a key that counts now, without waiting; has it confirmed again in good time."""
        if key_id not in self._keys or not self._current():
            return False
        if self.unconfirmed_s > REFRESH_S and self._may_ask(RETRY_S):
            self._fetch()
        return True

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key; None when the issuer has no such key; Unavailable when that cannot be known."""
        if not self.trusts(key_id):
            await self._ask(RETRY_S if key_id in self._keys or not self._keys else COOLDOWN_S)
        if self.trusts(key_id):
            return self._keys[key_id]
        if self._fault:
            raise Unavailable(STAGE, self._fault)
        return None

    async def require_any(self) -> None:
        """Returns while there is a key to trust."""
        if not self._current():
            await self._ask(RETRY_S)
        if not self._current():
            raise Unavailable(STAGE, self._fault or "the issuer publishes no usable key")

    def _current(self) -> bool:
        lasts_s = self._outage_s_max if self._fault else CONFIRMED_S
        return bool(self._keys) and self.unconfirmed_s <= max(lasts_s, CONFIRMED_S)

    def _may_ask(self, pause_s: float) -> bool:
        return self._ticks() - self._asked_at > pause_s

    async def _ask(self, pause_s: float) -> None:
        """Waits for the fetch that is under way, or for a new one where that is due; whatever it finds."""
        if self._fetching is None and not self._may_ask(pause_s):
            return
        await asyncio.wait([self._fetch()])

    def _fetch(self) -> asyncio.Task[None]:
        """One fetch for all who wait."""
        if self._fetching is None:
            self._asked_at = self._ticks()
            self._fetching = asyncio.create_task(self._replace_keys())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        error = None if task.cancelled() else task.exception()
        fault = "" if error is None else str(error)
        if fault and not self._fault:
            log.warning("an issuer of tokens cannot be reached", extra={"issuer": self._issuer, "reason": fault})
        self._fault = fault

    async def _replace_keys(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                discovered = await self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if discovered.get("issuer") != self._issuer:
                    raise _unreachable("the metadata names another issuer")
                published = await self._document(safe_url(discovered.get("jwks_uri")))
        except (Broken, TimeoutError, ValueError, RecursionError) as error:
            raise _unreachable(str(error) if isinstance(error, Broken) else type(error).__name__) from error
        if not isinstance(published.get("keys"), list):
            raise _unreachable("the document holds no list of keys")
        self._keys = usable(published["keys"], self._algorithms)
        self._fetched_at = self._ticks()

    async def _document(self, url: str) -> dict[str, Any]:
        status, body = await self._upstream.get(url, DOCUMENT_BYTES_MAX)
        if status != 200:
            raise _unreachable(f"the issuer answered {status}")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise _unreachable("a document is not an object")
        return document


def usable(published: list[object], algorithms: tuple[str, ...]) -> dict[str, jwt.PyJWK]:
    """Signing keys of an accepted kind, by key id; what else an issuer publishes is not looked at."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in published[:KEYS_MAX]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        key_id = entry.get("kid")
        try:
            key = jwt.PyJWK(entry)
        except (jwt.PyJWTError, ValueError, TypeError):  # also a number where a key has text
            continue
        if isinstance(key_id, str) and any(_FAMILIES[name[:2]] == key.key_type for name in algorithms):
            keys[key_id] = key
    return keys


def safe_url(url: object) -> str:
    """https anywhere, http to loopback: an issuer's metadata must not lower what the settings demand."""
    parts = urlsplit(url if isinstance(url, str) else "")
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        return parts.geturl()
    raise _unreachable("the key address is not safe")


def _unreachable(reason: str) -> Unavailable:
    return Unavailable(STAGE, f"the issuer's keys cannot be had: {reason}")
