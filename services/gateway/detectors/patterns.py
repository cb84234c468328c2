"""Tables of patterns, searched in linear time: one pass decides which few are worth running.

Each pattern names hints, short literals without which it cannot match. An Aho-Corasick automaton
finds all hints of a table in one pass over the text, so benign text costs that pass and nothing else.
RE2 keeps the rest linear too; its `Set` is not used, because it reports "no match" when it runs out of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import ahocorasick
import re2

from services.gateway.detectors.text_views import View, fold, views
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


class PatternTable:
    """Patterns of one detector, compiled once."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._compiled = tuple(_compile(pattern) for pattern in patterns)
        self._hints = ahocorasick.Automaton()
        for hint, awaited in _by_hint(patterns).items():
            self._hints.add_word(hint, awaited)
        self._hints.make_automaton()

    def find(self, view: View) -> Iterator[Finding]:
        """Findings in one view, as spans of the original."""
        seen = {awaited for _, awaited in self._hints.iter(view.text.lower())}
        hinted = set().union(*(first for first, _ in seen)) & set().union(*(also for _, also in seen))
        for index in sorted(hinted):
            entry = self._compiled[index]
            for match in entry.expression.finditer(view.text):
                start, end = match.span(entry.group)
                if entry.pattern.accept(view.text[start:end]):
                    yield Finding(entry.pattern.kind, *view.locate(start, end), entry.pattern.score)


_Indexes = frozenset[int]


def _by_hint(patterns: Sequence[Pattern]) -> dict[str, tuple[_Indexes, _Indexes]]:
    """For each hint, the patterns that wait for it, and those that also do. A pattern without `also` has one wait only.

    Hints are folded as the texts are, so that both meet.
    """
    first: dict[str, set[int]] = {}
    also: dict[str, set[int]] = {}
    for index, pattern in enumerate(patterns):
        for waiting, hints in ((first, pattern.hints), (also, pattern.also or pattern.hints)):
            for hint in hints:
                waiting.setdefault(fold(hint).lower(), set()).add(index)
    return {hint: (frozenset(first.get(hint, ())), frozenset(also.get(hint, ()))) for hint in sorted({*first, *also})}


def compiled(expression: str) -> re2._Regexp:
    """An expression, folded like the texts it meets. Out of memory RE2 goes on more slowly, never blindly."""
    options = re2.Options()
    options.max_mem = 32 << 20
    options.log_errors = False
    return re2.compile(fold(expression), options)


def _compile(pattern: Pattern) -> _Compiled:
    expression = compiled(pattern.expression)
    return _Compiled(pattern, expression, 1 if expression.groups else 0)


def find_in_views(text: str, find: Callable[[View], Iterable[Finding]]) -> tuple[Finding, ...]:
    """Looks at every reading of `text` and settles overlaps: the findings do not overlap and are in order."""
    found = [finding for view in views(text) for finding in find(view)]
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
