"""Rate, token and concurrency limits in Valkey: one script decides all of a request's limits at once.

The caller has limits in its role; a tenant and a workload may have limits of their own on top. A slow Valkey is
worse than a dead one, so every call has a deadline and a breaker. Without an answer there is no admission: 503,
never a free pass. A place is kept by renewing it, so one that a crash or a lost answer left taken is free again
within a minute. Authentication by IAM token, TLS 1.3 except to loopback.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from services.gateway.adapters.breaker import Breaker
from services.gateway.adapters.group_call import GroupCall, failed
from services.gateway.adapters.iam_token import cache_token
from services.gateway.adapters.tls import client_context
from services.gateway.adapters.valkey_connection import ValkeyConnection, ValkeyError, packed
from services.gateway.adapters.valkey_script import Call, ValkeyScript
from services.gateway.exchange import (
    Allowance,
    Caller,
    Denied,
    Lease,
    Rate,
    Registration,
    Role,
    RoleLimits,
    SharedLimits,
    Unavailable,
    Usage,
)
from services.gateway.per_caller import PerCaller
from services.gateway.random_ids import RandomIds
from services.gateway.settings import Settings

STAGE: Final = "limits"
# Long enough that a busy machine does not look like a dead store, short enough that a dead one is not waited for.
DEADLINE_S: Final = 0.25
FIRST_CONNECTION_DEADLINE_S: Final = 2.0
GROUP_MAX: Final = 128
WAITING_MAX: Final = 4_096
LEASE_S: Final = 60  # a place that nobody renews is free after this long: a gateway that died holds none longer
RENEW_S: Final = 10
OWED_MAX: Final = 10_000
REFUSED_MAX: Final = 10_000
FAILURES_MAX: Final = 3
PAUSE_S: Final = 1.0

SCRIPT: Final = (Path(__file__).parent / "limits.lua").read_text(encoding="utf-8")
PING: Final = packed(("PING",))
SCRIPT_SHA1: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # EVALSHA's name for it

_Scope: TypeAlias = tuple[str, RoleLimits | SharedLimits]  # whose limits they are, and which

_lease_id = RandomIds(16)
_logger = logging.getLogger(__name__)


class _LeftAlone(Unavailable):
    """Valkey was not asked."""


class ValkeyLimits:
    def __init__(self, settings: Settings) -> None:
        self._script = ValkeyScript(_connection(settings), SCRIPT, SCRIPT_SHA1)
        self._readiness = _connection(settings)
        self._asking = asyncio.Lock()
        self._breaker = Breaker(failures_max=FAILURES_MAX, pause_s=PAUSE_S)
        self._calling = GroupCall[Call, list[int]](STAGE, self._call, group_max=GROUP_MAX, waiting_max=WAITING_MAX)
        self._asked = PerCaller(_asked)
        self._refused: set[str] = set()  # keys whose last decision was a refusal
        self._live: dict[str, Lease] = {}
        self._owed: dict[str, tuple[Lease, Usage | None]] = {}  # to be released when Valkey answers again
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Makes the first connection and loads the script; does not insist on either."""
        self._renewing = asyncio.create_task(self._renew_forever())
        try:
            await self._script.load(FIRST_CONNECTION_DEADLINE_S)
        except (ValkeyError, OSError, TimeoutError, Unavailable) as error:
            _logger.warning("Valkey cannot be reached yet: %s", type(error).__name__)

    async def acquire(
        self, caller: Caller, registration: Registration, role: Role, *, input_tokens: int, output_tokens: int
    ) -> Lease:
        """Charges the limits and takes a place, all or nothing: Denied 429 with retry_after_s when over."""
        names, scopes, bounds = self._asked(caller, registration, role)
        lease = Lease(_lease_id(), names, input_tokens, output_tokens)
        arguments: Call = ("acquire", lease.id, LEASE_S * 1000, input_tokens, output_tokens, *bounds)
        try:
            over, scope, retry_after_ms, *left = await self._begin(lease, arguments)
        except asyncio.CancelledError:
            self._give_back(lease)
            raise
        except _LeftAlone:  # nothing was sent
            raise
        except Unavailable:  # whether the place was taken is unknown
            self._owe(lease, Usage(0, 0))
            raise
        allowance = _allowance(scopes, left)
        self._remember(names, scope if over else 0)
        if over == 0:
            lease = self._live[lease.id] = replace(lease, allowance=allowance)
            return lease
        raise _denied(over, scopes[scope - 1], retry_after_ms, allowance)

    def had_room(self, caller: Caller, registration: Registration, role: Role) -> bool:
        """Whether the last request counted in the same limits was within them; False while Valkey is left alone."""
        if self._breaker.tripped:
            return False
        return not self._refused or self._refused.isdisjoint(self._asked(caller, registration, role)[0])

    def _remember(self, names: Sequence[str], refused_scope: int) -> None:
        if refused_scope:
            if len(self._refused) >= REFUSED_MAX:
                self._refused.clear()
            self._refused.add(names[2 * (refused_scope - 1)])
        elif self._refused:
            self._refused.difference_update(names)

    def release(self, lease: Lease, usage: Usage | None) -> asyncio.Future[list[int]]:
        """Frees the place and corrects the tokens to what was used. Releasing twice changes nothing.

        What Valkey does not take now is tried again with every renewal.
        """
        self._live.pop(lease.id, None)
        corrections = (0, 0)
        if usage is not None:
            corrections = (usage.input_tokens - lease.input_tokens, usage.output_tokens - lease.output_tokens)
        freed = self._begin(lease, ("release", lease.id, *corrections))
        freed.add_done_callback(partial(self._released, lease, usage))
        return freed

    def _released(self, lease: Lease, usage: Usage | None, freed: asyncio.Future[list[int]]) -> None:
        if freed.cancelled() or isinstance(freed.exception(), Unavailable):
            self._owe(lease, usage)
        else:
            self._owed.pop(lease.id, None)

    async def renew(self) -> None:
        """Keeps the places of requests under way, and frees those that could not be freed before."""
        renewals = [self._begin(lease, ("renew", lease.id, LEASE_S * 1000)) for lease in self._live.values()]
        releases = [self.release(lease, usage) for lease, usage in list(self._owed.values())]
        results = await asyncio.gather(*renewals, *releases, return_exceptions=True)
        failed = sum(isinstance(result, BaseException) for result in results)
        if failed:
            _logger.warning("%d places could not be renewed or freed", failed)

    @property
    def left_alone(self) -> bool:
        """True while Valkey has been failing and is tried once a moment only."""
        return self._breaker.tripped

    async def ready(self) -> None:
        """Returns when Valkey answers in time; Unavailable otherwise."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                async with self._asking:
                    await self._readiness.ask(PING, 1, DEADLINE_S)
        except (ValkeyError, OSError, TimeoutError) as error:
            raise Unavailable(STAGE, f"Valkey does not answer: {type(error).__name__}") from error

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        await self._calling.drain()
        self._script.close()
        self._readiness.close()

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self.renew()

    def _begin(self, lease: Lease, arguments: Call) -> asyncio.Future[list[int]]:
        if self._breaker.is_open:
            return failed(_LeftAlone(STAGE, "Valkey has been failing: left alone for a moment", retry_after_s=1))
        return self._calling.begin((len(lease.keys), *lease.keys, *arguments))

    def _owe(self, lease: Lease, usage: Usage | None) -> None:
        if len(self._owed) < OWED_MAX:  # the rest expires
            self._owed.setdefault(lease.id, (lease, usage))

    def _give_back(self, lease: Lease) -> None:
        """The caller went away while its place was taken: behind that call goes the one that frees it."""
        self.release(lease, Usage(0, 0)).add_done_callback(_told)

    async def _call(self, calls: list[Call]) -> Sequence[list[int]]:
        try:
            answers = await self._script(calls, DEADLINE_S)
        except (ValkeyError, OSError, TimeoutError) as error:
            self._breaker.failed()
            raise Unavailable(STAGE, f"Valkey does not answer: {type(error).__name__}") from error
        self._breaker.succeeded()
        return answers


def _asked(caller: Caller, registration: Registration, role: Role) -> tuple[tuple[str, ...], list[_Scope], list[int]]:
    """The keys, whose limits they hold, and the limits as the script wants them."""
    scopes = _scopes(registration, role)
    return keys(caller, registration, role), scopes, _limits(scopes)


def keys(caller: Caller, registration: Registration, role: Role) -> tuple[str, ...]:
    """Two keys a scope, the caller's first, all in the hash slot of the workload. Digests: Valkey need not know who."""
    slot = _digest(registration.workload)
    names = [_digest(role.name, caller.tenant, caller.issuer, caller.subject)]
    if registration.tenant_limits is not None:
        names.append(_digest(caller.tenant))
    if registration.workload_limits is not None:
        names.append("all")
    return tuple(f"{kind}:{{{slot}}}:{name}" for name in names for kind in ("limits", "leases"))


def _told(freed: asyncio.Future[list[int]]) -> None:
    if not freed.cancelled() and freed.exception() is not None:
        _logger.warning("a place stays taken until it expires")


@lru_cache(maxsize=4_096)
def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _scopes(registration: Registration, role: Role) -> list[_Scope]:
    """In the order of `keys`."""
    scopes: list[_Scope] = [("", role.limits)]
    if registration.tenant_limits is not None:
        scopes.append((" of the tenant", registration.tenant_limits))
    if registration.workload_limits is not None:
        scopes.append((" of the workload", registration.workload_limits))
    return scopes


def _limits(scopes: Sequence[_Scope]) -> list[int]:
    return [limit for _, limits in scopes for limit in (limits.concurrent_requests_max, *_rates(limits))]


def _rates(limits: RoleLimits | SharedLimits) -> tuple[int, int, int]:
    return limits.requests_per_minute, limits.input_tokens_per_minute, limits.output_tokens_per_minute


def _allowance(scopes: Sequence[_Scope], left: Sequence[int]) -> Allowance:
    """From three figures a rate: the scope in which it is tightest, what remains, and the ms until it is full."""
    rates = []
    for rate in range(3):
        scope, remaining, reset_ms = left[3 * rate : 3 * rate + 3]
        rates.append(Rate(_rates(scopes[scope - 1][1])[rate], remaining, reset_ms))
    return Allowance(*rates)


def _denied(over: int, scope: _Scope, retry_after_ms: int, allowance: Allowance) -> Denied:
    whose, limits = scope
    what = ("requests a minute", "input tokens a minute", "output tokens a minute", "concurrent requests")[over - 1]
    limit, name = (*_rates(limits), limits.concurrent_requests_max)[over - 1], what + whose
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
        allowance=allowance,
        retry_after_ms=None if never else max(1, retry_after_ms),
    )


def _connection(settings: Settings) -> ValkeyConnection:
    """Of the settings' Valkey: a new IAM token for every connection."""
    address, user = settings.valkey, settings.valkey_user
    token = cache_token(settings.region, address.host, user)

    async def credentials() -> tuple[str, str]:
        return user, await token()

    return ValkeyConnection(address.host, address.port, credentials, None if address.loopback else client_context())
