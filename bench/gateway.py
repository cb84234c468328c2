"""The gateway with every control on, beside other gateways with none, against the same fake upstream in the same run.

The gateway under test has one core; the load, the upstream and all other local parts share the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench import peers
from bench.figures import Figure, at_least, at_most
from bench.flush import flush

UPSTREAM_PORT = 8899
Start = Callable[[int], AbstractContextManager[peers.Running]]
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
        subject = Subject(f"{base_url}/chat/completions", _token())
        yield from _beside_peers(subject)
        yield from _streams(subject)
        yield from _memory(subject, gateway)


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


@dataclass(frozen=True)
class Subject:
    """What the load is sent to."""

    url: str
    bearer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def _load(subject: Subject, **options: float) -> dict[str, float]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += [word for name, value in subject.headers.items() for word in ("--header", f"{name}: {value}")]
    seen = _asked("bench.load", subject, *words)
    if set(seen["statuses"]) != {"200"}:
        raise SystemExit(f"the load on {subject.url} was not answered with 200 throughout: {seen['statuses']}")
    return seen


def _asked(module: str, subject: Subject, *words: str) -> dict[str, Any]:
    """One line of JSON from a load generator on core 1."""
    run = subprocess.run(
        ["taskset", "-c", "1", sys.executable, "-m", module, subject.url, *words],
        input=BODY,
        capture_output=True,
        check=True,
        env={**os.environ, "BENCH_TOKEN": subject.bearer},
    )
    return dict(json.loads(run.stdout))


ROUNDS = 3
FULL = {"connections": 10, "requests": 20_000, "seconds": 6}  # a round
PACED = {"connections": 10, "requests": 1_000, "rate": 200, "seconds": 15}


def _beside_peers(subject: Subject) -> Iterator[Figure]:
    """Requests a second of each gateway, and the latency over nginx, which only passes bytes on."""
    _load(subject, connections=10, requests=1_000, seconds=10)
    upstream = Subject(f"http://127.0.0.1:{UPSTREAM_PORT}/v1/chat/completions")
    rounds = _in_turns(subject, upstream, **FULL)
    ours, direct = [seen["rps"] for seen, _ in rounds], median(seen["rps"] for _, seen in rounds)
    through = median(ours)
    note = f"every control on, 10 connections, one core; {min(ours):,.0f} to {max(ours):,.0f} in {ROUNDS} rounds"
    yield at_least("gateway throughput", through, 2_500, "requests/s", note)
    yield Figure("upstream called directly", f"{direct:,.0f} requests/s", note=f"{direct / through:.0f} × the gateway")
    yield from _over_nginx(subject)
    yield from _ratio("Portkey", peers.portkey, subject, 2)
    yield from _ratio("LiteLLM", peers.litellm, subject, 40)


def _in_turns(ours: Subject, theirs: Subject, **options: float) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Both, round by round: what else the machine does meets both alike."""
    return [(_load(ours, **options), _load(theirs, **options)) for _ in range(ROUNDS)]


def _ratio(name: str, start: Start, subject: Subject, times: float) -> Iterator[Figure]:
    try:
        with start(UPSTREAM_PORT) as peer:
            rounds = _in_turns(subject, _warm(peer), **FULL)
    except peers.NotHereError as error:
        yield Figure(f"{name}'s gateway, bare", "not measured", f"we are ≥ {times:g} ×", kept=False, note=str(error))
        return
    ours, theirs = median(seen["rps"] for seen, _ in rounds), median(seen["rps"] for _, seen in rounds)
    note = f"bare, without controls: {theirs:,.0f} requests/s on the same core, in turns with our {ours:,.0f}"
    yield at_least(f"throughput over {name}", ours / theirs, times, "×", note)


def _over_nginx(subject: Subject) -> Iterator[Figure]:
    try:
        with peers.nginx(UPSTREAM_PORT) as peer:
            rounds = _in_turns(subject, _warm(peer), **PACED)
    except peers.NotHereError as error:
        yield Figure("added latency over nginx", "not measured", "p50 ≤ 1 ms, p99 ≤ 5 ms", kept=False, note=str(error))
        return
    yield flush()
    for figure, most_ms in (("p50", 1), ("p99", 5)):
        added = [ours[f"{figure}_ms"] - theirs[f"{figure}_ms"] for ours, theirs in rounds]
        note = f"at 200 requests/s; {min(added):.2f} to {max(added):.2f} ms in {ROUNDS} rounds"
        yield at_most(f"added latency {figure} over nginx", median(added), most_ms, "ms", note)


def _warm(peer: peers.Running) -> Subject:
    """On the core that our gateway has."""
    process_on(peer.pid, [0])
    subject = Subject(peer.url, peer.bearer, peer.headers)
    _load(subject, connections=10, requests=200, seconds=20)
    return subject


def _streams(subject: Subject) -> Iterator[Figure]:
    seen = _asked("bench.streams", subject, "--streams", "300")
    note = f"longest wait between two arrivals {seen['longest_wait_ms']:,.0f} ms, a word every 20 ms upstream"
    yield at_most("stalled of 300 paced streams", seen["stalled"], 0, "streams", note)


def _memory(subject: Subject, gateway: psutil.Process) -> Iterator[Figure]:
    """After everything above, and after 20,000 more: whole answers, streams, and one in five left halfway."""
    before = gateway.memory_info().rss / 2**20
    seen = _asked("bench.streams", subject, "--mixed", "20000")
    after = gateway.memory_info().rss / 2**20
    yield at_most("gateway memory", after, 200, "MiB", "one worker, after all the load")
    yield at_most("memory grown by mixed requests", after - before, 5, "MiB", f"{seen['aborted']:,} left halfway")
