"""Tables of patterns, searched in linear time: only those are run whose hints a text holds.

RE2 keeps them linear; its `Set` is not used, because it reports "no match" when it runs out of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import re2

from services.gateway.detectors.reading import Look, Patterns, await_one_of, looks
from services.gateway.detectors.text_views import View, fold, searchable
from services.gateway.exchange import Finding


def _anything(value: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one kind of finding looks like. Group 1, where there is one, is the finding."""

    kind: str
    expression: str  # RE2; gaps are bounded, so that many near misses cannot add up to quadratic time
    hints: tuple[str, ...]  # lower case, folded; the expression cannot match a text without any of them
    score: float = 1.0
    accept: Callable[[str], bool] = _anything
    also: tuple[str, ...] = ()  # more hints: if given, the expression needs one of these as well


@dataclass(frozen=True, slots=True)
class _Compiled:
    pattern: Pattern
    expression: re2._Regexp
    group: int
    bit: Patterns


class PatternTable:
    """Patterns of one detector, compiled once."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._compiled = {entry.bit: entry for entry in map(_compile, patterns)}
        self._bits = sum(self._compiled)

    def find(self, look: Look) -> Sequence[Finding]:
        """Findings in one view, as spans of the original."""
        hinted = look.hinted & self._bits
        return self._found(look.view, hinted) if hinted else ()

    def _found(self, view: View, hinted: Patterns) -> list[Finding]:
        text, found = view.text, []
        written = searchable(text)
        while hinted:
            first = hinted & -hinted
            hinted ^= first
            entry = self._compiled[first]
            for match in entry.expression.finditer(written):
                start, end = match.span(entry.group)
                if entry.pattern.accept(text[start:end]):
                    found.append(Finding(entry.pattern.kind, *view.locate(start, end), entry.pattern.score))
        return found


def occurs(expression: re2._Regexp, text: str) -> bool:
    """Whether the expression matches anywhere."""
    return expression.search(text.encode()) is not None


def compiled(expression: str) -> re2._Regexp:
    """An expression, folded like the texts it meets. Out of memory RE2 goes on more slowly, never blindly."""
    options = re2.Options()
    options.max_mem = 32 << 20
    options.log_errors = False
    return re2.compile(fold(expression), options)


def _compile(pattern: Pattern) -> _Compiled:
    expression = compiled(pattern.expression)
    bit = await_one_of(pattern.hints, pattern.also)
    return _Compiled(pattern, expression, 1 if expression.groups else 0, bit)


def find_in_views(text: str, find: Callable[[Look], Sequence[Finding]]) -> tuple[Finding, ...]:
    """Looks at every reading of `text` and settles overlaps: the findings do not overlap and are in order."""
    found: list[Finding] = []
    for look in looks(text):
        found += find(look)
    return settled(found)


def settled(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """In order, and without overlaps."""
    return tuple(without_overlaps(found)) if found else ()


def without_overlaps(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Overlapping findings become one that covers them all, called by the surest (then longest) of them."""
    group: list[Finding] = []
    reach = 0
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if group and finding.start >= reach:
            yield _covering(group)
            group, reach = [], 0
        group.append(finding)
        reach = max(reach, finding.end)
    if group:
        yield _covering(group)


def _covering(group: Sequence[Finding]) -> Finding:
    surest = max(group, key=lambda finding: (finding.score, finding.end - finding.start))
    return Finding(surest.kind, group[0].start, max(finding.end for finding in group), surest.score)
