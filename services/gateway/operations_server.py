"""The operations port: what the gateway tells the people who run it, where callers do not come.

`/healthz` the process lives · `/readyz` requests are welcome · `/metrics` figures for Prometheus · `/` the page.

There is no login: the port is bound to loopback or to a private address, everything is read-only, and nothing
it tells holds content. A page in somebody's browser elsewhere must not read it either: a request that names a
host is answered only when it names an address, which no domain can be rebound to.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from socket import socket
from urllib.parse import urlsplit

import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.adapters.tls import server_context
from services.gateway.http_protocol import BoundedHttp
from services.gateway.metrics import CONTENT_TYPE, Metrics
from services.gateway.readiness import Readiness
from services.gateway.settings import Address

CONNECTIONS_MAX = 64
END_S = 2

Page = Callable[[str], Awaitable[Response]]  # what lies at a path of the page

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def operations(readiness: Readiness, metrics: Metrics, pages: Sequence[tuple[str, Page]] = ()) -> ASGIApp:
    """Everything at the operations port. There is no route that changes anything."""

    async def alive(_: Request) -> Response:
        return _json(200, {"status": "alive"})

    async def ready(_: Request) -> Response:
        state = await readiness.state()
        return _json(200 if state.ready else 503, {"status": state.status, "parts": state.parts})

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    def routed(page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def shown(request: Request) -> Response:
            return await page(request.url.path)

        return shown

    routes = [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/metrics", exposition),
        *(Route(path, routed(page)) for path, page in pages),
    ]
    return ByAddressOnly(Router(routes=routes, redirect_slashes=False))


class ByAddressOnly:
    """Outermost: answers who asks for an address, with headers that let a browser do nothing with the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        app = self._app if len(hosts) == 1 and _is_address(hosts[0]) else _misdirected

        async def with_headers(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}  # type: ignore[misc]  # ASGI's list
            await send(message)

        await app(scope, receive, with_headers)  # type: ignore[arg-type]  # ASGI messages are dictionaries


async def _misdirected(scope: Scope, receive: Receive, send: Send) -> None:
    await _json(421, {"error": "ask for this port by its address"})(scope, receive, send)


def _is_address(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


@asynccontextmanager
async def serving(app: ASGIApp, address: Address, listening: socket) -> AsyncIterator[None]:
    """Answers at the operations port while the block runs, also while the other port drains."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=END_S,
        ssl_context_factory=None if address.loopback else lambda *_: server_context(address.host),
    )
    server = _WithoutSignals(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _WithoutSignals(uvicorn.Server):
    """Ends when it is told: signals belong to the other port."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
