"""Stands in front of a model server: two paths pass, and every request body that passes is written down.

Model servers open more paths than a gateway needs (llama.cpp and vLLM alike), so everything that is not on
the list is 404. The log is the evidence that no credential reached the model. Each call uses a connection of
its own, because llama.cpp's server may drop one that is used again after a long stream.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from stacks.local.parts.addresses import HOST
from stacks.local.parts.model import MODEL_ID

REQUEST_BYTES_MAX = 8 * 1024 * 1024
CONNECT_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 300
FORWARDED_HEADERS = ("Accept", "Content-Type")


class RequestLog:
    """One JSON document a line, written before the model sees it."""

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")

    def write(self, body: object) -> None:
        self._file.write(json.dumps({"time": time.time(), "request": body}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass
class Upstream:
    """The model server, and under which name it knows its model."""

    base_url: str
    session: aiohttp.ClientSession
    _model: str = ""

    async def model(self) -> str:
        if not self._model:
            async with self.session.get(f"{self.base_url}/models") as answer:
                answer.raise_for_status()
                listed = [one["id"] for one in (await answer.json())["data"]]
            self._model = MODEL_ID if MODEL_ID in listed else listed[0]
        return self._model


class Proxy:
    def __init__(self, upstream: Upstream, log: RequestLog) -> None:
        self._upstream = upstream
        self._log = log

    async def list_models(self, _request: web.Request) -> web.StreamResponse:
        try:
            served_as = await self._upstream.model()
        except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
            return _refusal(502, f"the model server does not list its models: {type(error).__name__}", "api_error")
        entry = {"id": MODEL_ID, "object": "model", "created": 0, "owned_by": served_as}
        return web.json_response({"object": "list", "data": [entry]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return _refusal(400, "the body is not JSON")
        if not isinstance(body, dict) or body.get("model") != MODEL_ID:
            return _refusal(404, f"the only model here is {MODEL_ID!r}", code="model_not_found")
        return await self._forward(request, body)

    async def _forward(self, request: web.Request, body: dict[str, object]) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in FORWARDED_HEADERS if name in request.headers}
        try:
            sent = {**body, "model": await self._upstream.model()}
            self._log.write(sent)
            url = f"{self._upstream.base_url}/chat/completions"
            async with self._upstream.session.post(url, json=sent, headers=headers) as answer:
                return await _relay(request, answer)
        except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
            return _refusal(502, f"the model server failed: {type(error).__name__}", "api_error")


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Passes bytes on as they come. An answer that breaks off breaks off for the caller too."""
    kept: Mapping[str, str] = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
    response = web.StreamResponse(status=answer.status, headers=kept)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except (aiohttp.ClientError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _refusal(status: int, message: str, kind: str = "invalid_request_error", code: str | None = None) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def application(upstream_url: str, log: Path) -> AsyncIterator[web.Application]:
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    with closing(RequestLog(log)) as requests:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            proxy = Proxy(Upstream(upstream_url.rstrip("/"), session), requests)
            paths = web.Application(client_max_size=REQUEST_BYTES_MAX)
            paths.router.add_get("/v1/models", proxy.list_models)
            paths.router.add_post("/v1/chat/completions", proxy.complete)
            yield paths


async def serve(port: int, upstream_url: str, log: Path) -> None:
    async with application(upstream_url, log) as paths:
        # A caller who leaves cancels the call upstream.
        runner = web.AppRunner(paths, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
