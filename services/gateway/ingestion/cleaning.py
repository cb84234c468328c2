"""What of a document may be stored: no credentials, no personal data, no instructions to a model.

Credentials are cut out. Personal data gives way to typed placeholders, the same value always to the same one
within a document, so that a text stays readable. Lines that instruct a model are taken out whole. Cleaning is
repeated until nothing more is found; a document in which credentials remain is not stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.exchange import Finding
from services.gateway.ingestion.rejection import Reason, Rejected
from services.gateway.ports import Detectors
from services.gateway.stages.prompt_governance import REDACTED_CREDENTIAL
from services.gateway.stages.screening import INJECTION_SCORE_MIN, found

ROUNDS_MAX = 4
NAME_CHARS_MIN = 6  # shorter ones are words too often
LINE_REMOVED = "[line removed]"

# Characters that nobody sees and that only tell apart what looks alike; joiners stay, some scripts need them.
_INVISIBLE = dict.fromkeys(
    [
        *(code for code in range(0x20) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        *(0xAD, 0x200B, 0x2060, 0xFEFF),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xE0000, 0xE0080),
    ]
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    text: str
    redactions: Mapping[str, int]  # kind of credential or personal data → count
    lines_removed: Mapping[str, int]  # kind of instruction → count


class Cleaner:
    """Cleans one document."""

    def __init__(self, detectors: Detectors) -> None:
        self._detectors = detectors
        self._redactions: Counter[str] = Counter()
        self._lines_removed: Counter[str] = Counter()
        self._placeholders: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def clean(self, text: str) -> Cleaned:
        """The text as it may be stored; Rejected when it cannot be made so."""
        for _ in range(ROUNDS_MAX):
            before, text = text, self._round(text)
            if text == before:
                break
        if found(self._detectors.credentials, text) or self._instructions(text):
            raise Rejected(Reason.NOT_CLEANABLE)
        if not text.replace(LINE_REMOVED, "").strip():
            raise Rejected(Reason.NOTHING_LEFT)
        return Cleaned(text, dict(self._redactions), dict(self._lines_removed))

    def _round(self, text: str) -> str:
        text = self._without_instructions(text)  # first: invisible characters are part of the evidence
        text = text.translate(_INVISIBLE)
        text = self._without_credentials(text)
        return self._without_personal_data(text)

    def _without_credentials(self, text: str) -> str:
        parts, at = [], 0
        for finding in found(self._detectors.credentials, text):
            self._redactions[finding.kind] += 1
            parts += [text[at : finding.start], REDACTED_CREDENTIAL]
            at = finding.end
        return "".join(parts) + text[at:]

    def _without_personal_data(self, text: str) -> str:
        parts, at = [], 0
        for finding in found(self._detectors.personal_data, text):
            self._redactions[finding.kind] += 1
            parts += [text[at : finding.start], self._placeholder(finding.kind, text[finding.start : finding.end])]
            at = finding.end
        return self._without_known_names("".join(parts) + text[at:])

    def _without_known_names(self, text: str) -> str:
        """A name that was announced once ("My name is …") is masked wherever else it stands."""
        for (kind, value), placeholder in self._placeholders.items():
            if kind == "person_name" and len(value) >= NAME_CHARS_MIN:
                text, before = text.replace(value, placeholder), text
                self._redactions[kind] += before.count(value)
        return text

    def _placeholder(self, kind: str, value: str) -> str:
        known = self._placeholders.get((kind, value))
        if known is None:
            self._numbers[kind] += 1
            known = self._placeholders[kind, value] = f"[{kind}_{self._numbers[kind]}]"
        return known

    def _instructions(self, text: str) -> list[Finding]:
        findings = found(self._detectors.prompt_injection, text)
        return [finding for finding in findings if finding.score >= INJECTION_SCORE_MIN]

    def _without_instructions(self, text: str) -> str:
        parts, at = [], 0
        for finding in self._instructions(text):
            self._lines_removed[finding.kind] += 1
            start = text.rfind("\n", 0, finding.start) + 1
            end = text.find("\n", finding.end)
            end = len(text) if end < 0 else end
            if start >= at:
                parts += [text[at:start], LINE_REMOVED]
            at = max(at, end)
        return "".join(parts) + text[at:]
