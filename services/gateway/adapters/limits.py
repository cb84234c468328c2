"""Rate, token and concurrency limits in Valkey: one script decides all of a caller's limits at once.

A slow Valkey is worse than a dead one, so every call has a deadline and a breaker. Without an answer
there is no admission: 503, never a free pass. Authentication by IAM token, TLS 1.3 except to loopback.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import NoScriptError, RedisError

from services.gateway.adapters.breaker import Breaker
from services.gateway.adapters.group_call import GroupCall
from services.gateway.adapters.iam_token import IamToken, cache_token
from services.gateway.exchange import Caller, Denied, Lease, Registration, Role, RoleLimits, Unavailable, Usage
from services.gateway.settings import Settings

STAGE: Final = "limits"
# Long enough that a busy machine does not look like a dead store, short enough that a dead one is not waited for.
DEADLINE_S: Final = 0.25
FIRST_CONNECTION_DEADLINE_S: Final = 2.0
CONNECTIONS_MAX: Final = 4
GROUP_MAX: Final = 128
WAITING_MAX: Final = 4_096
LEASE_S: Final = 900  # longer than any request may take: a place that a crash left occupied becomes free then
FAILURES_MAX: Final = 3
PAUSE_S: Final = 1.0

SCRIPT: Final = (Path(__file__).parent / "limits.lua").read_text(encoding="utf-8")
SCRIPT_SHA1: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # EVALSHA's name for it

_Call: TypeAlias = tuple[str | int, ...]  # the script's two keys and its arguments

_logger = logging.getLogger(__name__)


class ValkeyLimits:
    def __init__(self, settings: Settings) -> None:
        self._valkey = Redis(connection_pool=_pool(settings))
        self._breaker = Breaker(failures_max=FAILURES_MAX, pause_s=PAUSE_S)
        self._calling = GroupCall[_Call, tuple[int, int]](
            STAGE, self._call, group_max=GROUP_MAX, waiting_max=WAITING_MAX
        )
        self._giving_back: set[asyncio.Task[None]] = set()  # the loop keeps weak references only

    async def start(self) -> None:
        """Makes the first connection and loads the script; does not insist on either."""
        try:
            async with asyncio.timeout(FIRST_CONNECTION_DEADLINE_S):
                await self._valkey.script_load(SCRIPT)
        except (RedisError, OSError, TimeoutError, Unavailable) as error:
            _logger.warning("Valkey cannot be reached yet: %s", type(error).__name__)

    async def acquire(
        self, caller: Caller, registration: Registration, role: Role, *, input_tokens: int, output_tokens: int
    ) -> Lease:
        """Charges the limits and takes a place, all or nothing: Denied 429 with retry_after_s when over."""
        lease = Lease(uuid4().hex, keys(caller, registration, role), input_tokens, output_tokens)
        limits = role.limits
        rates = (
            *(limits.requests_per_minute, 1),
            *(limits.input_tokens_per_minute, input_tokens),
            *(limits.output_tokens_per_minute, output_tokens),
        )
        arguments = ("acquire", lease.id, LEASE_S * 1000, limits.concurrent_requests_max, *rates)
        try:
            which, retry_after_ms = await self._decide((*lease.keys, *arguments))
        except asyncio.CancelledError:
            self._give_back(lease)
            raise
        if which == 0:
            return lease
        raise _denied(which, retry_after_ms, limits)

    async def release(self, lease: Lease, usage: Usage | None) -> None:
        """Frees the place and corrects the tokens to what was used. Releasing twice changes nothing."""
        corrections = (0, 0)
        if usage is not None:
            corrections = (usage.input_tokens - lease.input_tokens, usage.output_tokens - lease.output_tokens)
        await self._decide((*lease.keys, "release", lease.id, 0, *corrections))

    async def ready(self) -> None:
        """Returns when Valkey answers in time; Unavailable otherwise."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._valkey.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(STAGE, f"Valkey does not answer: {type(error).__name__}") from error

    async def close(self) -> None:
        await asyncio.gather(*self._giving_back, return_exceptions=True)
        await self._valkey.aclose()
        await self._valkey.connection_pool.disconnect()

    async def _decide(self, call: _Call) -> tuple[int, int]:
        if self._breaker.is_open:
            raise Unavailable(STAGE, "Valkey has been failing: left alone for a moment", retry_after_s=1)
        return await self._calling(call)

    def _give_back(self, lease: Lease) -> None:
        """The caller went away while its place was taken: behind that call goes the one that frees it."""
        freeing = asyncio.create_task(self.release(lease, Usage(0, 0)))
        self._giving_back.add(freeing)
        freeing.add_done_callback(self._given_back)

    def _given_back(self, freeing: asyncio.Task[None]) -> None:
        self._giving_back.discard(freeing)
        if not freeing.cancelled() and freeing.exception() is not None:
            _logger.warning("a place stays taken until it expires")

    async def _call(self, calls: list[_Call]) -> Sequence[tuple[int, int]]:
        try:
            async with asyncio.timeout(DEADLINE_S):
                answers = await self._evaluate(calls)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.failed()
            raise Unavailable(STAGE, f"Valkey does not answer: {type(error).__name__}") from error
        self._breaker.succeeded()
        return answers

    async def _evaluate(self, calls: list[_Call]) -> Sequence[tuple[int, int]]:
        try:
            return await self._send(calls)
        except NoScriptError:  # Valkey was restarted or failed over; nothing was decided yet
            await self._valkey.script_load(SCRIPT)
            return await self._send(calls)

    async def _send(self, calls: list[_Call]) -> Sequence[tuple[int, int]]:
        pipeline = self._valkey.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", SCRIPT_SHA1, 2, *call)
        return [(which, milliseconds) for which, milliseconds in await pipeline.execute()]


def keys(caller: Caller, registration: Registration, role: Role) -> tuple[str, str]:
    """Two keys of one hash slot. A digest: Valkey need not know who calls."""
    identity = (registration.workload, role.name, caller.tenant, caller.issuer, caller.subject)
    digest = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()
    return f"limits:{{{digest}}}", f"leases:{{{digest}}}"


def _denied(which: int, retry_after_ms: int, limits: RoleLimits) -> Denied:
    name, limit = {
        1: ("requests a minute", limits.requests_per_minute),
        2: ("input tokens a minute", limits.input_tokens_per_minute),
        3: ("output tokens a minute", limits.output_tokens_per_minute),
        4: ("concurrent requests", limits.concurrent_requests_max),
    }[which]
    never = retry_after_ms < 0
    retry_after_s = None if never else max(1, math.ceil(retry_after_ms / 1000))
    advice = "This request alone is above it." if never else f"Try again in {retry_after_s} s."
    return Denied(
        STAGE,
        f"over the limit of {limit} {name}",
        status=429,
        code="rate_limit_exceeded",
        type="rate_limit_error",
        public=f"Rate limit of {limit} {name} reached. {advice}",
        retry_after_s=retry_after_s,
        retryable=False if never else None,
    )


class _TokenLogin(CredentialProvider):
    """A new IAM token for every connection."""

    def __init__(self, user: str, token: IamToken) -> None:
        self._user = user
        self._token = token

    def get_credentials(self) -> tuple[str, str]:
        return self._user, self._token.sign()

    async def get_credentials_async(self) -> tuple[str, str]:
        return self._user, await self._token()


def _pool(settings: Settings) -> BlockingConnectionPool:
    address = settings.valkey
    token = cache_token(settings.region, address.host, settings.valkey_user)
    tls: dict[str, Any] = {} if address.loopback else {"ssl_min_version": ssl.TLSVersion.TLSv1_3}
    return BlockingConnectionPool(
        connection_class=Connection if address.loopback else SSLConnection,
        max_connections=CONNECTIONS_MAX,
        timeout=DEADLINE_S,
        host=address.host,
        port=address.port,
        credential_provider=_TokenLogin(settings.valkey_user, token),
        # Once more on a connection that died while idle. The script knows a lease it has already given.
        retry=Retry(NoBackoff(), 1, supported_errors=(ValkeyConnectionError,)),
        **tls,
    )
