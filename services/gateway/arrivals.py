"""Reading one request: who asks is known before the body is read, and a refusal is written down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from starlette.types import Receive, Scope

from services.gateway.exchange import Caller, Denied, Endpoint
from services.gateway.pipeline import refuse as record_refusal
from services.gateway.ports import Ports
from services.gateway.reply import peer_of, plain, reply_of
from services.gateway.request_body import BODY_BYTES_MAX, Arrival, refuse
from services.gateway.stages.admission import authenticate

BODY_DEADLINE_S = 30
LENGTH_DIGITS_MAX = 20
RETRIES_SHOWN_MAX = 5  # this many and more are one figure

R = TypeVar("R")

_CLIENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


async def received(
    scope: Scope, receive: Receive, endpoint: Endpoint, ports: Ports, read: Callable[[Arrival, bytes], R]
) -> tuple[Caller, R]:
    """Who asks, known before the body is read, and the request as a submission. A refusal is written down."""
    scope["gateway.endpoint"] = str(endpoint)
    arrival = arrival_of(scope)
    caller: Caller | None = None
    try:
        caller = await authenticate(arrival.bearer, ports)
        return caller, read(arrival, await _body(scope, receive))
    except Denied as denied:
        await record_refusal(arrival.request_id, endpoint, denied, ports, caller)
        raise


def arrival_of(scope: Scope) -> Arrival:
    bearer = client_id = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            bearer = "" if bearer is not None else _bearer(value)
        elif name == b"x-request-id":
            client_id = value.decode("latin-1")
        elif name == b"x-stainless-retry-count" and value != b"0":
            scope["gateway.retry"] = _retry(value)
    if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
        client_id = None
    return Arrival(reply_of(scope).request_id, client_id, datetime.now(UTC), bearer or "")


def _retry(value: bytes) -> int:
    """Which of its own retries a client says this is; 0 for anything that is no small number."""
    return min(int(value), RETRIES_SHOWN_MAX) if len(value) <= 2 and value.isdigit() else 0


def _bearer(value: bytes) -> str:
    scheme, _, token = value.partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


async def _body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and (len(value) > LENGTH_DIGITS_MAX or int(value) > BODY_BYTES_MAX):
            raise _too_large()
        if name == b"content-encoding" and value != b"identity":
            raise plain(415, "unsupported_encoding", "Compressed request bodies are not accepted.")
    here = peer_of(scope).body()
    if here is not None:
        if len(here) > BODY_BYTES_MAX:
            raise _too_large()
        return here
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await _received_body(receive)
    except TimeoutError:
        raise plain(408, "request_timeout", "The request body did not arrive in time.") from None


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


def _too_large() -> Denied:
    return plain(413, "request_too_large", f"The request body may hold up to {BODY_BYTES_MAX} bytes.")
