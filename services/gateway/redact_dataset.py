"""`gateway redact-dataset`: invocation records out of a content bucket, redacted, into quarantine, with a manifest.

It releases nothing: a person looks at the run and writes it to the release bucket, tagged with the manifest's
SHA-256, which this prints. An object in which anything is still found after redaction, or that cannot be read
as records, is withheld and named; the exit code is then 1.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from services.gateway.adapters.aws import AWS_ERRORS, describe
from services.gateway.adapters.data_sets import DataSets, TooLarge
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.redaction import Json, Leak, Redactor, Tally, kept, tokens

VERSION = "1"
RUNS = "runs/"
GZIP = b"\x1f\x8b"
UNPACKED_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What to redact, from where to where; `run` names the result and its tokens."""

    source: str
    prefix: str
    quarantine: str
    token_key_arn: str
    run: str
    source_classes: Sequence[str]


class Unreadable(Exception):
    """Not a file of records."""


def redact_dataset(region: str, order: Order, out: TextIO) -> int:
    """0 when the whole prefix is in quarantine, 1 when anything was withheld or AWS did not answer."""
    try:
        return _run(DataSets(region), order, out)
    except AWS_ERRORS as error:
        out.write(f"FAILED {describe(error)}\n")
        return 1


def _run(data_sets: DataSets, order: Order, out: TextIO) -> int:
    redactor = Redactor(_detectors(), tokens(data_sets.run_key(order.token_key_arn, order.run)))
    objects, withheld = [], []
    for number, name in enumerate(sorted(data_sets.names(order.source, order.prefix))):
        part = f"{RUNS}{order.run}/part-{number:06d}.jsonl"
        try:
            content, summary = redacted(data_sets.read(order.source, name), redactor)
        except (Leak, Unreadable, TooLarge) as failure:
            withheld.append({"part": part, "reason": f"{type(failure).__name__}: {failure}"})
            continue
        data_sets.write(order.quarantine, part, content)
        objects.append({"key": part, "sha256": hashlib.sha256(content).hexdigest(), **summary})
    manifest = _manifest(order, objects, withheld)
    data_sets.write(order.quarantine, f"{RUNS}{order.run}/manifest.json", manifest)
    out.write(f"{len(objects)} objects redacted, {len(withheld)} withheld\n")
    out.writelines(f"WITHHELD {one['part']}: {one['reason']}\n" for one in withheld)
    out.write(f"manifest {hashlib.sha256(manifest).hexdigest()}\n")
    return 1 if withheld or not objects else 0


def _detectors() -> tuple[PersonalDataDetector, CredentialDetector]:
    return PersonalDataDetector(), CredentialDetector()


def redacted(content: bytes, redactor: Redactor) -> tuple[bytes, dict[str, object]]:
    """One file of records, a JSON object a line, plain or gzip: redacted, and what was replaced.

    Twice: a value that only the last record gives away is then replaced in the first one too.
    """
    records = [kept(record) for record in _records(content)]
    for record in records:
        redactor.document(record, Tally())
    tally = Tally()
    lines = [
        json.dumps(redactor.document(record, tally), separators=(",", ":"), ensure_ascii=False) for record in records
    ]
    return ("\n".join(lines) + "\n").encode(), {"records": len(lines), "replaced": _sorted(tally.kinds)}


def _records(content: bytes) -> list[Mapping[str, Json]]:
    try:
        text = (_unpacked(content) if content[:2] == GZIP else content).decode()
        records = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, json.JSONDecodeError, zlib.error) as error:
        raise Unreadable(type(error).__name__) from error
    if not all(isinstance(record, dict) for record in records):
        raise Unreadable("a line is no JSON object")
    return records


def _unpacked(content: bytes) -> bytes:
    """At most UNPACKED_BYTES_MAX, whatever the file claims to hold."""
    packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    unpacked = packed.decompress(content, UNPACKED_BYTES_MAX)
    if not packed.eof or packed.unused_data:
        raise Unreadable(f"cut off, followed by something else, or more than {UNPACKED_BYTES_MAX} bytes")
    return unpacked


def _manifest(order: Order, objects: list[dict[str, object]], withheld: list[dict[str, str]]) -> bytes:
    written = {
        "version": VERSION,
        "run": order.run,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_classes": sorted(order.source_classes),
        "tools": {type(detector).__name__: VERSION for detector in _detectors()},
        "objects": objects,
        "withheld": withheld,
    }
    return json.dumps(written, separators=(",", ":"), sort_keys=True).encode()


def _sorted(kinds: Counter[str]) -> dict[str, int]:
    return dict(sorted(kinds.items()))
