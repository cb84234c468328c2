"""A fake model server: answers every chat completion at once, so that only the gateway's share is measured.

python -m bench.upstream 8899
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"fake","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Employees have twenty-seven days of paid leave each year, and unused days '
    b'expire at the end of March of the following year."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":250,"completion_tokens":28,"total_tokens":278}}'
)
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake","choices":'
    b'[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
)
WORDS = b"Employees have twenty-seven days of paid leave each year, and unused days expire at the end of March of the \
following year."
STREAM = (
    b"".join(CHUNK % (word + b" ") for word in WORDS.split(b" "))
    + b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake","choices":'
    + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    + b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake","choices":[],'
    + b'"usage":{"prompt_tokens":250,"completion_tokens":28,"total_tokens":278}}\n\ndata: [DONE]\n\n'
)
MODELS = b'{"object":"list","data":[{"id":"fake","object":"model","created":1,"owned_by":"bench"}]}'


def _response(body: bytes, kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (kind, len(body)) + body


WHOLE = _response(ANSWER, b"application/json")
STREAMED = _response(STREAM, b"text/event-stream")
LISTED = _response(MODELS, b"application/json")


class Upstream(asyncio.Protocol):
    """One connection; httptools calls the `on_…` methods."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._url = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        streamed = b'"stream":true' in self._body.replace(b" ", b"")
        answer = LISTED if self._url.endswith(b"/models") else STREAMED if streamed else WHOLE
        self._transport.write(answer)
        self._body = b""


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
