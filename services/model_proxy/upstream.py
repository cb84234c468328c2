"""The model server behind the proxy: one connection a call, its own key, and none of the caller's headers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

CONNECT_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 300  # between two bytes: a full queue keeps a request waiting that long, not longer
CHECK_TIMEOUT_S = 2


class Upstream:
    """Calls paths that the caller of this class wrote down, never those of a request."""

    def __init__(self, base_url: str, api_key_file: Path, session: aiohttp.ClientSession) -> None:
        self._base_url = base_url
        self._api_key_file = api_key_file
        self._session = session

    @asynccontextmanager
    async def call(self, path: str, body: bytes | None, request_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self._api_key()}", "Accept-Encoding": "identity"}
        headers |= {"X-Request-Id": request_id} if request_id else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        method = "GET" if body is None else "POST"
        async with self._session.request(
            method, self._base_url + path, data=body, headers=headers, allow_redirects=False
        ) as answer:
            yield answer

    async def healthy(self) -> bool:
        """vLLM's own /health: 200 while its engine runs."""
        timeout = aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S)
        try:
            async with self._session.get(f"{self._base_url}/health", timeout=timeout, allow_redirects=False) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def figures(self) -> bytes:
        """vLLM's own /metrics, for the scraper alone: its queue is what replicas are scaled by."""
        timeout = aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S)
        async with self._session.get(f"{self._base_url}/metrics", timeout=timeout, allow_redirects=False) as answer:
            answer.raise_for_status()
            return await answer.read()

    def _api_key(self) -> str:
        """Read for every call: a mounted secret is renewed in place."""
        return self._api_key_file.read_text(encoding="ascii").strip()


@asynccontextmanager
async def connected(base_url: str, api_key_file: Path) -> AsyncIterator[Upstream]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    # No pool: a model server may drop a connection that is used again after a long stream.
    connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=_context())
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Upstream(base_url, api_key_file, session)


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
