"""Many paced streams at once: how long each client waited for its next byte; and aborted ones among others.

    python -m bench.streams URL --streams 300                  every stream read to its end
    python -m bench.streams URL --mixed 20000 --connections 10 whole answers, streams, and streams left after a word

The bearer token is read from BENCH_TOKEN. Loopback only, bounded in count and time; prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from urllib.parse import urlsplit

import aiohttp
import uvloop

PACED = "one word at a time"  # asks the fake upstream for 20 ms between words
TIMEOUT_S = 60
STALL_MS = 1_000
MIX = ("whole", "whole", "stream", "whole", "aborted")  # one in five is left after its first bytes

Json = Mapping[str, object]


def body(text: str, *, stream: bool) -> Json:
    return {"model": "local", "messages": [{"role": "user", "content": text}], "max_tokens": 64, "stream": stream}


async def longest_wait_ms(client: aiohttp.ClientSession, url: str) -> float:
    """Of one stream: the longest time between two arrivals of bytes, from its first byte to the end mark."""
    seen, last, longest = b"", 0.0, 0.0
    async with client.post(url, json=body(f"Tell it {PACED}.", stream=True)) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            now = time.perf_counter()
            longest = max(longest, now - last if last else 0.0)
            last, seen = now, (seen + chunk)[-64:]
    if b"[DONE]" not in seen:
        raise SystemExit("a stream ended without its end mark")
    return longest * 1000


async def streams(url: str, how_many: int) -> Json:
    async with _client(how_many) as client:
        waits = await asyncio.gather(*(longest_wait_ms(client, url) for _ in range(how_many)))
    stalled = sum(wait > STALL_MS for wait in waits)
    return {"streams": how_many, "stalled": stalled, "longest_wait_ms": round(max(waits), 1)}


async def mixed(url: str, how_many: int, connections: int) -> Json:
    """Each connection takes the next kind of the mix until enough are done."""
    numbers, done = count(), dict.fromkeys(MIX, 0)
    async with _client(connections) as client:
        await asyncio.gather(*(_worker(client, url, lambda: next(numbers), how_many, done) for _ in range(connections)))
    return {"requests": sum(done.values()), **done}


async def _worker(
    client: aiohttp.ClientSession, url: str, number: Callable[[], int], how_many: int, done: dict[str, int]
) -> None:
    while (turn := number()) < how_many:
        kind = MIX[turn % len(MIX)]
        await _one(client, url, kind)
        done[kind] += 1


async def _one(client: aiohttp.ClientSession, url: str, kind: str) -> None:
    async with client.post(url, json=body("How many days of leave are there?", stream=kind != "whole")) as answer:
        answer.raise_for_status()
        if kind == "aborted":
            await answer.content.readany()
            answer.close()
        else:
            await answer.read()


def _client(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"authorization": f"Bearer {os.environ.get('BENCH_TOKEN', '')}"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, default=0)
    parser.add_argument("--mixed", type=int, default=0)
    parser.add_argument("--connections", type=int, default=10)
    options = parser.parse_args()
    if urlsplit(options.url).hostname not in ("127.0.0.1", "localhost"):
        sys.exit("load goes to loopback addresses only")
    work = streams(options.url, options.streams) if options.streams else None
    seen = uvloop.run(work or mixed(options.url, options.mixed, options.connections))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
