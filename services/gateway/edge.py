"""The HTTP edge: ASGI in, OpenAI's shapes out. Nothing is decided here.

Errors are outermost and always OpenAI-shaped; every response carries x-request-id. A status line leaves
only after every input control held, so that a refusal is a real status. A caller who hangs up cancels
the journey, and with it the upstream call.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from time import monotonic
from typing import TypeVar

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.exchange import (
    Caller,
    Denied,
    Endpoint,
    Finish,
    Released,
    TextDelta,
    ToolCall,
    ToolCallReady,
    Usage,
)
from services.gateway.metrics import CONTENT_TYPE, Metrics
from services.gateway.openai_answer import (
    HEARTBEAT,
    ChatAnswer,
    embeddings,
    error_body,
    error_event,
    model_body,
    model_list,
)
from services.gateway.openai_api import BODY_BYTES_MAX, Arrival, ChatRequest, read_chat, read_embedding, refuse
from services.gateway.pipeline import Journey
from services.gateway.pipeline import refuse as record_refusal
from services.gateway.ports import Ports
from services.gateway.stages.admission import authenticate, model_not_found, offered, place

BODY_DEADLINE_S = 30
HEARTBEAT_S = 10
CHECK_DEADLINE_S = 2

Check = Callable[[], Awaitable[None]]
Lifespan = Callable[[object], AbstractAsyncContextManager[None]]
Headers = list[tuple[bytes, bytes]]

log = logging.getLogger(__name__)

_JSON = (b"content-type", b"application/json")
_SSE: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_CLIENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_STARTED_AT = int(datetime.now(UTC).timestamp())


def application(
    ports: Ports, checks: Mapping[str, Check], metrics: Metrics, lifespan: Lifespan | None = None
) -> ASGIApp:
    """The whole HTTP surface. There is no route that changes anything."""
    router = Router(
        routes=[
            Route("/v1/chat/completions", Only("POST", Chat(ports, metrics))),
            Route("/v1/embeddings", Only("POST", Embedding(ports, metrics))),
            Route("/v1/models", Only("GET", Models(ports))),
            Route("/v1/models/{model:path}", Only("GET", Models(ports))),
            Route("/healthz", Only("GET", Alive())),
            Route("/readyz", Only("GET", Ready(checks))),
            Route("/metrics", Only("GET", Exposition(metrics))),
        ],
        redirect_slashes=False,
        default=nowhere,
        lifespan=lifespan,
    )
    return Errors(router, metrics)


class Errors:
    """Outermost: gives every request its id, and every failure OpenAI's shape."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = Reply(send, secrets.token_hex(12))
        scope["gateway.reply"] = reply
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the last line: what it was must not reach the caller
            await reply.error(_told(error, reply))
        finally:
            self._metrics.in_flight.dec()
            if reply.status:
                self._metrics.responded(scope.get("gateway.endpoint", "other"), reply.status)


class Only:
    """One method for a route; any other is 405."""

    def __init__(self, method: str, app: ASGIApp) -> None:
        self._method = method
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != self._method:
            allow = [(b"allow", self._method.encode())]
            denied = _plain(405, "method_not_allowed", f"Only {self._method} is allowed here.")
            await _reply(scope).error(denied, allow)
            return
        await self._app(scope, receive, send)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    del receive, send
    if scope["type"] == "http":
        raise _plain(404, "not_found", "There is nothing at this path.")


# --- the endpoints ------------------------------------------------------------------------------------------


class Chat:
    """POST /v1/chat/completions: one journey, framed as a stream or as one body."""

    def __init__(self, ports: Ports, metrics: Metrics) -> None:
        self._ports = ports
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        reply = _reply(scope)
        caller, request = await received(scope, receive, Endpoint.CHAT_COMPLETIONS, self._ports, read_chat)
        journey = Journey(request.submission, caller, self._ports, self._metrics.ended)
        answer = _framing(request)
        frame = self._stream if request.submission.stream else self._whole
        await unless_gone(receive, reply, frame(journey, answer, reply))
        self._metrics.took(journey.own_ms)

    async def _whole(self, journey: Journey, answer: ChatAnswer, reply: Reply) -> None:
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
        await reply.whole(200, body, [_JSON, _timing(journey)])

    async def _stream(self, journey: Journey, answer: ChatAnswer, reply: Reply) -> None:
        heartbeat = asyncio.create_task(_beat(journey, reply))
        try:
            async with aclosing(journey.answer()) as events:
                async for released in events:
                    if not reply.status:
                        await reply.start(200, [*_SSE, _timing(journey)])
                    await reply.more(_frame(released, answer))
        except Exception as error:
            if not reply.status:
                raise
            # The status has left: an error event, and no end mark, since the answer is not complete.
            await reply.more(error_event(_told(error, reply)))
        finally:
            heartbeat.cancel()
        await reply.end()


def _frame(released: Released, answer: ChatAnswer) -> bytes:
    event = released.event
    if isinstance(event, TextDelta):
        return answer.text(event.text)
    if isinstance(event, ToolCallReady):
        return answer.tool_call(event.call)
    return answer.finish(event.reason, event.usage)


async def _beat(journey: Journey, reply: Reply) -> None:
    """Comments while the model thinks or text is held back: proxies and clients cut silent connections."""
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        if journey.accepted and monotonic() - reply.sent_at >= HEARTBEAT_S:
            if not reply.status:
                await reply.start(200, _SSE)
            await reply.more(HEARTBEAT)


class Embedding:
    """POST /v1/embeddings."""

    def __init__(self, ports: Ports, metrics: Metrics) -> None:
        self._ports = ports
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        reply = _reply(scope)
        caller, request = await received(scope, receive, Endpoint.EMBEDDINGS, self._ports, read_embedding)
        journey = Journey(request.submission, caller, self._ports, self._metrics.ended)

        async def answer() -> None:
            vectors, usage = await journey.embed()
            body = embeddings(request.submission.model, vectors, usage, as_base64=request.base64)
            await reply.whole(200, body, [_JSON, _timing(journey)])

        await unless_gone(receive, reply, answer())


class Models:
    """GET /v1/models and /v1/models/{id}: what the caller's role may use."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        scope["gateway.endpoint"] = Endpoint.MODELS.value
        reply = _reply(scope)
        arrival = _arrival(scope)
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
        await reply.whole(200, body, [_JSON])


class Alive:
    """GET /healthz: the process answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        await _reply(scope).whole(200, b'{"status":"alive"}', [_JSON])


class Ready:
    """GET /readyz: 200 only while every part a request needs answers, each asked now."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        states = dict(
            zip(self._checks, await asyncio.gather(*(_state(check) for check in self._checks.values())), strict=True)
        )
        ready = all(state == "ready" for state in states.values())
        body = msgspec.json.encode({"status": "ready" if ready else "not ready", "parts": states})
        await _reply(scope).whole(200 if ready else 503, body, [_JSON])


class Exposition:
    """GET /metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        await _reply(scope).whole(200, self._metrics.exposition(), [(b"content-type", CONTENT_TYPE.encode())])


# --- reading ------------------------------------------------------------------------------------------------

R = TypeVar("R")


async def received(
    scope: Scope, receive: Receive, endpoint: Endpoint, ports: Ports, read: Callable[[Arrival, bytes], R]
) -> tuple[Caller, R]:
    """Who asks, known before the body is read, and the request as a submission. A refusal is written down."""
    scope["gateway.endpoint"] = endpoint.value
    arrival = _arrival(scope)
    caller: Caller | None = None
    try:
        caller = await authenticate(arrival.bearer, ports)
        return caller, read(arrival, await _body(scope, receive))
    except Denied as denied:
        await record_refusal(arrival.request_id, endpoint, denied, ports, caller)
        raise


def _arrival(scope: Scope) -> Arrival:
    bearer = client_id = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            bearer = "" if bearer is not None else _bearer(value)
        elif name == b"x-request-id":
            client_id = value.decode("latin-1")
    if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
        client_id = None
    return Arrival(_reply(scope).request_id, client_id, datetime.now(UTC), bearer or "")


def _bearer(value: bytes) -> str:
    scheme, _, token = value.partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


async def _body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > BODY_BYTES_MAX:
            raise _too_large()
        if name == b"content-encoding" and value != b"identity":
            raise _plain(415, "unsupported_encoding", "Compressed request bodies are not accepted.")
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await _received_body(receive)
    except TimeoutError:
        raise _plain(408, "request_timeout", "The request body did not arrive in time.") from None


async def _received_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            refuse(None, "incomplete_body", "The request body ended early.")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        if not message.get("more_body", False):
            return body


# --- writing ------------------------------------------------------------------------------------------------


class Reply:
    """One response. Remembers whether a status has left, and when something was last sent."""

    __slots__ = ("_identity", "_send", "done", "request_id", "sent_at", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._identity = (b"x-request-id", request_id.encode())
        self.request_id = request_id
        self.status = 0
        self.sent_at = monotonic()
        self.done = False

    async def whole(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.done = True
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, self._identity]})

    async def more(self, body: bytes) -> None:
        self.sent_at = monotonic()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        self.done = True
        await self._send({"type": "http.response.body", "body": b""})

    async def error(self, denied: Denied, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """An error status, or, after the status has left, a connection cut short."""
        if self.status:
            raise ConnectionError("the response was cut short") from denied
        more = [*headers, _JSON]
        if denied.retry_after_s is not None:
            more.append((b"retry-after", b"%d" % denied.retry_after_s))
        if denied.retryable is not None:
            more.append((b"x-should-retry", b"true" if denied.retryable else b"false"))
        if denied.status in (408, 413):
            more.append((b"connection", b"close"))
        if denied.status == 401:
            more.append((b"www-authenticate", b"Bearer"))
        await self.whole(denied.status, error_body(denied), more)


async def unless_gone(receive: Receive, reply: Reply, work: Awaitable[None]) -> None:
    """Does the work, and cancels it when the caller hangs up."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    watch = asyncio.create_task(_cancel_when_gone(receive, reply, task))
    try:
        await work
    except asyncio.CancelledError:
        if not (watch.done() and not watch.cancelled()):
            raise
        task.uncancel()
    finally:
        reply.done = True
        watch.cancel()


async def _cancel_when_gone(receive: Receive, reply: Reply, task: asyncio.Task[object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    if not reply.done:
        task.cancel()


def _framing(request: ChatRequest) -> ChatAnswer:
    submission = request.submission
    created = int(submission.received_at.timestamp())
    return ChatAnswer(submission.request_id, created, submission.model, include_usage=request.include_usage)


def _timing(journey: Journey) -> tuple[bytes, bytes]:
    return (b"server-timing", b"gateway;dur=%.3f" % journey.own_ms)


def _reply(scope: Scope) -> Reply:
    reply: Reply = scope["gateway.reply"]
    return reply


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S):
            await check()
    except Denied as denied:
        return f"not ready: {denied.stage}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the part is not ready
        return f"not ready: {type(error).__name__}"
    return "ready"


def _plain(status: int, code: str, public: str) -> Denied:
    return Denied("edge", code, status=status, code=code, public=public)


def _too_large() -> Denied:
    return _plain(413, "request_too_large", f"The request body may hold up to {BODY_BYTES_MAX} bytes.")


def _told(error: Exception, reply: Reply) -> Denied:
    """What the caller may know of a failure. Anything unforeseen is logged by type and place."""
    if isinstance(error, Denied):
        return error
    log.error("unexpected failure", extra={"request_id": reply.request_id, "error": _origin(error)})
    return Denied(
        "edge",
        "unexpected failure",
        status=500,
        code="internal_error",
        type="server_error",
        public="The gateway failed to process the request.",
    )


def _origin(error: BaseException) -> str:
    """Type and place of an exception, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
