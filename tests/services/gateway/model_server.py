"""A model server on loopback with an OpenAI-compatible API; counts what reaches it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.services.gateway.issuer import running

DIMENSIONS = 384


@dataclass
class ModelServer:
    """Answers with `text`; `bodies` is what was asked."""

    url: str = ""
    text: str = "There are thirty days."
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    status: int = 200

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.status != 200:
            return web.json_response({"error": {"message": "quotes the prompt"}}, status=self.status)
        usage = {"prompt_tokens": 9, "completion_tokens": 5}
        if not body["stream"]:
            message = {"role": "assistant", "content": self.text}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return web.json_response({"choices": choices, "usage": usage, "model": "served-1"})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for word in self.text.split(" "):
            await self._send(response, {"choices": [{"index": 0, "delta": {"content": word + " "}}]})
        await self._send(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await self._send(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, chunk: dict[str, Any]) -> None:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    async def embeddings(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        self.embedded += texts
        data = [{"index": index, "embedding": [0.5] * DIMENSIONS} for index, _ in enumerate(texts)]
        return web.json_response({"data": data})


@asynccontextmanager
async def running_model_server() -> AsyncIterator[ModelServer]:
    server = ModelServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/embeddings", server.embeddings)
    async with running(app) as url:
        server.url = f"{url}/v1"
        yield server
