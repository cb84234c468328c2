"""A model server that answers on every path, as vLLM does on far too many, and remembers what reached it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

# What vLLM 0.33 serves beside the four paths, several of them without its key, and other servers' kin.
OTHER_PATHS = [
    "/invocations",
    "/ping",
    "/score",
    "/v1/score",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/classify",
    "/pooling",
    "/pause",
    "/resume",
    "/is_paused",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/update_weights",
    "/init_weights_update_engine",
    "/collective_rpc",
    "/tokenize",
    "/detokenize",
    "/tokenizer_info",
    "/load",
    "/health",
    "/metrics",
    "/version",
    "/server_info",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/start_profile",
    "/stop_profile",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/responses",
    "/v1/messages",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/realtime",
    "/inference/v1/generate",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/",
    "/v1",
    "/v1/",
    "/v1/models/any",
    "/v1/chat",
    "/v1/chat/completions/render",
    "/slots",
    "/props",
]


@dataclass(frozen=True)
class Arrived:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Vllm:
    """Streams `pieces`; between the first and the rest it waits until a test says `go_on`."""

    arrived: list[Arrived] = field(default_factory=list)
    pieces: tuple[bytes, ...] = (b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n")
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_off: bool = False
    redirects: bool = False
    status: int = 200
    healthy: bool = True
    url: str = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET" and request.raw_path == "/health" and "Authorization" not in request.headers:
            return web.Response(status=200 if self.healthy else 503)  # the proxy's own question
        body = await request.read()
        self.arrived.append(Arrived(request.method, request.raw_path, dict(request.headers), body))
        if self.redirects:
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/metadata"})
        if body and json.loads(body).get("stream"):
            return await self._stream(request)
        headers = {"Set-Cookie": "a=b", "Server": "uvicorn", "X-Internal": "yes", "Connection": "X-Internal"}
        return web.json_response({"object": "list", "data": []}, status=self.status, headers=headers)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            await response.write(self.pieces[0])
            if self.breaks_off:
                assert request.transport is not None
                request.transport.abort()
            await self.go_on.wait()
            for piece in self.pieces[1:]:
                await response.write(piece)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        await response.write_eof()
        return response

    def targets(self) -> set[tuple[str, str]]:
        return {(one.method, one.target) for one in self.arrived}


@asynccontextmanager
async def running(vllm: Vllm) -> AsyncIterator[Vllm]:
    runner = web.ServerRunner(
        web.Server(vllm, handler_cancellation=True, access_log=None),
        shutdown_timeout=0.1,
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    vllm.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield vllm
    finally:
        await runner.cleanup()
