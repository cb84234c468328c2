"""The list of a model's files, in one byte form, so that a signature over it means one thing.

Canonical: JSON in ASCII, keys sorted, no white space, files sorted by path. What is signed is a short text that
holds the SHA-256 of those bytes: a list of many shards is longer than the 4,096 bytes that KMS signs
(https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from services.model_weights.names import OWN, objection

VERSION = 1
FILES_MAX = 10_000
MANIFEST_BYTES_MAX = 4 << 20

_PURPOSE = b"llm-pipelines model weights manifest 1\n"  # no other signature of the same key can stand for this one
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(Exception):
    """The manifest is not one, or not the one that was asked for."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    model: str
    revision: str
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        if not _MODEL.fullmatch(self.model):
            raise ManifestError(f"model must be name or organization/name (got {self.model!r})")
        if not _REVISION.fullmatch(self.revision):
            # A branch or a tag may say something else tomorrow.
            raise ManifestError(f"revision must be a commit of 40 or 64 hexadecimal digits (got {self.revision!r})")
        if not 1 <= len(self.files) <= FILES_MAX:
            raise ManifestError(f"files must be 1 to {FILES_MAX} (got {len(self.files)})")
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)):
            raise ManifestError("files must be sorted by path, each once")

    def canonical(self) -> bytes:
        document = {**asdict(self), "version": VERSION}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    def sha256(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()

    def signed_text(self) -> bytes:
        return _PURPOSE + self.sha256().encode("ascii") + b"\n"


def parse(content: bytes) -> Manifest:
    """A manifest from its canonical bytes, and from no others."""
    if len(content) > MANIFEST_BYTES_MAX:
        raise ManifestError(f"a manifest has at most {MANIFEST_BYTES_MAX} bytes (got {len(content)})")
    try:
        document = json.loads(content)
        if document.pop("version") != VERSION:
            raise ManifestError(f"version must be {VERSION}")
        files = tuple(_file(one) for one in document.pop("files"))
        manifest = Manifest(model=document.pop("model"), revision=document.pop("revision"), files=files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {type(error).__name__}") from None
    if manifest.canonical() != content:
        raise ManifestError("not in canonical form: it was not written by `model-weights sign`, or was changed")
    return manifest


def _file(entry: dict[str, Any]) -> File:
    file = File(**entry)
    if type(file.path) is not str or file.path in OWN:
        raise ManifestError(f"{file.path!r} is not the path of a model's file")
    if (why := objection(file.path)) is not None:
        raise ManifestError(f"{file.path!r} {why}")
    if type(file.bytes) is not int or file.bytes < 0:
        raise ManifestError(f"{file.path!r}: bytes must be a whole number")
    if type(file.sha256) is not str or not _SHA256.fullmatch(file.sha256):
        raise ManifestError(f"{file.path!r}: sha256 must be 64 hexadecimal digits")
    return file
