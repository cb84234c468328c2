"""A model server of AWS on loopback: streams what it was given, keeps what it was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.services.gateway.issuer import running


@dataclass
class AwsServer(ABC):
    """Each kind of server says how an address ends that is asked for a stream, and what an error looks like."""

    pieces: Sequence[bytes]
    streams_at: str
    status: int = 200
    statuses: list[int] = field(default_factory=list)  # of the first answers, before `status`
    content_type: str = "application/vnd.amazon.eventstream"
    answer: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)

    @abstractmethod
    def failed(self, status: int) -> web.Response:
        """The answer with this status."""

    async def any(self, request: web.Request) -> web.StreamResponse:
        # The path as it was sent: the model's ARN is one encoded segment.
        self.asked.append((request.raw_path, await request.json(), dict(request.headers)))
        status = self.statuses.pop(0) if self.statuses else self.status
        if status != 200:
            return self.failed(status)
        if not request.raw_path.endswith(self.streams_at):
            return web.json_response(self.answer)
        response = web.StreamResponse(headers={"content-type": self.content_type})
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        return response


@asynccontextmanager
async def standing_in(server: AwsServer, service: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """While this lasts AWS's clients find `server` where `service` is, and sign with a key of nobody's."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.any)
    async with running(app) as url:
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield
