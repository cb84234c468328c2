"""Two listeners, both TLS 1.3, and a good end: after SIGTERM no new connection, answers under way are finished.

Kubernetes takes the pod out of its service while it sends SIGTERM, so the order here is: not ready, no longer
listening, idle connections closed, then up to `drain_s` for the rest. The health listener goes last, or the node
would take a draining pod for a dead one
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from services.model_proxy.certificate import Certificate
from services.model_proxy.health import Health
from services.model_proxy.metrics import Metrics
from services.model_proxy.proxy import Proxy
from services.model_proxy.settings import Address, Settings
from services.model_proxy.upstream import connected

KEEP_ALIVE_S = 75  # longer than a load balancer's idle timeout: it must be the one that closes
LISTEN_BACKLOG = 2_048
HEAD_DEADLINE_S = 10
LINGER_S = 2.0  # for the rest of a body that was refused, so that the caller gets to read why

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_logger = logging.getLogger(__name__)


class Server(web.Server):
    """aiohttp's, with a deadline for the head of a connection's first request: nobody is known before it is here."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler, request_factory=self._arrived, **options)
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(HEAD_DEADLINE_S, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._heard(handler)
        super().connection_lost(handler, exc)

    def _arrived(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        self._heard(protocol)
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def _heard(self, handler: web.RequestHandler) -> None:
        deadline = self._silent.pop(handler, None)
        if deadline is not None:
            deadline.cancel()


async def serve(settings: Settings, ended: asyncio.Event) -> None:
    """Serves until `ended` is set, then drains."""
    metrics = Metrics()
    certificate = Certificate(settings.certificate, settings.private_key, metrics)
    async with connected(settings.upstream, settings.api_key_file) as upstream, _watched(certificate):
        health = Health(upstream, metrics)
        proxy = Proxy(upstream, metrics, settings.n_max, settings.body_bytes_max)
        async with (
            listening(health, settings.health_listen, certificate.context, drain_s=1),
            listening(proxy, settings.listen, certificate.context, drain_s=settings.drain_s),
        ):
            await ended.wait()
            health.drain()
            _logger.info("draining")
    _logger.info("ended")


@asynccontextmanager
async def listening(handler: Handler, address: Address, tls: ssl.SSLContext, drain_s: int) -> AsyncIterator[None]:
    """A listener for the block; leaving the block drains it."""
    # A caller who leaves cancels the call upstream.
    server = Server(
        handler,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=LINGER_S,
    )
    runner = web.ServerRunner(server, shutdown_timeout=drain_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, ssl_context=tls, backlog=LISTEN_BACKLOG)
        await site.start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _watched(certificate: Certificate) -> AsyncIterator[None]:
    watching = asyncio.create_task(certificate.keep_loading())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
