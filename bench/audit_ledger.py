"""What a durable, budgeted request costs: reserve, intent, outcome, settle, against real PostgreSQL.

Figures are ratios against a reference in the same run: one INSERT and COMMIT at a time on one connection,
which is what a gateway without group commit would do for each of its records. At which concurrency calls go together
in groups, and at which each goes alone, is seen from runs with --concurrency 10 and 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

import psutil
import uvloop

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.ledger import Ledger
from services.gateway.adapters.migrations import DIRECTORY, apply, load
from services.gateway.exchange import (
    AuditRecord,
    Boundary,
    Caller,
    DataClass,
    Registration,
    Role,
    RoleBudget,
    RoleLimits,
    Template,
)
from tests.services.gateway.real_parts import OWNER, Postgres, new_folder, remove_folder, settings

DATABASE = "bench"
USERS = 20
USD = Decimal("0.000123")

BODY: dict[str, str | int | float | bool | tuple[str, ...] | None] = {
    "tenant": "acme",
    "issuer": "https://identity.example/realms/acme",
    "subject": "0b6f2a0e-8c3e-4b0e-9a53-2f8f6a1b7c11",
    "workload": "document-assistant",
    "role": "analyst",
    "registration": f"sha256:{'a' * 64}",
    "template": f"answer@sha256:{'b' * 64}",
    "model": "local",
    "prompt_hash": f"hmac-sha256:{'c' * 64}",
    "input_tokens": 812,
    "output_tokens": 96,
    "usd": "0.000123000",
    "redactions": ("email_address:1", "person:2"),
}


class NoKey:
    """Signing is not what is measured here: once a second it costs one call to KMS, whatever the load."""

    async def sign(self, text: bytes) -> bytes:
        return b"not signed"


class Memory:
    """In the log archive's place."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, object_name: str, content: bytes) -> bool:
        self.objects[object_name] = content
        return True

    async def get(self, object_name: str) -> bytes:
        return self.objects[object_name]

    async def last_name(self, chain: object, seq_near: int) -> str | None:
        return max((name for name in self.objects if str(chain) in name), default=None)


@dataclass(frozen=True)
class Figure:
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of this process, a request
    server_cpu_ms: float  # of PostgreSQL, a request


async def measure(
    act: Callable[[int], Awaitable[None]], server: Postgres, *, concurrency: int, duration_s: float
) -> Figure:
    taken_s: list[float] = []
    end = time.perf_counter() + duration_s

    async def caller(number: int) -> None:
        while (began_at := time.perf_counter()) < end:
            await act(number)
            taken_s.append(time.perf_counter() - began_at)

    began, cpu_s, server_cpu_s = time.perf_counter(), time.process_time(), cpu_seconds(server)
    await asyncio.gather(*(caller(number) for number in range(concurrency)))
    elapsed_s, done = time.perf_counter() - began, len(taken_s)
    taken_s.sort()
    return Figure(
        per_s=done / elapsed_s,
        p50_ms=taken_s[done // 2] * 1000,
        p99_ms=taken_s[done * 99 // 100] * 1000,
        cpu_ms=(time.process_time() - cpu_s) / done * 1000,
        server_cpu_ms=(cpu_seconds(server) - server_cpu_s) / done * 1000,
    )


def cpu_seconds(server: Postgres) -> float:
    """Used so far by the server and its processes, those that have ended included."""
    assert server.process is not None
    main = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
    return sum(one.user + one.system for one in times) + times[0].children_user + times[0].children_system


async def run(server: Postgres, concurrency: int, duration_s: float) -> dict[str, Figure]:
    await prepare(server)
    database = connect(settings(server.port, DATABASE))
    chain = AuditChain(database, NoKey(), Memory(), {"software": "bench"})
    ledger = Ledger(database)
    await chain.start()
    role = Role(
        name="analyst",
        template=Template("answer", "sha256:0", ""),
        models=("local",),
        collections=(),
        tools={},
        limits=RoleLimits(1, 1, 1, 1, 1, 1),
        budget=RoleBudget(Decimal(10**6), Decimal(10**6)),
    )
    registration = Registration(
        "document-assistant", "local", "sha256:0", DataClass.INTERNAL, Boundary.SELF_HOSTED,
        {}, ("acme",), {"analyst": role}, "", "", "", "",
    )  # fmt: skip
    count = iter(range(10**9))

    def caller(number: int) -> Caller:
        return Caller("https://identity.example", f"user-{number % USERS}", "acme", ("analyst",), {})

    async def append(_number: int) -> None:
        await chain.append(AuditRecord("intent", f"req-{next(count):032}", BODY))

    async def reserve_and_settle(number: int) -> None:
        reservation = await ledger.reserve(caller(number), registration, role, "req", USD)
        await ledger.settle(reservation, USD / 2)

    async def request(number: int) -> None:
        request_id = f"req-{next(count):032}"
        reservation = await ledger.reserve(caller(number), registration, role, request_id, USD)
        await chain.append(AuditRecord("intent", request_id, BODY))
        await chain.append(AuditRecord("outcome", request_id, BODY))
        await ledger.settle(reservation, USD / 2)

    try:
        return {
            "reference: one commit a record, one connection": await reference(database, server, duration_s),
            "request": await measure(request, server, concurrency=concurrency, duration_s=duration_s),
            "append": await measure(append, server, concurrency=concurrency, duration_s=duration_s),
            "reserve + settle": await measure(
                reserve_and_settle, server, concurrency=concurrency, duration_s=duration_s
            ),
        }
    finally:
        await chain.close()
        await ledger.close()
        await database.close()


async def reference(database: Database, server: Postgres, duration_s: float) -> Figure:
    connection = await database.dedicated()
    statement = "INSERT INTO audit.record (chain, seq, kind, request_id, record, hash) VALUES ($1, $2, $3, $4, $5, $6)"
    numbers = iter(range(10**9))
    text = json.dumps(BODY)

    async def insert(_number: int) -> None:
        chain = "00000000-0000-0000-0000-000000000000"
        await connection.execute(statement, chain, next(numbers), "intent", "req", text, bytes(32))

    try:
        return await measure(insert, server, concurrency=1, duration_s=duration_s)
    finally:
        await connection.close()


async def prepare(server: Postgres) -> None:
    await server.provision()
    await server.create_database(DATABASE)
    await server.install_vector(DATABASE)
    database = connect(settings(server.port, DATABASE, user=OWNER))
    await apply(database, load(DIRECTORY))
    await database.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--concurrency", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=5.0)
    chosen = arguments.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "bench")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "bench")
    server = Postgres(new_folder(), fsync="on")
    server.initialise()
    server.start()
    try:
        figures = uvloop.run(run(server, chosen.concurrency, chosen.seconds))
    finally:
        server.stop()
        remove_folder(server.folder)
    base = next(iter(figures.values())).per_s
    for name, figure in figures.items():
        print(
            f"{name:48} {figure.per_s:8.0f}/s  ×{figure.per_s / base:5.1f}"
            f"  p50 {figure.p50_ms:.2f} p99 {figure.p99_ms:.2f} ms"
            f"  CPU {figure.cpu_ms:.3f} ms, of PostgreSQL {figure.server_cpu_ms:.3f} ms"
        )


if __name__ == "__main__":
    main()
