"""The local parts, started once for the tests of this folder, in a folder and on ports of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.local.parts.local_parts import local_supervisor
from stacks.local.parts.places import REPOSITORY, Places
from tests.stacks.local.parts.running_parts import RunningParts, free_addresses


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    """Below build/, as a real run: pytest's own folders are closed to the user PostgreSQL runs as under root."""
    (REPOSITORY / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="parts-", dir=REPOSITORY / "build") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def running(root: Path) -> Iterator[RunningParts]:
    places, addresses = Places(root), free_addresses()
    supervisor = local_supervisor(places, addresses)
    supervisor.start_all()
    try:
        yield RunningParts(places, addresses, supervisor)
    finally:
        supervisor.stop_all()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, one of them runs this folder, so that the parts start once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("local-parts"))
