"""The check before every start, in this order, each step worth nothing without the one before:

1. the manifest is signed by the intake key;
2. it is the manifest of this model, this revision and, where configured, this very digest: an older one, once
   rightly signed, would be a way back to a model with known faults;
3. the folder holds exactly its files, each with its hash, none of them code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.model_weights.bundle import Problem, read
from services.model_weights.manifest import MANIFEST_BYTES_MAX, File, Manifest, ManifestError, parse
from services.model_weights.names import MANIFEST, SIGNATURE
from services.model_weights.signature import PublicKey, SignatureError

SIGNATURE_BYTES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Expected:
    """What the configuration says is to be served."""

    model: str
    revision: str
    manifest_sha256: str = ""  # empty: any signed manifest of that model and revision


@dataclass(frozen=True, slots=True)
class Verdict:
    manifest: Manifest | None
    problems: tuple[Problem, ...]


def verify(folder: Path, expected: Expected, key: PublicKey) -> Verdict:
    try:
        manifest = _signed_manifest(folder, key)
        _require_expected(manifest, expected)
    except (SignatureError, ManifestError) as error:
        return Verdict(None, (Problem(MANIFEST, f"is refused: {error}"),))
    found = read(folder)
    refused = {problem.path for problem in found.problems}
    differences = _differences(manifest.files, found.files, refused)
    return Verdict(manifest, tuple(sorted((*found.problems, *differences))))


def _signed_manifest(folder: Path, key: PublicKey) -> Manifest:
    """Parsed before it is verified, since the text that is signed is made of it; used only after."""
    manifest = parse(_own_file(folder / MANIFEST, MANIFEST_BYTES_MAX))
    key.require(manifest.signed_text(), _own_file(folder / SIGNATURE, SIGNATURE_BYTES_MAX))
    return manifest


def _own_file(path: Path, bytes_max: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ManifestError(f"{path.name} is not here")
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ManifestError(f"{path.name} has more than {bytes_max} bytes")
    return content


def _require_expected(manifest: Manifest, expected: Expected) -> None:
    for name, stated, wanted in (
        ("model", manifest.model, expected.model),
        ("revision", manifest.revision, expected.revision),
        ("sha256", manifest.sha256(), expected.manifest_sha256 or manifest.sha256()),
    ):
        if stated != wanted:
            raise ManifestError(f"{name} must be {wanted} (got {stated})")


def _differences(listed: tuple[File, ...], found: tuple[File, ...], refused: set[str]) -> list[Problem]:
    """`refused` have a problem already, which says more than a hash."""
    wanted = {file.path: file for file in listed}
    here = {file.path: file for file in found}
    problems = [Problem(path, "is not in the manifest") for path in here.keys() - wanted.keys()]
    problems += [Problem(path, "is missing") for path in wanted.keys() - here.keys() - refused]
    for path in here.keys() & wanted.keys():
        if here[path] != wanted[path]:
            problems.append(Problem(path, "was changed: its size or SHA-256 is not the manifest's"))
    return problems
