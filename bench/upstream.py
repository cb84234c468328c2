"""A fake model server: answers every chat completion at once, so that only the gateway's share is measured.

A prompt that holds `one word at a time` is streamed that way, with 20 ms between the words.

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
PACED = b"one word at a time"
PACE_S = 0.02
CHUNKS = [CHUNK % (word + b" ") for word in WORDS.split(b" ")]
STREAM_END = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake","choices":'
    + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    + b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake","choices":[],'
    + b'"usage":{"prompt_tokens":250,"completion_tokens":28,"total_tokens":278}}\n\ndata: [DONE]\n\n'
)
MODELS = b'{"object":"list","data":[{"id":"fake","object":"model","created":1,"owned_by":"bench"}]}'


def _response(body: bytes, kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (kind, len(body)) + body


WHOLE = _response(ANSWER, b"application/json")
STREAMED = _response(b"".join(CHUNKS) + STREAM_END, b"text/event-stream")
PACED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
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
        if streamed and PACED in self._body:
            self._transport.write(PACED_HEAD)
            self._write_paced([*CHUNKS, STREAM_END, b""])
        else:
            answer = LISTED if self._url.endswith(b"/models") else STREAMED if streamed else WHOLE
            self._transport.write(answer)
        self._body = b""

    def _write_paced(self, left: list[bytes]) -> None:
        """One chunk now, the rest later; the empty one ends the body."""
        if self._transport.is_closing():
            return
        first, *rest = left
        self._transport.write(b"%x\r\n%s\r\n" % (len(first), first))
        if rest:
            asyncio.get_running_loop().call_later(PACE_S, self._write_paced, rest)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
