"""The HTTP edge: ASGI in, OpenAI's shapes out. Nothing is decided here.

Errors are outermost and always OpenAI-shaped; every response carries x-request-id. A status line leaves
only after every input control held, so that a refusal is a real status. A caller who hangs up cancels
the journey, and with it the upstream call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from functools import partial
from time import monotonic, time_ns
from typing import Protocol, TypeVar

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.arrivals import arrival_of, received
from services.gateway.chat_request import read_chat
from services.gateway.choices_journey import ChoicesJourney
from services.gateway.embedding_request import read_embedding
from services.gateway.exchange import (
    Caller,
    Denied,
    Endpoint,
    Finish,
    Released,
    Submission,
    TextDelta,
    ToolCall,
    ToolCallReady,
    Usage,
)
from services.gateway.metrics import Arrived, Metrics
from services.gateway.openai_answer import (
    HEARTBEAT,
    ChatAnswer,
    ChatChoices,
    embeddings,
    model_body,
    model_list,
)
from services.gateway.pipeline import Journey
from services.gateway.pipeline import refuse as record_refusal
from services.gateway.ports import Ports
from services.gateway.random_ids import RandomIds
from services.gateway.rate_headers import rate_headers
from services.gateway.reply import JSON, Reply, peer_of, plain, reply_of, told, unless_gone
from services.gateway.request_body import Arrival
from services.gateway.responses_answer import ResponsesAnswer
from services.gateway.responses_request import read_responses
from services.gateway.stages.admission import authenticate, model_not_found, offered, place
from services.gateway.tokens import table

HEARTBEAT_S = 10

Lifespan = Callable[[object], AbstractAsyncContextManager[None]]
Headers = list[tuple[bytes, bytes]]

_SSE: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_request_id = RandomIds(12)
_STARTED_AT = int(datetime.now(UTC).timestamp())


def application(ports: Ports, metrics: Metrics, lifespan: Lifespan | None = None) -> ASGIApp:
    """The whole HTTP surface towards callers. There is no route that changes anything."""
    router = Router(
        routes=[
            Route("/v1/chat/completions", Only("POST", Generation(Endpoint.CHAT_COMPLETIONS, _chat, ports, metrics))),
            Route("/v1/responses", Only("POST", Generation(Endpoint.RESPONSES, _responses, ports, metrics))),
            Route("/v1/embeddings", Only("POST", Embedding(ports, metrics))),
            Route("/v1/models", Only("GET", Models(ports))),
            Route("/v1/models/{model:path}", Only("GET", Models(ports))),
            Route("/healthz", Only("GET", Alive())),
        ],
        redirect_slashes=False,
        default=nowhere,
        lifespan=lifespan,
    )
    return Errors(Paths(router), metrics)


class Paths:
    """The router, asked once for each of its plain paths: it tries one route after the other, by regular expression."""

    def __init__(self, router: Router) -> None:
        self._router = router
        routes = [route for route in router.routes if isinstance(route, Route) and not route.param_convertors]
        self._known: dict[str, ASGIApp] = {route.path: route.app for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._known.get(scope["path"]) if scope["type"] == "http" else None
        if known is None:
            await self._router(scope, receive, send)
        else:
            scope["path_params"] = {}
            await known(scope, receive, send)


class Errors:
    """Outermost: gives every request its id, and every failure OpenAI's shape."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = Reply(send, peer_of(scope), _request_id())
        scope["gateway.reply"] = reply
        arrived = Arrived(reply.request_id, time_ns(), scope["headers"])
        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the last line: what it was must not reach the caller
            await reply.error(self._counted(told(error, reply)))
        finally:
            self._metrics.in_flight -= 1
            if reply.status:
                self._metrics.responded(scope.get("gateway.endpoint", "other"), reply.status, arrived)
            if retry := scope.get("gateway.retry"):
                self._metrics.retried(scope["gateway.endpoint"], retry)

    def _counted(self, denied: Denied) -> Denied:
        self._metrics.refused(denied)
        return denied


class Only:
    """One method for a route; any other is 405."""

    def __init__(self, method: str, app: ASGIApp) -> None:
        self._method = method
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != self._method:
            allow = [(b"allow", self._method.encode())]
            denied = plain(405, "method_not_allowed", f"Only {self._method} is allowed here.")
            await reply_of(scope).error(denied, allow)
            return
        await self._app(scope, receive, send)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    del receive, send
    if scope["type"] == "http":
        raise plain(404, "not_found", "There is nothing at this path.")


# --- the endpoints ------------------------------------------------------------------------------------------


Read = Callable[[Arrival, bytes], "tuple[Submission, Framing | ChatChoices]"]
Framed = TypeVar("Framed", "Framing", ChatChoices)


class Framing(Protocol):
    """One answer in the shape of its endpoint. The methods say what each frame is."""

    def text(self, text: str) -> bytes: ...

    def tool_call(self, call: ToolCall) -> bytes: ...

    def finish(self, reason: str, usage: Usage | None) -> bytes: ...

    def fault(self, denied: Denied) -> bytes: ...

    def whole(self, text: str, calls: Sequence[ToolCall], reason: str, usage: Usage) -> bytes: ...

    def answered_by(self, model: str) -> None: ...


class Generation:
    """One journey, framed as a stream or as one body. `read` knows the endpoint's shapes, and nothing else does."""

    def __init__(self, endpoint: Endpoint, read: Read, ports: Ports, metrics: Metrics) -> None:
        self._endpoint = endpoint
        self._read = read
        self._ports = ports
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        reply = reply_of(scope)
        caller, (submission, answer) = await received(scope, receive, self._endpoint, self._ports, self._read)
        if isinstance(answer, ChatChoices):
            journey: Journey = ChoicesJourney(submission, caller, self._ports, self._metrics.ended)
            work = self._several(journey, answer, reply, stream=submission.stream)
        else:
            journey = Journey(submission, caller, self._ports, self._metrics.ended)
            journey.on_fallback(answer.answered_by)
            streaming = submission.stream
            work = self._stream(journey, answer, reply, _frame) if streaming else self._whole(journey, answer, reply)
        await unless_gone(peer_of(scope), work)
        self._metrics.took(journey.own_ms)

    async def _whole(self, journey: Journey, answer: Framing, reply: Reply) -> None:
        texts: list[str] = []
        calls: list[ToolCall] = []
        finish = Finish("stop", None)
        async with aclosing(journey.answer()) as events:
            async for released in events:
                event = released.event
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                elif isinstance(event, ToolCallReady):
                    calls.append(event.call)
                else:
                    finish = event
        body = answer.whole("".join(texts), calls, finish.reason, finish.usage or Usage(0, 0))
        await reply.whole(200, body, [JSON, *_told(journey)])

    async def _several(self, journey: Journey, answer: ChatChoices, reply: Reply, *, stream: bool) -> None:
        if stream:
            await self._stream(journey, answer, reply, _frame_of_choice)
            return
        async with aclosing(journey.answer()) as events:
            released = [one async for one in events]
        await reply.whole(200, answer.whole(released), [JSON, *_told(journey)])

    async def _stream(
        self, journey: Journey, answer: Framed, reply: Reply, frame: Callable[[Released, Framed], bytes]
    ) -> None:
        heartbeat = asyncio.create_task(_beat(journey, reply))
        try:
            async with aclosing(journey.answer()) as events:
                async for released in events:
                    if not reply.status:
                        await reply.start(200, [*_SSE, *_told(journey)])
                    await reply.more(frame(released, answer))
        except Exception as error:
            if not reply.status:
                raise
            # The status has left: an error event, and no end mark, since the answer is not complete.
            denied = told(error, reply)
            self._metrics.refused(denied)
            await reply.more(answer.fault(denied))
        finally:
            heartbeat.cancel()
        await reply.end()


def _frame(released: Released, answer: Framing) -> bytes:
    event = released.event
    if isinstance(event, TextDelta):
        return answer.text(event.text)
    if isinstance(event, ToolCallReady):
        return answer.tool_call(event.call)
    return answer.finish(event.reason, event.usage)


def _frame_of_choice(released: Released, answer: ChatChoices) -> bytes:
    return answer.frame(released)


async def _beat(journey: Journey, reply: Reply) -> None:
    """Comments while the model thinks or text is held back: proxies and clients cut silent connections."""
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        if journey.accepted and monotonic() - reply.sent_at >= HEARTBEAT_S:
            if not reply.status:
                await reply.start(200, [*_SSE, *_told(journey)])
            await reply.more(HEARTBEAT)


class Embedding:
    """POST /v1/embeddings."""

    def __init__(self, ports: Ports, metrics: Metrics) -> None:
        self._ports = ports
        self._metrics = metrics
        self._read = partial(read_embedding, dimensions=ports.embeddings.dimensions)
        table()  # read now, not while somebody waits, and wrong now rather than later

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        reply = reply_of(scope)
        caller, request = await received(scope, receive, Endpoint.EMBEDDINGS, self._ports, self._read)
        journey = Journey(request.submission, caller, self._ports, self._metrics.ended)

        async def answer() -> None:
            vectors, usage = await journey.embed()
            body = embeddings(request.submission.model, vectors, usage, as_base64=request.base64)
            await reply.whole(200, body, [JSON, *_told(journey)])

        await unless_gone(peer_of(scope), answer())


class Models:
    """GET /v1/models and /v1/models/{id}: what the caller's role may use.

    A refusal is written down, an answer is not: nothing is sent to a model, nothing is spent, and what is told
    follows from the registration, which has records of its own. Clients ask this often, and without limits.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        scope["gateway.endpoint"] = Endpoint.MODELS.value
        reply = reply_of(scope)
        arrival = arrival_of(scope)
        caller: Caller | None = None
        try:
            caller = await authenticate(arrival.bearer, self._ports)
            registration, role = place(caller, self._ports)
            models = offered(caller, registration, role, self._ports)
            wanted = scope["path_params"].get("model")
            if wanted is not None and wanted not in models:
                raise model_not_found()
        except Denied as denied:
            await record_refusal(arrival.request_id, Endpoint.MODELS, denied, self._ports, caller)
            raise
        body = model_list(models, _STARTED_AT) if wanted is None else model_body(wanted, _STARTED_AT)
        await reply.whole(200, body, [JSON])


class Alive:
    """GET /healthz: the process answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        await reply_of(scope).whole(200, b'{"status":"alive"}', [JSON])


def _chat(arrival: Arrival, body: bytes) -> tuple[Submission, Framing | ChatChoices]:
    request = read_chat(arrival, body)
    asked, created, usage = request.submission, int(arrival.received_at.timestamp()), request.include_usage
    if asked.choices > 1:
        return asked, ChatChoices(asked.request_id, created, asked.model, asked.choices, include_usage=usage)
    return asked, ChatAnswer(asked.request_id, created, asked.model, include_usage=usage)


def _responses(arrival: Arrival, body: bytes) -> tuple[Submission, Framing]:
    request = read_responses(arrival, body)
    asked, created = request.submission, int(arrival.received_at.timestamp())
    return asked, ResponsesAnswer(asked.request_id, created, asked.model, request.settings)


def _told(journey: Journey) -> Headers:
    """The gateway's own share of the time, and what is left of the caller's limits."""
    return [(b"server-timing", b"gateway;dur=%.3f" % journey.own_ms), *rate_headers(journey.allowance)]
