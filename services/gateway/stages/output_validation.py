"""Output validation: only text that a verdict covers leaves, streaming or not, by one path.

Text is held back. A verdict covers the held text together with what was released just before it, and
text leaves only up to a point where nothing found, and nothing that could still grow into a finding, is
cut. A whole answer is the same path with everything held until the end. In this order: the prompt's own
words (LLM08:2026) block the rest; credentials are redacted; personal data that is neither the caller's
nor a passage's is masked; tool calls leave whole, allowed and matching their schema; the caller's own
values come back last.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from services.gateway.exchange import (
    Finding,
    Finish,
    Generated,
    Grounded,
    Released,
    TextDelta,
    ToolCall,
    ToolCallReady,
)
from services.gateway.ports import Detectors
from services.gateway.stages.citations import citations
from services.gateway.stages.own_values import OwnValues
from services.gateway.stages.placeholders import Restorer
from services.gateway.stages.prompt_leak import LeakDetector
from services.gateway.stages.screening import found
from services.gateway.stages.tool_calls import ToolCalls, without_cut
from services.gateway.stages.worst_case import size_bytes

HOLD_BACK_CHARS = 128  # longer than any pattern that holds a space; what holds none is never cut at all
OVERLAP_CHARS = 256  # released text that the next verdict sees again
STEP_CHARS = 48  # new text between two verdicts of a stream
RUN_CHARS_MAX = 16_384  # a run without a break longer than this blocks the answer
REDACTED_CREDENTIAL = "[redacted credential]"

_FINISH_REASONS = frozenset(("stop", "length", "tool_calls", "content_filter"))
# White space, and letters of scripts that write without it: no credential and no identifier crosses them.
_BREAK = re.compile(r"[\s\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_PRIVATE_KEY = "-----BEGIN "
_PRIVATE_KEY_END = "-----END "


class Verdict:
    """What validation has decided so far: counts for the audit record, never text."""

    __slots__ = ("blocked_by", "calls_refused", "masked", "released_bytes")

    def __init__(self) -> None:
        self.masked: Counter[str] = Counter()
        self.calls_refused = 0
        self.released_bytes = 0
        self.blocked_by = ""


async def validate(generated: Generated, detectors: Detectors, verdict: Verdict) -> AsyncIterator[Released]:
    """Released events, `Finish` last."""
    grounded = generated.grounded
    window = _Window(grounded, detectors, verdict)
    calls: list[ToolCall] = []
    finish = Finish("stop", None)
    async for event in generated.events:
        if isinstance(event, TextDelta):
            if released := window.push(event.text):
                yield _text(released, verdict)
            if verdict.blocked_by:
                break
        elif isinstance(event, ToolCallReady):
            calls.append(event.call)
        else:
            finish = event
    for last in _closing(window, calls, finish, grounded, detectors, verdict):
        yield last


def _closing(
    window: _Window,
    calls: Sequence[ToolCall],
    finish: Finish,
    grounded: Grounded,
    detectors: Detectors,
    verdict: Verdict,
) -> list[Released]:
    """Everything that could only be decided at the end."""
    if calls and finish.reason == "length":
        calls = without_cut(calls)
    cited = "" if calls else citations(grounded, finish)
    released = [_text(text, verdict)] if (text := window.finish(cited)) else []
    allowed = _allowed(calls, grounded, detectors, verdict) if calls and not verdict.blocked_by else []
    for call in allowed:
        verdict.released_bytes += size_bytes(call.arguments)
        released.append(Released(ToolCallReady(call)))
    reason = _reason(finish.reason, verdict, with_calls=bool(allowed))
    if reason != finish.reason or finish.guardrail:
        finish = Finish(reason, finish.usage, finish.model_version)
    released.append(Released(finish))
    return released


def _text(text: str, verdict: Verdict) -> Released:
    verdict.released_bytes += size_bytes(text)
    return Released(TextDelta(text))


def _allowed(calls: Sequence[ToolCall], grounded: Grounded, detectors: Detectors, verdict: Verdict) -> list[ToolCall]:
    judge = ToolCalls(grounded, detectors)
    allowed = judge.allowed(calls)
    verdict.masked.update(judge.masked)
    verdict.calls_refused = judge.refused
    return allowed


def _reason(reason: str, verdict: Verdict, *, with_calls: bool) -> str:
    if verdict.blocked_by or verdict.calls_refused:
        return "content_filter"
    if with_calls:
        return "tool_calls"
    return reason if reason in _FINISH_REASONS and reason != "tool_calls" else "stop"


# --- text ---------------------------------------------------------------------------------------------------


class _Window:
    """Held text and the end of what was released before it."""

    __slots__ = (
        "_detectors", "_held", "_judged_chars", "_leak", "_own", "_parts", "_restorer", "_seen", "_verdict", "_whole",
    )  # fmt: skip

    def __init__(self, grounded: Grounded, detectors: Detectors, verdict: Verdict) -> None:
        governed = grounded.governed
        submission = governed.admitted.submission
        self._detectors = detectors
        self._verdict = verdict
        self._leak = LeakDetector(grounded)
        self._own = OwnValues(grounded)
        self._whole = not submission.stream
        self._restorer = Restorer(governed.placeholders, in_json=submission.parameters.response_format is not None)
        self._parts: list[str] = []  # of a whole answer
        self._seen = ""  # released already: context for detectors
        self._held = ""
        self._judged_chars = 0  # length of the held text at the last verdict

    def push(self, text: str) -> str:
        """Takes new text in, lets out what is covered."""
        if self._whole:
            self._parts.append(text)
            return ""
        self._held += text
        # The longer the held text, the larger the step: judging stays linear in what a model can send.
        if len(self._held) < max(HOLD_BACK_CHARS, self._judged_chars * 5 // 4) + STEP_CHARS:
            return ""
        return self._restorer.push(self._judge(final=False))

    def finish(self, appended: str) -> str:
        """Everything that may still leave, with `appended` judged like the rest."""
        if self._verdict.blocked_by:
            return ""
        self._held += "".join(self._parts) + appended
        released = self._judge(final=True) if self._held else ""
        return self._restorer.push(released) + self._restorer.finish()

    def _judge(self, *, final: bool) -> str:
        if leaked := self._leak.found_in(self._held):
            return self._block(leaked)
        findings = self._findings()
        cut = len(self._held) if final else self._safe_cut(findings)
        if len(self._held) - cut > RUN_CHARS_MAX:
            return self._block("unbroken_text")
        released = self._redacted(cut, findings)
        if final:  # nothing comes after it that would have to be seen beside it
            self._held = ""
            return released
        self._leak.released(self._held[:cut])
        self._seen = (self._seen + self._held[:cut])[-OVERLAP_CHARS:]
        self._held = self._held[cut:]
        self._judged_chars = len(self._held)
        return released

    def _block(self, why: str) -> str:
        self._verdict.blocked_by = why
        self._held = ""
        return ""

    def _findings(self) -> list[tuple[Finding, str]]:
        """Findings in the held text, with what replaces them; positions count from its start."""
        text, before = self._seen + self._held, len(self._seen)
        findings = [(finding, REDACTED_CREDENTIAL) for finding in found(self._detectors.credentials, text)]
        findings += [
            (finding, f"[{finding.kind}]")
            for finding in found(self._detectors.personal_data, text)
            if not self._own.holds(text[finding.start : finding.end])
        ]
        if not findings:
            return findings
        findings.sort(key=lambda pair: pair[0].start)
        return [(_shifted(finding, before), by) for finding, by in findings if finding.end > before]

    def _safe_cut(self, findings: Sequence[tuple[Finding, str]]) -> int:
        """The furthest point at which nothing is cut in two and nothing before it can still grow."""
        cut = max(0, self._outside_private_key(len(self._held) - HOLD_BACK_CHARS))
        while True:  # each rule can move the point into what another one keeps whole
            moved = self._at_break(cut)
            for finding, _ in reversed(findings):
                # A finding at the very end may go on in the text to come.
                if finding.start < moved and (finding.end > moved or finding.end == len(self._held)):
                    moved = finding.start
            if moved == cut:
                return cut
            cut = moved

    def _at_break(self, cut: int) -> int:
        while cut > 0 and not _BREAK.match(self._held[cut - 1]):
            cut -= 1
        return cut

    def _outside_private_key(self, cut: int) -> int:
        begin = self._held.rfind(_PRIVATE_KEY)
        open_key = begin >= 0 and self._held.find(_PRIVATE_KEY_END, begin) < 0
        return min(cut, begin) if open_key else cut

    def _redacted(self, cut: int, findings: Sequence[tuple[Finding, str]]) -> str:
        if not findings:
            return self._held[:cut]
        parts: list[str] = []
        at = 0
        for finding, by in findings:
            if finding.end > cut or finding.end <= at:
                continue
            self._verdict.masked["credential" if by is REDACTED_CREDENTIAL else finding.kind] += 1
            parts += (self._held[at : max(at, finding.start)], by)
            at = finding.end
        return "".join(parts) + self._held[at:cut]


def _shifted(finding: Finding, before: int) -> Finding:
    return Finding(finding.kind, max(0, finding.start - before), finding.end - before, finding.score)
