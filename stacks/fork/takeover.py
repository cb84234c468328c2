"""Takeover: a template has changed, and a fork that was changed as well follows it without losing either.

Each file has three versions: as it was written (kept in the fork's `.fork/`), as the team has it now, and as
the template would write it now. `git merge-file` joins them; where both changed the same lines, the file gets
the usual conflict marks and is named.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

KEPT = ".fork"


class Change(StrEnum):
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    TAKEN_OVER = "taken over"
    JOINED = "joined with your changes"
    CONFLICT = "conflict: both changed the same lines"
    REMOVED_BY_YOU = "removed by you, left out"


@dataclass(frozen=True, slots=True)
class Outcome:
    file: Path
    change: Change


def take_over(root: Path, folder: Path, files: Mapping[Path, str]) -> list[Outcome]:
    """Writes `files` below `root` as their versions demand, and keeps them in `folder`/.fork for the next time."""
    outcomes = [_take_over(root, folder, file, text) for file, text in files.items()]
    for file, text in files.items():
        _write(kept(root, folder, file), text)
    return outcomes


def kept(root: Path, folder: Path, file: Path) -> Path:
    """Where the version is kept that was written last."""
    # The suffix keeps what was written away from whatever looks for Python, YAML or stacks.
    return root / folder / KEPT / f"{'__'.join(file.parts[-2:])}.written"


def _take_over(root: Path, folder: Path, file: Path, wanted: str) -> Outcome:
    target, base = root / file, kept(root, folder, file)
    if not base.is_file():
        if target.is_file():
            return Outcome(file, _joined(target, "", wanted))
        _write(target, wanted)
        return Outcome(file, Change.WRITTEN)
    if not target.is_file():
        return Outcome(file, Change.REMOVED_BY_YOU)
    return Outcome(file, _joined(target, base.read_text(encoding="utf-8"), wanted))


def _joined(target: Path, base: str, wanted: str) -> Change:
    present = target.read_text(encoding="utf-8")
    if wanted in (base, present):
        return Change.UNCHANGED
    if present == base:
        _write(target, wanted)
        return Change.TAKEN_OVER
    text, conflicts = _merged(present, base, wanted)
    _write(target, text)
    return Change.CONFLICT if conflicts else Change.JOINED


def _merged(present: str, base: str, wanted: str) -> tuple[str, bool]:
    versions = {"yours": present, "as written": base, "template": wanted}
    with TemporaryDirectory() as folder:
        for name, text in versions.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        labels = [argument for name in versions for argument in ("-L", name)]
        run = subprocess.run(  # noqa: S603 - fixed arguments, files of our own
            ["git", "merge-file", "-p", *labels, *versions],  # noqa: S607 - git of the machine
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode < 0 or run.returncode > 127:
        raise OSError(f"git merge-file failed: {run.stderr.strip()}")
    return run.stdout, run.returncode > 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
