"""Processes that outlive the command that started them, and how a later command ends exactly those.

A pid alone names nobody: numbers are used again. The identity is pid and creation time, and the members
of a part are the processes of its session, because a session's number is not given away while it lives.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from stacks.local.parts.part import Launch

PROC = Path("/proc")
POLL_S = 0.02
BURIAL_S = 3.0
ORPHANS_GRACE_S = 1.0  # what a process started should end with it
DEATH_S = 10.0  # of who was killed: the kernel frees what it held in its own time

_children: dict[int, subprocess.Popen[bytes]] = {}  # of this command, until they end


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        return cls(pid, created_s(psutil.Process(pid)))

    def is_held_by(self, process: psutil.Process) -> bool:
        return process.pid == self.pid and created_s(process) == self.created

    def leader(self) -> psutil.Process | None:
        """The live process itself; None when it ended or another one has its number now."""
        try:
            process = psutil.Process(self.pid)
            return process if self.is_held_by(process) and is_alive(process) else None
        except psutil.NoSuchProcess:
            return None

    def members(self) -> list[psutil.Process]:
        """The process, its live descendants (PostgreSQL's lead sessions of their own), and its session."""
        try:
            holder = psutil.Process(self.pid)
            if not self.is_held_by(holder):
                return []  # the number belongs to a stranger, so the session is gone
            descendants = [one for one in holder.children(recursive=True) if is_alive(one)]
        except psutil.NoSuchProcess:
            descendants = []  # the leader ended; what it started in its session may still run
        return list({one.pid: one for one in (*self._session(), *descendants)}.values())

    def _session(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                is_ours = os.getsid(process.pid) == self.pid
                if is_ours and created_s(process) >= self.created and is_alive(process):
                    yield process
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue  # ended meanwhile, or not ours to look at


def created_s(process: psutil.Process) -> float:
    """When the process was created: on Linux in seconds since the machine was started. NoSuchProcess when it ended.

    psutil adds the time of day at which the machine was started. That is another whenever the clock is corrected or a
    virtual machine was halted, and the same process would be taken for a stranger.
    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (starttime)
    """
    if not (PROC / "self").exists():
        return process.create_time()
    try:
        fields = (PROC / str(process.pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None
    return int(fields.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Record:
    """The pid file of a started part: enough to judge, show and end it from another command."""

    name: str
    title: str
    version: str
    port: int
    pid: int
    created: float
    stop_signal: int
    ready_s: float = 0.0

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.created)

    def write(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # never written completely: nobody was promised that it runs


def spawn(launch: Launch, log: Path) -> Identity:
    """Starts a process in a session of its own, so that Ctrl-C at the terminal reaches us and not it."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            launch.command,
            env=launch.complete_environment,
            cwd=launch.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=launch.user,
            group=launch.user,
            extra_groups=None if launch.user is None else [],
        )
    _children[child.pid] = child
    return Identity.of(child.pid)


def run(launch: Launch, text: str = "", descriptors: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs a short command to its end and returns what it said."""
    return subprocess.run(
        launch.command,
        env=launch.complete_environment,
        cwd=launch.folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        user=launch.user,
        group=launch.user,
        extra_groups=None if launch.user is None else [],
        pass_fds=descriptors,
    )


def end(identity: Identity, stop_signal: int = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Asks the process to end, then ends whatever is left of its session."""
    members = identity.members()
    leader = identity.leader()
    if leader is not None:
        _signal(leader, stop_signal)
        _signal(leader, signal.SIGCONT)  # a paused process cannot obey
        _wait([leader], grace_s)
    for process in _wait(members, ORPHANS_GRACE_S) + identity.members():
        _signal(process, signal.SIGKILL)
    _wait(members, DEATH_S)
    _reap(identity.pid)
    _await_burial(identity)


def _await_burial(identity: Identity) -> None:
    """Waits until init has buried an orphan of an earlier command: PostgreSQL takes a zombie for a running server."""
    deadline = time.monotonic() + BURIAL_S
    while _lies_in_state(identity) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _lies_in_state(identity: Identity) -> bool:
    try:
        process = psutil.Process(identity.pid)
        return identity.is_held_by(process) and process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pause(identity: Identity) -> None:
    """Freezes every member; returns when they are frozen, which the kernel does in its own time."""
    for process in identity.members():
        _signal(process, signal.SIGSTOP)
        while is_alive(process) and process.status() != psutil.STATUS_STOPPED:
            time.sleep(POLL_S)


def resume(identity: Identity) -> None:
    for process in identity.members():
        _signal(process, signal.SIGCONT)


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead: it only waits for its parent, which we may be. With threads left it still holds its ports."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            return bool(process.is_running())
        _reap(process.pid)
    except psutil.NoSuchProcess:
        return False
    return False


def _wait(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Waits until all ended or time is up; returns those that live."""
    deadline = time.monotonic() + timeout_s
    alive = [one for one in processes if is_alive(one)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_S)
        alive = [one for one in alive if is_alive(one)]
    return alive


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it ended by itself, which is what was wanted


def _reap(pid: int) -> None:
    """Takes note of the end of our own child; somebody else's is theirs to bury."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
