"""Each program starts as the engine starts it: from its own folder, with nothing else on the path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stacks.configurations import CLUSTER, ORGANIZATION, PLATFORM, WORKLOAD

# What Pulumi's language host does, up to the first configuration value, which is not there.
START = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("program", [PLATFORM, CLUSTER, WORKLOAD, ORGANIZATION], ids=lambda path: path.name)
def test_a_program_starts_from_its_folder_with_a_clean_path(program: Path, tmp_path: Path) -> None:
    started = subprocess.run(
        [sys.executable, "-I", "-c", START, str(program)],
        cwd=program,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert started.stdout.startswith("ConfigMissingError"), started.stdout + started.stderr


@pytest.mark.parametrize("program", [PLATFORM, CLUSTER, WORKLOAD, ORGANIZATION], ids=lambda path: path.name)
def test_no_file_beside_a_program_shadows_the_standard_library(program: Path) -> None:
    modules = {path.stem for path in program.iterdir()}

    assert modules & set(sys.stdlib_module_names) <= {"__main__"}
