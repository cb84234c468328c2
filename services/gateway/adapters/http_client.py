"""Requests to the addresses that the configuration names, over connections that are kept.

It does what models, embeddings and issuers need and nothing more: no redirects, no proxies, no cookies, no
decompression, no HTTP/2. What never changes of a request is written once for each address.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from services.gateway.adapters.http_connection import PIECEWISE_BYTES_MIN, Answer, Broken, Deadlines
from services.gateway.adapters.http_pool import CONNECTIONS_MAX, Origin, Pool

ADDRESSES_MAX = 256
ORIGINS_MAX = 64

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_TARGET = re.compile(r"/[!-~]{0,4000}")
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_OURS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade", "te")


@dataclass(frozen=True, slots=True)
class _Address:
    """Of one URL: whose connections, and the lines that every request to it begins with."""

    pool: Pool
    get: str
    post: str


class HttpClient:
    """Opened within a running event loop. `context_for` gives the TLS context for a host."""

    def __init__(
        self,
        context_for: Callable[[str], ssl.SSLContext],
        deadlines: Deadlines | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._context_for = context_for
        self._deadlines = deadlines or Deadlines()
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._addresses: dict[str, _Address] = {}
        self._names: set[str] = set()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, once its head is here; `url` is sent as it is written. Broken or TimeoutError otherwise."""
        address = self._addresses.get(url) or self._address(url)
        head = f"{address.post}content-length: {len(body)}\r\n{self._fields(headers)}\r\n"
        return await self._asked(address.pool, head.encode(), body)

    async def get(self, url: str) -> Answer:
        """As `post`."""
        address = self._addresses.get(url) or self._address(url)
        return await self._asked(address.pool, f"{address.get}\r\n".encode(), b"")

    async def close(self) -> None:
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def _asked(self, pool: Pool, head: bytes, body: bytes) -> Answer:
        due_at = self._loop.time() + self._deadlines.whole_s
        connection = pool.idle_one() or await pool.one(due_at)
        answer = connection.ask(head, body, due_at)
        if len(body) > PIECEWISE_BYTES_MIN:
            await connection.write_rest(answer, body)
        await answer.headed()
        return answer

    def _fields(self, headers: Mapping[str, str]) -> str:
        """As lines. A name comes from our own code and is looked at once, a value every time."""
        lines = ""
        for name, value in headers.items():
            if name not in self._names:
                self._require_name(name)
            if not (value.isascii() and value.isprintable()):
                raise Broken(f"the header {name} holds what no header can")
            lines += f"{name}: {value}\r\n"
        return lines

    def _require_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise Broken("no header of a request has this name")
        if len(self._names) < ADDRESSES_MAX:
            self._names.add(name)

    def _address(self, url: str) -> _Address:
        try:
            parts = urlsplit(url)
            host, port = _host_and_port(parts)
        except ValueError as error:
            raise Broken("not an address to ask at") from error
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not _TARGET.fullmatch(target):
            raise Broken("a path holds what no path can")
        named = f"[{host}]" if ":" in host else host
        authority = named if port == _PORTS[parts.scheme] else f"{named}:{port}"
        rest = f" {target} HTTP/1.1\r\nhost: {authority}\r\naccept: */*\r\naccept-encoding: identity\r\n"
        rest += "user-agent: gateway\r\n"
        address = _Address(self._pool(parts.scheme, host, port), f"GET{rest}", f"POST{rest}")
        while len(self._addresses) >= ADDRESSES_MAX:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[url] = address
        return address

    def _pool(self, scheme: str, host: str, port: int) -> Pool:
        known = self._pools.get((scheme, host, port))
        if known is not None:
            return known
        if len(self._pools) >= ORIGINS_MAX:
            self._forget_unused()
        context = self._context_for(host) if scheme == "https" else None
        pool = Pool(Origin(host, port, context), self._deadlines, self._connections_max)
        self._pools[(scheme, host, port)] = pool
        return pool

    def _forget_unused(self) -> None:
        unused = [key for key, pool in self._pools.items() if pool.unused]
        if not unused:
            raise Broken("too many origins")
        gone = self._pools.pop(unused[0])
        self._addresses = {url: address for url, address in self._addresses.items() if address.pool is not gone}


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    """Of an address of ours or of an issuer's: no user, no fragment, no other scheme."""
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or "@" in parts.netloc or parts.fragment:
        raise Broken("not an address to ask at")
    return host, parts.port or _PORTS[parts.scheme]
