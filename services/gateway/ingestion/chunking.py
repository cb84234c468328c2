"""Cuts a text into passages that can stand alone: at paragraphs, else at sentences, else at spaces."""

from __future__ import annotations

from collections.abc import Iterator

import re2

CHUNK_CHARS_MAX = 800
OVERLAP_CHARS_MAX = 160

_PARAGRAPH_END = re2.compile(r"\n[ \t]*\n\s*")
_SENTENCE_END = re2.compile(r"[.!?…]+[\"')\]]*\s+|[。！？]|\n+")


def cut(text: str, chars_max: int = CHUNK_CHARS_MAX, overlap_chars_max: int = OVERLAP_CHARS_MAX) -> tuple[str, ...]:
    """Passages of at most `chars_max` characters; each repeats the last sentences of the one before."""
    chunks: list[str] = []
    current: list[str] = []
    for piece in _pieces(text, chars_max):
        if current and _length(current) + len(piece) > chars_max:
            chunks.append("".join(current).strip())
            current = _overlap(current, min(overlap_chars_max, chars_max - len(piece)))
        current.append(piece)
    chunks.append("".join(current).strip())
    return tuple(chunk for chunk in chunks if chunk)


def _length(pieces: list[str]) -> int:
    return sum(map(len, pieces))


def _overlap(pieces: list[str], chars_max: int) -> list[str]:
    """The last whole pieces that fit."""
    kept: list[str] = []
    for piece in reversed(pieces):
        if _length(kept) + len(piece) > chars_max:
            break
        kept.insert(0, piece)
    return kept


def _pieces(text: str, chars_max: int) -> Iterator[str]:
    """The text in order, in pieces no longer than allowed: paragraphs where they fit, else sentences, else words."""
    for paragraph in _split(text, _PARAGRAPH_END):
        if len(paragraph) <= chars_max // 4:
            yield paragraph
            continue
        for sentence in _split(paragraph, _SENTENCE_END):
            yield from _words(sentence, chars_max)


def _split(text: str, end: re2._Regexp) -> Iterator[str]:
    position = 0
    for match in end.finditer(text):
        yield text[position : match.end()]
        position = match.end()
    if position < len(text):
        yield text[position:]


def _words(sentence: str, chars_max: int) -> Iterator[str]:
    while len(sentence) > chars_max:
        space = sentence.rfind(" ", 1, chars_max)
        at = space + 1 if space > 0 else chars_max
        yield sentence[:at]
        sentence = sentence[at:]
    if sentence:
        yield sentence
