"""A load generator: keep-alive connections that each send the next request when the last was answered.

Bounded in count and time, loopback only. Prints one JSON line.

    python -m bench.load URL --connections 10 --requests 20000 --seconds 20 [--rate 200] < request-body
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop


@dataclass
class Tally:
    """What the connections saw; times in milliseconds."""

    requests_max: int
    stop_at: float
    sent: int = 0
    times_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def may_send(self) -> bool:
        return self.sent < self.requests_max and time.perf_counter() < self.stop_at


class Connection(asyncio.Protocol):
    """Sends `request` again and again; with `interval_s` it keeps to a schedule instead of going flat out."""

    def __init__(
        self, request: bytes, tally: Tally, done: asyncio.Future[None], interval_s: float, start: float
    ) -> None:
        self._request, self._tally, self._done = request, tally, done
        self._interval_s, self._due = interval_s, start

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._plan()

    def _plan(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        if not self._interval_s:
            self._send()
            return
        self._due += self._interval_s
        asyncio.get_running_loop().call_later(max(0.0, self._due - time.perf_counter()), self._send)

    def _send(self) -> None:
        if not self._tally.may_send():
            self._transport.close()
            return
        self._tally.sent += 1
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._tally.times_ms.append((time.perf_counter() - self._began) * 1000)
        status = self._parser.get_status_code()
        self._tally.statuses[status] = self._tally.statuses.get(status, 0) + 1
        asyncio.get_running_loop().call_soon(self._plan)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def request_bytes(url: str, body: bytes, token: str, headers: Sequence[str] = ()) -> bytes:
    """The bytes of one POST request; `headers` are whole lines."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    lines += headers
    if token:
        lines.append(f"authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def run(url: str, request: bytes, *, connections: int, requests: int, seconds: float, rate: float) -> Tally:
    """Runs the load and returns what was seen."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    began = time.perf_counter()
    tally = Tally(requests, began + seconds)
    interval_s = connections / rate if rate else 0.0
    waits = []
    for number in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        start = began + interval_s * number / connections - interval_s

        def make(done: asyncio.Future[None] = done, start: float = start) -> Connection:
            return Connection(request, tally, done, interval_s, start)

        await loop.create_connection(make, parts.hostname or "127.0.0.1", parts.port or 80)
        waits.append(done)
    await asyncio.wait(waits, timeout=seconds + 30)
    return tally


def summary(tally: Tally, elapsed_s: float) -> dict[str, object]:
    """Requests a second and latency percentiles in milliseconds."""
    times = sorted(tally.times_ms) or [float("nan")]
    return {
        "requests": len(tally.times_ms),
        "rps": round(len(tally.times_ms) / elapsed_s, 1),
        "p50_ms": round(times[len(times) // 2], 3),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 3),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0 means as fast as answered")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="one more header")
    options = parser.parse_args()
    if urlsplit(options.url).hostname not in ("127.0.0.1", "localhost"):
        sys.exit("load goes to loopback addresses only")
    request = request_bytes(options.url, sys.stdin.buffer.read(), os.environ.get("BENCH_TOKEN", ""), options.header)
    began = time.perf_counter()
    tally = uvloop.run(
        run(
            options.url,
            request,
            connections=options.connections,
            requests=options.requests,
            seconds=options.seconds,
            rate=options.rate,
        )
    )
    json.dump(summary(tally, time.perf_counter() - began), sys.stdout)


if __name__ == "__main__":
    main()
