"""What the node and the scraper ask, on a listener of its own that no caller reaches (a network policy's port).

`/healthz` the process lives · `/readyz` requests are welcome: not draining, and the model server's engine runs ·
`/metrics` the proxy's figures · `/model-metrics` the model server's, whose own port takes no calls from outside.
"""

from __future__ import annotations

import aiohttp
from aiohttp import web

from services.model_proxy.metrics import CONTENT_TYPE, Metrics
from services.model_proxy.upstream import Upstream


class Health:
    def __init__(self, upstream: Upstream, metrics: Metrics) -> None:
        self._upstream = upstream
        self._metrics = metrics
        self.draining = False

    def drain(self) -> None:
        self.draining = True
        self._metrics.draining.set(1)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        answers = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._figures,
            "/model-metrics": self._model_figures,
        }
        answer = answers.get(request.raw_path)
        if request.method != "GET" or answer is None:
            return web.Response(status=404, text="not found\n")
        return await answer()

    async def _alive(self) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self) -> web.Response:
        if self.draining:
            return web.Response(status=503, text="draining\n")
        if not await self._upstream.healthy():
            return web.Response(status=503, text="the model server is not healthy\n")
        return web.Response(text="ready\n")

    async def _figures(self) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def _model_figures(self) -> web.Response:
        try:
            figures = await self._upstream.figures()
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=502, text="the model server does not tell its figures\n")
        return web.Response(body=figures, headers={"Content-Type": CONTENT_TYPE})
