"""What is started is ended, nothing else is, and every failure is one sentence that says what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stacks.local.parts import ports, processes
from stacks.local.parts.part import Launch, PartError
from stacks.local.parts.places import REPOSITORY, Places
from stacks.local.parts.processes import Identity, Record
from stacks.local.parts.supervisor import Supervisor, records, stop_recorded
from tests.stacks.local.parts.running_parts import free_addresses
from tests.stacks.local.parts.small_part import DIES, PARENT, SLEEPS, STUBBORN, small_part


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def first_port() -> int:
    return free_addresses().gateway


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # an orphan may be buried at any time
        return False


def test_start_and_stop_leave_no_process_and_no_open_port(places: Places, first_port: int) -> None:
    parts = [small_part("one", first_port, places.root), small_part("two", first_port + 1, places.root)]
    supervisor = Supervisor(parts, places)
    started = supervisor.start_all()
    assert [row.state for row in started] == ["runs", "runs"]
    assert supervisor.stop_all() == ["one", "two"]
    assert living([row.pid for row in started]) == []
    assert ports.is_free(first_port)
    assert ports.is_free(first_port + 1)
    assert list(places.run.iterdir()) == []


def test_another_command_ends_what_this_one_started(places: Places, first_port: int) -> None:
    part = small_part("one", first_port, places.root)
    (row,) = Supervisor([part], places).start_all()
    assert Supervisor([part], places).stop_all() == ["one"]
    assert living([row.pid]) == []


def test_starting_twice_replaces_the_first_run(places: Places, first_port: int) -> None:
    part = small_part("one", first_port, places.root)
    (first,) = Supervisor([part], places).start_all()
    supervisor = Supervisor([part], places)
    (second,) = supervisor.start_all()
    assert living([first.pid, second.pid]) == [second.pid]
    supervisor.stop_all()


def test_recycled_pid_is_not_ended(places: Places) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        created = Identity.of(bystander.pid).created
        places.make()
        record = Record("one", "Small one", "1", 1, bystander.pid, created - 3600, signal.SIGTERM)
        record.write(places.record("one"))
        assert stop_recorded(places) == []
        assert bystander.poll() is None
        assert not places.record("one").exists()
        replace(record, created=created).write(places.record("one"))
        assert stop_recorded(places) == ["one"]  # the twin: with its own creation time it is ended
        assert bystander.wait(60) == -signal.SIGTERM
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("corrected_by_s", [-3600.0, 3600.0])
def test_a_corrected_clock_makes_nobody_a_stranger(
    places: Places, first_port: int, corrected_by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = Supervisor([small_part("one", first_port, places.root)], places).start_all()
    before = psutil.Process(row.pid).create_time()
    started_at = psutil.boot_time() + corrected_by_s  # both times of day move with the clock
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: started_at)
    assert psutil.Process(row.pid).create_time() - before == pytest.approx(corrected_by_s, abs=2)
    assert stop_recorded(places) == ["one"]
    assert living([row.pid]) == []


def test_taken_port_is_named_before_anything_starts(places: Places, first_port: int) -> None:
    parts = [small_part("one", first_port, places.root), small_part("two", first_port + 1, places.root)]
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first_port + 1))
        squatter.listen()
        with pytest.raises(PartError) as refused:
            Supervisor(parts, places).start_all()
    assert f"port {first_port + 1}, where Small two listens, is taken by process {os.getpid()}" in str(refused.value)
    assert not (places.root / "data" / "one" / "started").exists()


def test_missing_library_names_package_and_command(places: Places, first_port: int) -> None:
    part = small_part("one", first_port, places.root, module="no_such_module_at_all")
    with pytest.raises(PartError, match="needs the package pytest, which is not installed: run `make tools`"):
        Supervisor([part], places).start_all()


def test_dead_part_is_reported_with_its_last_words_and_takes_the_others_with_it(
    places: Places, first_port: int
) -> None:
    parts = [small_part("one", first_port, places.root), small_part("two", first_port + 1, places.root, DIES)]
    with pytest.raises(PartError, match=r"Small two ended while starting: the key is missing \(log: .*two\.log\)"):
        Supervisor(parts, places).start_all()
    assert ports.is_free(first_port)
    assert list(places.run.glob("*.pid")) == []


def test_part_that_never_serves_is_given_up(places: Places, first_port: int) -> None:
    part = small_part("one", first_port, places.root, SLEEPS)

    def is_ready() -> bool:
        """Never; answered when the program has had the time to say what it does."""
        await_until(lambda: "still loading" in places.log("one").read_text())
        return False

    with pytest.raises(PartError, match="Small one did not serve in time: still loading"):
        Supervisor([replace(part, is_ready=is_ready)], places).start_all(deadline_s=0.8)
    assert list(places.run.glob("*.pid")) == []


def test_part_that_ignores_the_request_to_end_is_killed(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root, STUBBORN)], places)
    (row,) = supervisor.start_all()
    processes.end(Identity.of(row.pid), signal.SIGTERM, grace_s=0.3)
    assert living([row.pid]) == []
    supervisor.stop_all()


def test_children_of_a_part_end_with_it(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root, PARENT)], places)
    (row,) = supervisor.start_all()
    family = [row.pid, *(child.pid for child in psutil.Process(row.pid).children())]
    assert len(family) == 2
    supervisor.stop_all()
    assert living(family) == []


def test_children_of_a_killed_part_end_too(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root, PARENT)], places)
    (row,) = supervisor.start_all()
    (child,) = psutil.Process(row.pid).children()
    os.kill(row.pid, signal.SIGKILL)
    supervisor.stop_all()
    assert living([row.pid, child.pid]) == []


def test_killed_part_is_shown_dead_and_starts_again_on_its_data(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root)], places)
    supervisor.start_all()
    kept = places.data("one") / "kept"
    kept.touch()
    supervisor.kill("one")
    assert ports.is_free(first_port)
    assert supervisor.start("one").state == "runs"
    assert kept.exists()
    supervisor.start_all()
    assert not kept.exists()  # the twin: a start of the whole platform begins from nothing
    supervisor.stop_all()


def test_paused_part_hangs_and_resumes(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root)], places)
    supervisor.start_all()
    supervisor.pause("one")
    assert [row.state for row in supervisor.status()] == ["paused"]
    supervisor.resume("one")
    assert [row.state for row in supervisor.status()] == ["runs"]
    supervisor.pause("one")
    assert supervisor.stop_all() == ["one"]  # a paused part can be ended, too
    assert ports.is_free(first_port)


@pytest.mark.parametrize("command", ["start", "stop", "kill", "pause", "resume"])
def test_unknown_part_is_refused_with_the_known_ones(places: Places, first_port: int, command: str) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root)], places)
    with pytest.raises(PartError, match="there is no part 'oen'; the parts are one"):
        getattr(supervisor, command)("oen")


def test_part_that_does_not_run_cannot_be_paused_nor_started_twice(places: Places, first_port: int) -> None:
    supervisor = Supervisor([small_part("one", first_port, places.root)], places)
    with pytest.raises(PartError, match="Small one does not run"):
        supervisor.pause("one")
    supervisor.start_all()
    with pytest.raises(PartError, match="Small one already runs"):
        supervisor.start("one")
    supervisor.stop_all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_start_ends_what_it_started(places: Places, first_port: int, number: int) -> None:
    program = textwrap.dedent(f"""
        from pathlib import Path
        from stacks.local.parts.places import Places
        from stacks.local.parts.supervisor import Supervisor
        from tests.stacks.local.parts.small_part import SLEEPS, small_part
        places = Places(Path({str(places.root)!r}))
        parts = [small_part("one", {first_port}, places.root), small_part("two", {first_port + 1}, places.root, SLEEPS)]
        Supervisor(parts, places).start_all()
    """)
    starting = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    pids = _recorded(places, 2)
    starting.send_signal(number)
    assert starting.wait(60) != 0
    assert living(pids) == []
    assert list(places.run.glob("*.pid")) == []


def _recorded(places: Places, wanted: int) -> list[int]:
    await_until(lambda: len(records(places)) == wanted)
    return [record.pid for record in records(places)]


def await_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_half_written_record_names_nobody(places: Places) -> None:
    places.make()
    places.record("one").write_text('{"name": "one", "pid":')
    assert Record.read(places.record("one")) is None
    assert stop_recorded(places) == []


def test_no_credential_of_the_machine_reaches_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the developer")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    environment = Launch(("true",), {"WANTED": "yes"}).complete_environment
    assert environment["WANTED"] == "yes"
    assert environment["PATH"]
    assert not {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"} & set(environment)
