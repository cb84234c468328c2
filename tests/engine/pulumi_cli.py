"""The real `pulumi`, with state in a folder, our provider attached, and nothing of the user's account."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKS = tuple(REPOSITORY / "policy_packs" / name for name in ("baseline_security", "llm_guardrails"))
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Pulumi:
    """One backend folder; every call of it is judged by both packs."""

    home: Path
    provider_ports: Mapping[str, int]
    """Package → port of the provider attached for it."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Variables that stand for options: `PULUMI_OPTION_…`."""

    def __call__(self, program: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=program,
            env={**self._environment(), **self.options},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        if check and done.returncode:
            raise AssertionError(f"pulumi {' '.join(arguments)}: code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def _environment(self) -> dict[str, str]:
        uv = REPOSITORY / ".tools" / "uv" / "bin"
        return {
            "HOME": os.environ.get("HOME", str(self.home)),
            "PATH": os.pathsep.join([os.environ["PATH"], str(uv)]),
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{self.home}",
            "PULUMI_CONFIG_PASSPHRASE": "only for this test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{port}" for name, port in self.provider_ports.items()),
            # The engine lets uv look at the environment before each start; it is complete, and others use it.
            "UV_FROZEN": "1",
            "UV_OFFLINE": "1",
        }


@contextmanager
def attached_provider(*arguments: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Our provider in a process of its own; yields its port."""
    command = [sys.executable, "-m", "stacks.local.provider.serve", *arguments]
    inherited = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env={**inherited, **environment}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@contextmanager
def planted_program(text: str) -> Iterator[Path]:
    """Below the repository, because `toolchain: uv` looks for the lock in the folders above."""
    (REPOSITORY / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder:
        program = Path(folder)
        (program / "Pulumi.yaml").write_text("name: planted\nruntime: {name: python, options: {toolchain: uv}}\n")
        (program / "__main__.py").write_text(text)
        yield program


def policy_options(packs: Sequence[Path] = PACKS) -> list[str]:
    return [option for pack in packs for option in ("--policy-pack", str(pack))]


def is_installed() -> bool:
    return shutil.which("pulumi") is not None
