"""A folder of model files as it is: every entry judged, every file read once for its content and its hash.

Symbolic links are never followed, so nothing outside the folder is read. The folder must be one that nobody else
writes to while it is checked, and that the model server can only read: otherwise what was checked is not what is
loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from services.model_weights.content import BY_SUFFIX, Refused
from services.model_weights.manifest import File
from services.model_weights.names import OWN, objection
from services.model_weights.safetensors_header import NotSafetensors, require_safetensors

READERS = min(16, 4 * (os.cpu_count() or 1))  # hashing releases the interpreter's lock; disks like a queue


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Why a file, or the bundle as a whole (`path` is then `.`), is refused."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


@dataclass(frozen=True, slots=True)
class Read:
    """What a folder holds."""

    files: tuple[File, ...]
    problems: tuple[Problem, ...]


def read(folder: Path) -> Read:
    """All files with their hashes, and all that is wrong with them."""
    files: list[File] = []
    problems: list[Problem] = []
    readable: list[str] = []
    for path, why in _entries(folder, ""):
        if why is None:
            readable.append(path)
        else:
            problems.append(Problem(path, why))
    with ThreadPoolExecutor(READERS) as readers:
        for path, outcome in zip(readable, readers.map(lambda path: _read_file(folder, path), readable), strict=True):
            if isinstance(outcome, File):
                files.append(outcome)
            else:
                problems.append(Problem(path, outcome))
    problems += _whole_problems(folder, set(readable))
    return Read(tuple(sorted(files)), tuple(sorted(problems)))


def _entries(folder: Path, inside: str) -> Iterator[tuple[str, str | None]]:
    """Every entry that is not a folder, with an objection to its name or kind."""
    with os.scandir(folder / inside) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_symlink():
                yield path, "is a symbolic link"
            elif entry.is_dir(follow_symlinks=False):
                too_deep = objection(f"{path}/a.json")
                if too_deep is None:
                    yield from _entries(folder, path)
                else:
                    yield path, too_deep
            elif not entry.is_file(follow_symlinks=False):
                yield path, "is not a regular file"
            elif path not in OWN:
                yield path, objection(path)


def _read_file(folder: Path, path: str) -> File | str:
    """The file as a manifest would list it, or what is wrong with it."""
    try:
        # Not blocking and not following: it may have become a pipe or a link since it was listed.
        number = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be read: {os.strerror(error.errno or 0)}"
    with open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        try:
            if path.endswith(".safetensors"):
                require_safetensors(file, status.st_size)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return File(path, file.tell(), digest)
            judge, bytes_max = BY_SUFFIX[path.rpartition(".")[2]]
            content = file.read(bytes_max + 1)
            if len(content) > bytes_max:
                return f"has more than {bytes_max} bytes"
            judge(content)
        except (Refused, NotSafetensors) as refused:
            return str(refused)
    return File(path, len(content), hashlib.sha256(content).hexdigest())


def _whole_problems(folder: Path, paths: set[str]) -> list[Problem]:
    """What no single file shows."""
    problems = []
    if "config.json" not in paths:
        problems.append(Problem(".", "has no config.json"))
    if not any(path.endswith(".safetensors") for path in paths):
        problems.append(Problem(".", "has no *.safetensors"))
    for index in sorted(path for path in paths if path.endswith(".safetensors.index.json")):
        problems += [Problem(index, f"names {shard!r}, which is not here") for shard in _shards(folder / index) - paths]
    return problems


def _shards(index: Path) -> set[str]:
    """Shards that an index names; none when it is no index, of which its own judgement tells."""
    try:
        weights = json.loads(index.read_bytes())["weight_map"]
        return {str(shard) for shard in weights.values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"(no weight_map)"}
