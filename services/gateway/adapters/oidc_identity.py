"""Who asks: OIDC tokens, verified against the issuer's published keys. Implements the Identity port.

Issuer, audience, expiry, issue time and an allow-list of asymmetric algorithms are always required. Keys
are fetched once for all who wait, and unknown key ids cause no more fetches than a cooldown allows. A key
counts while the provider has confirmed it lately: a withdrawn key is gone within seconds, a short outage goes
unnoticed, and after a longer one nobody passes until the provider answers again. A token verified before is
recognised by its SHA-256 until it expires or its key is no longer held.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic, time
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import jwt
from yarl import URL

from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Caller, Denied, Unavailable

TOKEN_BYTES_MAX = 16 << 10
DOCUMENT_BYTES_MAX = 512 << 10
KEYS_MAX = 64
FETCH_TIMEOUT_S = 3
REFRESH_S = 10  # keys in use are asked for again after this long, in the background
CONFIRMED_S = 20  # a key that the provider has not confirmed for this long is not trusted
COOLDOWN_S = 30  # between fetches that unknown key ids cause
RETRY_S = 1  # between fetches while no key is to be trusted
CLOCK_SKEW_S = 30
VERIFIED_MAX = 10_000

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class AcceptedIssuer(Protocol):
    """What the settings say of one issuer."""

    @property
    def issuer(self) -> str: ...
    @property
    def audience(self) -> str: ...
    @property
    def algorithms(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    expires_at: float
    issuer: str
    key_id: str


class OidcIdentity:
    """Verifies tokens of the accepted issuers."""

    def __init__(
        self,
        issuers: Sequence[AcceptedIssuer],
        upstream: Upstream,
        clock: Callable[[], float] = time,
        ticks: Callable[[], float] = monotonic,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._keys = {
            issuer.issuer: IssuerKeys(issuer.issuer, issuer.algorithms, upstream, ticks) for issuer in issuers
        }
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._clock = clock

    async def authenticate(self, bearer: str) -> Caller:
        """The caller; Denied 401 for a token that does not hold, Unavailable when keys cannot be had."""
        fingerprint = sha256(bearer.encode()).digest()
        known = self._verified.get(fingerprint)
        if known is not None:
            if known.expires_at > self._clock() and self._keys[known.issuer].holds(known.key_id):
                self._verified.move_to_end(fingerprint)
                return known.caller
            del self._verified[fingerprint]
        verified = await self._verify(bearer)
        self._verified[fingerprint] = verified
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return verified.caller

    async def ready(self) -> None:
        """Returns when at least one key of every issuer is known."""
        for keys in self._keys.values():
            await keys.require_any()

    async def _verify(self, bearer: str) -> _Verified:
        header, claimed = _parts(bearer)
        issuer = self._issuers.get(_string(claimed, "iss"))
        if issuer is None:
            raise _invalid("issuer is not accepted")
        algorithm, key_id = _string(header, "alg"), _string(header, "kid")
        if algorithm not in issuer.algorithms:
            raise _invalid("algorithm is not accepted")
        key = await self._keys[issuer.issuer].key(key_id)
        claims = _decode(bearer, key, algorithm, issuer)
        return _Verified(_caller(claims), float(claims["exp"]), issuer.issuer, key_id)


class IssuerKeys:
    """The public keys of one issuer, by key id."""

    def __init__(
        self, issuer: str, algorithms: tuple[str, ...], upstream: Upstream, ticks: Callable[[], float]
    ) -> None:
        self._issuer = issuer
        self._algorithms = algorithms
        self._upstream = upstream
        self._ticks = ticks
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def holds(self, key_id: str) -> bool:
        """True for a key that the provider confirmed lately; has it confirmed again in good time."""
        if key_id not in self._keys or not self._confirmed():
            return False
        if self._ticks() - self._fetched_at > REFRESH_S and self._may_ask(RETRY_S):
            self._fetch()
        return True

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The key, confirmed lately; Unavailable when the provider does not answer, Denied when it has no such key."""
        if not self.holds(key_id):
            pause_s = COOLDOWN_S if self._confirmed() else RETRY_S
            if self._may_ask(pause_s) or self._fetching is not None:
                await asyncio.shield(self._fetch())
        if self.holds(key_id):
            return self._keys[key_id]
        if self._fetched_at < self._asked_at:
            raise Unavailable("identity", "the issuer's keys cannot be had")
        raise _invalid("key is unknown")

    async def require_any(self) -> None:
        if not self._confirmed() and self._may_ask(RETRY_S):
            await asyncio.shield(self._fetch())
        if not self._confirmed():
            raise Unavailable("identity", "the issuer's keys cannot be had")

    def _confirmed(self) -> bool:
        return bool(self._keys) and self._ticks() - self._fetched_at <= CONFIRMED_S

    def _may_ask(self, pause_s: float) -> bool:
        return self._ticks() - self._asked_at > pause_s

    def _fetch(self) -> asyncio.Task[None]:
        """One fetch for all who wait."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._replace_keys())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # a provider that is down is not news here: who needs a key is told

    async def _replace_keys(self) -> None:
        self._asked_at = self._ticks()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                discovered = await self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if discovered.get("issuer") != self._issuer:
                    raise Unavailable("identity", "the issuer's metadata names another issuer")
                published = await self._document(_safe_url(discovered.get("jwks_uri")))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable("identity", f"the issuer's keys cannot be had: {type(error).__name__}") from error
        keys = _usable(published.get("keys"), self._algorithms)
        if not keys:
            raise Unavailable("identity", "the issuer publishes no usable key")
        self._keys = keys
        self._fetched_at = self._ticks()

    async def _document(self, url: str) -> dict[str, Any]:
        async with self._upstream.session.get(URL(url, encoded=True), allow_redirects=False) as response:
            if response.status != 200:
                raise Unavailable("identity", f"the issuer answered {response.status}")
            body = await response.content.read(DOCUMENT_BYTES_MAX + 1)
            while len(body) <= DOCUMENT_BYTES_MAX and not response.content.at_eof():
                body += await response.content.read(DOCUMENT_BYTES_MAX)
        document = json.loads(body)
        if len(body) > DOCUMENT_BYTES_MAX or not isinstance(document, dict):
            raise Unavailable("identity", "the issuer's document is not usable")
        return document


def _usable(published: object, algorithms: tuple[str, ...]) -> dict[str, jwt.PyJWK]:
    """Signing keys of an accepted kind; what else an issuer publishes is not looked at."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in (published if isinstance(published, list) else [])[:KEYS_MAX]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        key_id = entry.get("kid")
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
        if isinstance(key_id, str) and _fits(key, algorithms):
            keys[key_id] = key
    return keys


def _fits(key: jwt.PyJWK, algorithms: tuple[str, ...]) -> bool:
    families = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
    return any(families[algorithm[:2]] == key.key_type for algorithm in algorithms)


def _parts(bearer: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as written, unverified: good for nothing but choosing how to verify."""
    if not 0 < len(bearer) <= TOKEN_BYTES_MAX or not bearer.isascii() or bearer.count(".") != 2:
        raise _invalid("not a signed token")
    try:
        header, claimed = (_json_part(part) for part in bearer.split(".")[:2])
    except (ValueError, RecursionError):
        raise _invalid("not a token") from None
    if "crit" in header or "b64" in header or str(header.get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
        raise _invalid("header is not accepted")
    return header, claimed


def _json_part(part: str) -> dict[str, Any]:
    value = json.loads(jwt.utils.base64url_decode(part), object_pairs_hook=_without_duplicates)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - caught with the rest
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name twice")
    return value


def _string(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 512:
        raise _invalid(f"{name} is missing")
    return value


def _decode(bearer: str, key: jwt.PyJWK, algorithm: str, issuer: AcceptedIssuer) -> dict[str, Any]:
    try:
        return jwt.decode(
            bearer,
            key.key,
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=CLOCK_SKEW_S,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "strict_aud": False,
                "enforce_minimum_key_length": True,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _invalid(type(error).__name__) from error


def _caller(claims: Mapping[str, Any]) -> Caller:
    tenant, roles = claims.get("tenant"), claims.get("roles")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise _forbidden("token names no tenant")
    if not isinstance(roles, list) or not roles or not all(isinstance(role, str) for role in roles):
        raise _forbidden("token names no role")
    kept: dict[str, str | tuple[str, ...]] = {}
    for name, value in claims.items():
        if isinstance(value, str):
            kept[name] = value
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            kept[name] = tuple(value)
    return Caller(claims["iss"], claims["sub"], tenant, tuple(roles), kept)


def _safe_url(url: object) -> str:
    """https anywhere, http to loopback: an issuer's metadata must not lower what the settings demand."""
    parts = urlsplit(url if isinstance(url, str) else "")
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        return parts.geturl()
    raise Unavailable("identity", "the issuer's key address is not safe")


def _invalid(reason: str) -> Denied:
    return Denied(
        "identity",
        reason,
        status=401,
        code="invalid_token",
        type="authentication_error",
        public="The bearer token is not valid.",
    )


def _forbidden(reason: str) -> Denied:
    return Denied(
        "identity",
        reason,
        status=403,
        code="token_incomplete",
        type="permission_error",
        public="The bearer token names no tenant or role of this gateway.",
    )
