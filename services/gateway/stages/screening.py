"""Running a detector so that failing is blocking."""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.exchange import Denied, Finding, Unavailable
from services.gateway.ports import Detector

INJECTION_SCORE_MIN = 0.5  # from here on a finding of prompt injection blocks


def found(detector: Detector, text: str) -> list[Finding]:
    """The findings in order, without overlaps; a detector that fails is a detector that blocks."""
    try:
        findings = list(detector.find(text))
    except Denied:
        raise
    except Exception as error:
        raise Unavailable("screening", f"{type(detector).__name__} failed: {type(error).__name__}") from error
    return list(_disjoint(findings)) if len(findings) > 1 else findings


def instructs(detector: Detector, text: str) -> str | None:
    """The kind of prompt injection in `text`, or None when it instructs nobody."""
    for finding in found(detector, text):
        if finding.score >= INJECTION_SCORE_MIN:
            return finding.kind
    return None


def _disjoint(findings: list[Finding]) -> Iterable[Finding]:
    """Overlapping findings become one that covers both; the first one names it, the higher score counts."""
    ordered = sorted(findings, key=lambda finding: (finding.start, -finding.end))
    current = ordered[0]
    for finding in ordered[1:]:
        if finding.start >= current.end:
            yield current
            current = finding
        else:
            end, score = max(current.end, finding.end), max(current.score, finding.score)
            current = Finding(current.kind, current.start, end, score)
    yield current
