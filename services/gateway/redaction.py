"""Redaction of data sets: what detectors find is replaced by tokens, and what is left is looked at again.

Equal values become equal tokens within a run, so that data keeps its shape; between runs, and for whoever does
not hold the run's key, a token says nothing. Redaction is never complete: a detector misses what it does not
know. So the result is a class of its own, goes into quarantine, and a person decides.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from services.gateway.exchange import Finding

TOKEN_CHARS = 20  # 80 bits
LOOKS_MAX = 4
LITERAL_CHARS_MIN = 5  # a shorter value elsewhere in the text is chance
# Letters only: digits could look like a number that a detector knows.
_LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopabcdef")

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Token: TypeAlias = Callable[[str, str], str]


class Detector(Protocol):
    def find(self, text: str) -> Iterable[Finding]: ...


class Leak(Exception):
    """Something is still found after redaction: this object is withheld. The message never quotes it."""


@dataclass
class Tally:
    """How much of each kind was replaced."""

    kinds: Counter[str] = field(default_factory=Counter)


def tokens(run_key: bytes) -> Token:
    """Makes tokens of one run: `[email_address:…]`."""

    def token(kind: str, value: str) -> str:
        message = f"{kind}\x00{' '.join(value.casefold().split())}".encode()
        digest = hmac.new(run_key, message, hashlib.sha256).hexdigest()[:TOKEN_CHARS]
        return f"[{kind}:{digest.translate(_LETTERS)}]"

    return token


class Redactor:
    """Redacts texts and whole JSON documents of one run."""

    def __init__(self, detectors: Sequence[Detector], token: Token) -> None:
        self._detectors = detectors
        self._token = token
        self._known: dict[str, str] = {}

    def text(self, text: str, tally: Tally) -> str:
        """`text` with tokens; Leak when something is found however often one looks again."""
        for _ in range(LOOKS_MAX):
            found = self._found(text)
            if not found:
                return self._literals(text)
            # What stood beside a value and was hidden by it is found at the next look.
            text = self._literals(self._replaced(text, found, tally))
        left = sorted({finding.kind for finding in self._found(text)})
        if left:
            raise Leak(f"still found after redaction: {', '.join(left)}")
        return text

    def document(self, value: Json, tally: Tally) -> Json:
        """Every text in a JSON document: keys too, and a number where it is the number of something."""
        if isinstance(value, str):
            return self.text(value, tally)
        if isinstance(value, Mapping):
            return {self.text(key, tally): self.document(inner, tally) for key, inner in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = self.text(str(value), tally)
            return value if written == str(value) else written
        if isinstance(value, Sequence):
            return [self.document(inner, tally) for inner in value]
        return value

    def _replaced(self, text: str, found: Sequence[Finding], tally: Tally) -> str:
        pieces, end = [], 0
        for finding in found:
            value = text[finding.start : finding.end]
            token = self._token(finding.kind, value)
            self._known.setdefault(value, token)
            tally.kinds[finding.kind] += 1
            pieces += [text[end : finding.start], token]
            end = finding.end
        return "".join([*pieces, text[end:]])

    def _literals(self, text: str) -> str:
        """A value that was found once is replaced wherever it stands, also where its surroundings said nothing."""
        for value, token in self._known.items():
            if len(value) >= LITERAL_CHARS_MIN:
                text = text.replace(value, token)
        return text

    def _found(self, text: str) -> list[Finding]:
        """In order and without overlaps: what overlaps becomes one, called by the first."""
        settled: list[Finding] = []
        found = [finding for detector in self._detectors for finding in detector.find(text)]
        for finding in sorted(found, key=lambda one: (one.start, -one.end)):
            if settled and finding.start < settled[-1].end:
                last = settled.pop()
                finding = Finding(last.kind, last.start, max(last.end, finding.end), last.score)
            settled.append(finding)
        return settled


# What of an invocation record goes on: no identity, no account, no id by which it could be joined, no clock.
KEPT = ("schemaType", "operation", "modelId", "input", "output")
KEPT_BODIES = ("inputBodyJson", "inputTokenCount", "inputContentType")
KEPT_ANSWERS = ("outputBodyJson", "outputTokenCount", "outputContentType")


def kept(record: Mapping[str, Json]) -> dict[str, Json]:
    """An invocation record without what would tell who asked and when."""
    selected: dict[str, Json] = {key: record[key] for key in KEPT if key in record}
    for name, allowed in (("input", KEPT_BODIES), ("output", KEPT_ANSWERS)):
        body = selected.get(name)
        if isinstance(body, Mapping):
            selected[name] = {key: body[key] for key in allowed if key in body}
    return selected
