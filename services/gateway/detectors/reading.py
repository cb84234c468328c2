"""A text, read once for all detectors: its views, and which of all their patterns are worth running on each.

Every pattern names hints, short literals without which it cannot match. One Aho-Corasick automaton finds the hints
of all patterns in one pass: benign text costs that pass and little else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ahocorasick_rs import BytesAhoCorasick, Implementation

from services.gateway.detectors.text_views import View, fold, views

Patterns: TypeAlias = int  # a set of patterns, of all tables: one bit for each


class _Hints:
    """The literals that all patterns wait for."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[Patterns, Patterns]] = {}  # by literal: who waits for it, and who also does
        self._patterns = 0
        self._automaton: tuple[BytesAhoCorasick, tuple[tuple[Patterns, Patterns], ...]] | None = None

    def await_one_of(self, hints: Sequence[str], also: Sequence[str]) -> Patterns:
        """The bit of a new pattern that waits for one of `hints` and, where there are any, for one of `also`."""
        bit = 1 << self._patterns
        self._patterns += 1
        self._automaton = None
        for hint in hints:
            self._add(hint, bit, 0 if also else bit)
        for hint in also:
            self._add(hint, 0, bit)
        return bit

    def _add(self, hint: str, first: Patterns, also: Patterns) -> None:
        literal = fold(hint).lower().encode()  # folded as the texts are, so that both meet
        known = self._waiting.get(literal, (0, 0))
        self._waiting[literal] = known[0] | first, known[1] | also

    def met(self, text: str) -> Patterns:
        """The patterns whose hints are in `text`."""
        automaton, waiting = self._automaton or self._made()
        matches = automaton.find_matches_as_indexes(text.lower().encode(), overlapping=True)
        first = also = 0
        for literal in {match[0] for match in matches}:
            one, other = waiting[literal]
            first |= one
            also |= other
        return first & also

    def _made(self) -> tuple[BytesAhoCorasick, tuple[tuple[Patterns, Patterns], ...]]:
        automaton = BytesAhoCorasick(self._waiting, implementation=Implementation.DFA)
        self._automaton = made = automaton, tuple(self._waiting.values())
        return made


_HINTS = _Hints()


def await_one_of(hints: Sequence[str], also: Sequence[str] = ()) -> Patterns:
    """The bit that `Look.hinted` has when one of `hints` is in a view and, where there are any, one of `also`."""
    return _HINTS.await_one_of(hints, also)


class Look:
    """A view, and what decides which patterns are worth running on it."""

    __slots__ = ("digits", "hinted", "view")

    def __init__(self, view: View) -> None:
        self.view = view
        self.hinted = _HINTS.met(view.text)
        self.digits = _has_digit(view.text)


def _has_digit(text: str) -> bool:
    # Ten searches for one character are a fraction of one for a class of characters.
    return (
        "0" in text or "1" in text or "2" in text or "3" in text or "4" in text
        or "5" in text or "6" in text or "7" in text or "8" in text or "9" in text
    )  # fmt: skip


class _Latest:
    """The text that was read last: the next detector is nearly always shown the very same one."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: tuple[str, tuple[Look, ...]] = ("", ())


_LATEST = _Latest()


def looks(text: str) -> tuple[Look, ...]:
    """One for each view of `text`, the original first."""
    known, made = _LATEST.read
    if known is not text:
        made = tuple([Look(view) for view in views(text)])
        _LATEST.read = text, made  # in one step: threads may read at the same time
    return made
