"""Who asks: OIDC tokens, verified against the issuer's published keys. Implements the Identity port.

Several issuers, each with its own audience, algorithms, claims and keys: a token of one is never judged by what
another may do. Issuer, audience, expiry, issue time and an allow-list of asymmetric algorithms are always required.
A token verified before is recognised by the SHA-256 of all of it, until it expires or its key no longer counts.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic, time
from typing import Any, Protocol

import jwt

from services.gateway.adapters.claim_mapping import Paths, Subject, caller
from services.gateway.adapters.jwks_cache import IssuerKeys
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Caller, Denied

TOKEN_BYTES_MAX = 16 << 10
CLOCK_SKEW_S = 30
VERIFIED_MAX = 10_000


class AcceptedIssuer(Protocol):
    """What the settings say of one issuer."""

    @property
    def issuer(self) -> str: ...
    @property
    def audience(self) -> str: ...
    @property
    def algorithms(self) -> tuple[str, ...]: ...
    @property
    def claims(self) -> Paths: ...
    @property
    def subjects(self) -> Sequence[Subject]: ...
    @property
    def outage_s_max(self) -> int: ...


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
            one.issuer: IssuerKeys(one.issuer, one.algorithms, upstream, ticks, one.outage_s_max) for one in issuers
        }
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._clock = clock

    async def authenticate(self, bearer: str) -> Caller:
        """The caller; Denied 401 for a token that does not hold, Unavailable when keys cannot be had."""
        fingerprint = sha256(bearer.encode()).digest()
        known = self._verified.get(fingerprint)
        if known is not None:
            if known.expires_at > self._clock() and self._keys[known.issuer].trusts(known.key_id):
                self._verified.move_to_end(fingerprint)
                return known.caller
            del self._verified[fingerprint]
        verified = await self._verify(bearer)
        self._verified[fingerprint] = verified
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return verified.caller

    @property
    def unconfirmed_s(self) -> float:
        """How long ago the issuer that has been silent longest last answered; infinite when it never did."""
        return max((keys.unconfirmed_s for keys in self._keys.values()), default=0.0)

    async def ready(self) -> None:
        """Returns while at least one key of every issuer is to be trusted."""
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
        if key is None:
            raise _invalid("key is unknown")
        claims = _decode(bearer, key, algorithm, issuer)
        who = caller(claims, issuer.claims, issuer.subjects)
        return _Verified(who, float(claims["exp"]), issuer.issuer, key_id)


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


def _invalid(reason: str) -> Denied:
    return Denied(
        "identity",
        reason,
        status=401,
        code="invalid_token",
        type="authentication_error",
        public="The bearer token is not valid.",
    )
