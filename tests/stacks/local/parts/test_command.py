"""`python -m stacks.local.parts` tells the truth in its table and in its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stacks.local.parts.__main__ import main
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.local_parts import Options, local_parts
from stacks.local.parts.part import PartError
from stacks.local.parts.places import REPOSITORY, Places
from tests.stacks.local.parts.running_parts import RunningParts


def test_status_lists_every_part_with_its_address(running: RunningParts) -> None:
    command = [sys.executable, "-m", "stacks.local.parts", "status", "--root", str(running.places.root)]
    done = subprocess.run(command, cwd=REPOSITORY, env={"COLUMNS": "160"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for part in local_parts(running.places, running.addresses, Options()):
        assert part.title in done.stdout
        assert f"127.0.0.1:{part.port}" in done.stdout


def test_status_of_nothing_is_not_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--root", str(tmp_path)]) == 1
    assert "127.0.0.1" not in capsys.readouterr().out


def test_stopping_nothing_is_success_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "stopped: nothing ran\n"


def test_start_beside_a_running_platform_names_the_taken_port(
    running: RunningParts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offset = running.addresses.gateway - Addresses.default().gateway
    assert main(["start", "--root", str(tmp_path), "--port-offset", str(offset)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        f"port {running.addresses.postgresql}, where PostgreSQL with pgvector listens, is taken by"
    )
    assert all(row.state == "runs" for row in running.supervisor.status())


def test_all_parts_together_stay_below_3_gib(running: RunningParts) -> None:
    rows = running.supervisor.status()
    assert 100 < sum(row.rss_mib for row in rows) < 3 * 1024


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http:///v1"])
def test_model_url_that_is_no_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(PartError, match="MODEL_URL must be the base URL of an OpenAI-compatible server"):
        local_parts(Places(tmp_path), Addresses.default(), Options(model_url=url))


def test_own_model_server_takes_the_place_of_the_packaged_one(tmp_path: Path) -> None:
    places, addresses = Places(tmp_path), Addresses.default()
    packaged = [part.name for part in local_parts(places, addresses, Options())]
    own = {part.name: part for part in local_parts(places, addresses, Options(model_url="http://127.0.0.1:9/v1"))}
    assert set(packaged) - set(own) == {"model-server"}
    assert "http://127.0.0.1:9/v1" in own["model"].launch().command
