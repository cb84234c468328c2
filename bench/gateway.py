"""The gateway with every control on, against the same fake upstream called directly in the same run.

The gateway has one core; the load, the upstream and all other local parts share the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.figures import Figure, at_least, at_most

UPSTREAM_PORT = 8899
CONNECTION = Path("build/local/connection.json")
PROMPT = (
    "Summarise for a new colleague how paid leave works here: how many days there are, by when they are taken, "
    "who approves them, what happens to days that are left over at the end of the year, and how a half day counts. "
) * 4
BODY = json.dumps({"model": "local", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}).encode()


def measure() -> Iterator[Figure]:
    """Starts the platform with its own model, then in front of the fake upstream; measures; stops it again."""
    with _platform("") as started_in_s:
        yield at_most("make up, warm", started_in_s, 60, "s", "parts, programs, packs, questions, proofs")
        yield at_most("memory of all local parts", _all_parts_mib() / 1024, 3, "GiB", "resident, model included")
    with _upstream(), _platform(f"http://127.0.0.1:{UPSTREAM_PORT}/v1"):
        base_url = json.loads(CONNECTION.read_text())["base_url"]
        gateway = _pin(int(base_url.split(":")[2].split("/")[0]))
        token = _token()
        yield from _throughput(base_url, token)
        yield from _latency(base_url, token)
        yield at_most("gateway memory", gateway.memory_info().rss / 2**20, 200, "MiB", "after the load")


@contextmanager
def _upstream() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(UPSTREAM_PORT)])
    process_on(process.pid, [1])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _platform(model_url: str) -> Iterator[float]:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "stacks.local.up", "--model-url", model_url], check=True, stdout=subprocess.DEVNULL
    )
    try:
        yield time.monotonic() - began
    finally:
        subprocess.run([sys.executable, "-m", "stacks.local.down"], check=True)


def _pin(port: int) -> psutil.Process:
    """Gives the gateway core 0 and everything else that is ours core 1."""
    gateway = next(
        psutil.Process(connection.pid)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
        and connection.pid
    )
    for process in _parts():
        process_on(process.pid, [1])
    process_on(gateway.pid, [0])
    return gateway


def _parts() -> list[psutil.Process]:
    """Every process that works below build/local or from this project's environment, this one excepted."""
    here = str(Path.cwd())
    mine = {os.getpid(), os.getppid()}
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in mine and any(here in part for part in process.info["cmdline"] or ())
    ]


def _all_parts_mib() -> float:
    return sum(process.memory_info().rss for process in _parts()) / 2**20


def process_on(pid: int, cores: list[int]) -> None:
    """Pins every thread of a process, where the machine has that many cores."""
    if (os.cpu_count() or 1) < 2:
        return
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)


def _token() -> str:
    command = [sys.executable, "-m", "stacks.local.parts.token", "--role", "load", "--tenant", "acme"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _load(url: str, token: str, **options: float) -> dict[str, float]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    run = subprocess.run(
        ["taskset", "-c", "1", sys.executable, "-m", "bench.load", url, *words],
        input=BODY,
        capture_output=True,
        check=True,
        env={**os.environ, "BENCH_TOKEN": token},
    )
    seen = json.loads(run.stdout)
    if set(seen["statuses"]) != {"200"}:
        raise SystemExit(f"the load on {url} was not answered with 200 throughout: {seen['statuses']}")
    return dict(seen)


def _throughput(base_url: str, token: str) -> Iterator[Figure]:
    _load(f"{base_url}/chat/completions", token, connections=10, requests=500, seconds=10)
    through = _load(f"{base_url}/chat/completions", token, connections=10, requests=20_000, seconds=10)
    direct = _load(
        f"http://127.0.0.1:{UPSTREAM_PORT}/v1/chat/completions", "", connections=10, requests=20_000, seconds=10
    )
    ratio = direct["rps"] / through["rps"]
    yield at_least("gateway throughput", through["rps"], 800, "requests/s", "10 connections, one worker on one core")
    yield Figure("upstream called directly", f"{direct['rps']:,.0f} requests/s", note=f"{ratio:.0f} × the gateway")


def _latency(base_url: str, token: str) -> Iterator[Figure]:
    paced = {"connections": 10, "requests": 3_000, "rate": 200, "seconds": 15}
    direct = _load(f"http://127.0.0.1:{UPSTREAM_PORT}/v1/chat/completions", "", **paced)
    through = _load(f"{base_url}/chat/completions", token, **paced)
    note = f"gateway {through['p50_ms']:.2f} / {through['p99_ms']:.2f} ms at 200 requests/s"
    yield at_most("added latency p50", through["p50_ms"] - direct["p50_ms"], 3, "ms", note)
    yield at_most("added latency p99", through["p99_ms"] - direct["p99_ms"], 15, "ms", note)
