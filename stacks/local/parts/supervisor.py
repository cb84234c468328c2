"""Starts the local parts side by side, waits until they serve, and ends all of them, also from another command."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

import psutil

from stacks.local.parts import ports, processes
from stacks.local.parts.part import Part, PartError
from stacks.local.parts.places import Places
from stacks.local.parts.processes import Record

READY_DEADLINE_S = 180.0  # for a busy machine: whoever waits goes on as soon as they serve
POLL_S = 0.05
MIB = 1024 * 1024


class Interrupted(BaseException):
    """SIGTERM came while parts were starting. Like KeyboardInterrupt, no error handler may swallow it."""


@dataclass(frozen=True, slots=True)
class Status:
    """One row of the table: what runs where, and what it costs."""

    name: str
    title: str
    version: str
    address: str
    pid: int
    state: str
    rss_mib: float
    ready_s: float


class Supervisor:
    """Owns the processes of one root folder. Any number of commands may look at the same root."""

    def __init__(self, parts: Sequence[Part], places: Places) -> None:
        self._parts = {one.name: one for one in parts}
        self._places = places

    def start_all(
        self, *, deadline_s: float = READY_DEADLINE_S, on_ready: Callable[[Status], None] | None = None
    ) -> list[Status]:
        """Starts everything anew, from empty data. What an earlier run left running in this root ends first."""
        stop_recorded(self._places)
        for part in self._parts.values():
            part.require_library()
        self._require_free_ports(list(self._parts.values()))
        self._clear()
        with _terminated_as_interrupt():
            try:
                return self._start_together(list(self._parts.values()), deadline_s, on_ready)
            except BaseException:  # interrupted or failed: nothing half-started stays
                stop_recorded(self._places)
                raise

    def start(self, name: str, *, deadline_s: float = READY_DEADLINE_S) -> Status:
        """Starts one part again on the data it had."""
        part = self._part(name)
        if self._record(name) is not None:
            raise PartError(f"{part.title} already runs")
        part.require_library()
        self._require_free_ports([part])
        return self._start(part, time.monotonic() + deadline_s, threading.Event(), fresh=False)

    def stop(self, name: str) -> None:
        """Ends one part; its files stay, what it held in memory (AWS, Valkey) is gone."""
        part = self._part(name)
        path = self._places.record(name)
        record = Record.read(path)
        if record is not None:
            processes.end(record.identity, record.stop_signal)
        path.unlink(missing_ok=True)
        if ports.accepts(part.port):
            raise PartError(f"port {part.port} still answers after {part.title} was stopped: {ports.holder(part.port)}")

    def kill(self, name: str) -> None:
        """Ends one part as a crash would: no signal it could prepare for."""
        record = self._running(name)
        processes.end(record.identity, signal.SIGKILL)
        self._places.record(name).unlink(missing_ok=True)

    def pause(self, name: str) -> None:
        """Freezes a part: calls hang instead of being refused, and what it holds in memory stays.

        For AWS this is the only outage that can heal with its state: moto keeps everything in memory, so a
        refused connection (`stop`, `kill`) loses all buckets and keys.
        """
        processes.pause(self._running(name).identity)

    def resume(self, name: str) -> None:
        processes.resume(self._running(name).identity)

    def stop_all(self) -> list[str]:
        return stop_recorded(self._places)

    def status(self) -> list[Status]:
        return status(self._places)

    def _start_together(
        self, parts: list[Part], deadline_s: float, on_ready: Callable[[Status], None] | None
    ) -> list[Status]:
        """Starts each part in a thread of its own. When one fails, or we are interrupted, the others stop waiting."""
        given_up = threading.Event()
        deadline = time.monotonic() + deadline_s
        with ThreadPoolExecutor(len(parts)) as pool:
            try:
                starting = [pool.submit(self._start, part, deadline, given_up, fresh=True) for part in parts]
                for future in as_completed(starting):
                    ready = future.result()
                    if on_ready is not None:
                        on_ready(ready)
                return [future.result() for future in starting]
            finally:
                given_up.set()  # the pool is left only when its threads are done, and with it what they started known

    def _start(self, part: Part, deadline: float, given_up: threading.Event, *, fresh: bool) -> Status:
        started = time.monotonic()
        record = self._launch(part, fresh=fresh)
        while not part.is_ready():
            if record.identity.leader() is None:
                raise PartError(f"{part.title} ended while starting: {self._last_words(part.name)}")
            if time.monotonic() > deadline or given_up.is_set():
                raise PartError(f"{part.title} did not serve in time: {self._last_words(part.name)}")
            time.sleep(POLL_S)
        ready = replace(record, ready_s=round(time.monotonic() - started, 2))
        ready.write(self._places.record(part.name))
        return _status(ready)

    def _launch(self, part: Part, *, fresh: bool) -> Record:
        self._places.make()
        part.prepare(fresh)
        started = processes.spawn(part.launch(), self._places.log(part.name))
        record = Record(part.name, part.title, part.version, part.port, started.pid, started.created, part.stop_signal)
        record.write(self._places.record(part.name))
        return record

    def _last_words(self, name: str) -> str:
        path = self._places.log(name)
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        said = [line.strip() for line in lines if line.strip()]
        return f"{said[-1] if said else 'it said nothing'} (log: {path})"

    def _require_free_ports(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if not ports.is_free(part.port):
                raise PartError(
                    f"port {part.port}, where {part.title} listens, is taken by {ports.holder(part.port)}: end it first"
                )

    def _clear(self) -> None:
        for folder in (self._places.root / "data", self._places.logs, self._places.run):
            try:
                shutil.rmtree(folder, ignore_errors=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PartError(f"what an earlier run left cannot be removed: {error}") from error

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            raise PartError(f"there is no part {name!r}; the parts are {', '.join(self._parts)}")
        return self._parts[name]

    def _record(self, name: str) -> Record | None:
        record = Record.read(self._places.record(name))
        return record if record is not None and record.identity.leader() is not None else None

    def _running(self, name: str) -> Record:
        part = self._part(name)
        record = self._record(name)
        if record is None:
            raise PartError(f"{part.title} does not run")
        return record


def records(places: Places) -> list[Record]:
    found = (Record.read(path) for path in sorted(places.run.glob("*.pid")))
    return [record for record in found if record is not None]


def stop_recorded(places: Places) -> list[str]:
    """Ends everything that a record in this root names, whoever started it; returns the names that ran."""
    known = records(places)
    running = [record.name for record in known if record.identity.members()]
    with ThreadPoolExecutor(max(1, len(known))) as pool:
        list(pool.map(lambda one: processes.end(one.identity, one.stop_signal), known))
    for record in known:
        places.record(record.name).unlink(missing_ok=True)
    return running


def status(places: Places) -> list[Status]:
    return [_status(record) for record in records(places)]


def _status(record: Record) -> Status:
    leader = record.identity.leader()
    state = "dead" if leader is None else "paused" if leader.status() == psutil.STATUS_STOPPED else "runs"
    memory_mib = sum(_rss_bytes(one) for one in record.identity.members()) / MIB
    address = f"127.0.0.1:{record.port}"
    return Status(
        record.name, record.title, record.version, address, record.pid, state, round(memory_mib, 1), record.ready_s
    )


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # ended meanwhile


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """While parts start, SIGTERM is an exception, so that what was started is ended before we go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted("terminated while the parts were starting")

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
