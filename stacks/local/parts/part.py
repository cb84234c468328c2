"""What the supervisor has to know of a local part, and the sentence it says when one fails."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stacks.local.parts.places import REPOSITORY

INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPYCACHEPREFIX", "TMPDIR", "USER")


class PartError(Exception):
    """A local part cannot run. The message is one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a process. `user` is a numeric id to become first; only root can use it."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = REPOSITORY
    user: int | None = None

    @property
    def complete_environment(self) -> dict[str, str]:
        """A short list is inherited: no AWS credential or proxy of the machine reaches a local part."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, "PYTHONUNBUFFERED": "1", **self.environment}


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the local platform.

    `prepare(fresh)` writes configuration and data: from nothing when fresh, else what is there stays.
    """

    name: str
    title: str
    distribution: str
    module: str
    port: int
    prepare: Callable[[bool], None]
    launch: Callable[[], Launch]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def version(self) -> str:
        return f"{self.distribution} {importlib.metadata.version(self.distribution)}"

    def require_library(self) -> None:
        """Looked up, not imported: some parts take a second to import."""
        if importlib.util.find_spec(self.module) is None:
            raise PartError(
                f"{self.title} needs the package {self.distribution}, which is not installed: run `make tools`"
            )
