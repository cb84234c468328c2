"""The passages an answer rests on, word for word: written by the gateway, so they cannot be invented."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.gateway.exchange import Chunk, Finish, Grounded

CITATION_DISTANCE_MAX = 0.75
CITATIONS_MAX = 3
QUOTE_CHARS = 240

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+|\n|$)")
_WORD = re.compile(r"\w{3,}")
_STEM_CHARS = 5  # "leave" and "leaves", "approve" and "approval" count as one word


def citations(grounded: Grounded, finish: Finish) -> str:
    """Text to append to an answer; empty where the template, the format or the end of the answer forbid it."""
    admitted = grounded.governed.admitted
    if not admitted.role.template.citations or finish.reason not in ("stop", "length"):
        return ""
    if admitted.submission.parameters.response_format is not None:
        return ""
    question = stems(grounded.governed.question)
    return "".join(
        f'\n\n[{number}] {chunk.document}: "{quote(chunk.text, question)}"'
        for number, chunk in enumerate(_best(grounded.chunks), 1)
    )


def _best(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The nearest passage of each document, nearest document first."""
    best: dict[str, Chunk] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.distance):
        if chunk.distance <= CITATION_DISTANCE_MAX:
            best.setdefault(chunk.document_digest, chunk)
    return list(best.values())[:CITATIONS_MAX]


def quote(text: str, question: frozenset[str]) -> str:
    """The stretch of `text`, at most QUOTE_CHARS long and word for word, that shares most with the question."""
    starts = [sentence.start() for sentence in _SENTENCE.finditer(text) if sentence.group().strip()] or [0]
    best = max(starts, key=lambda start: len(stems(_cut(text[start:])) & question))  # the first of equals
    return _cut(text[best:])


def stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM_CHARS].lower() for word in _WORD.findall(text))


def _cut(text: str) -> str:
    text = text.strip()
    if len(text) <= QUOTE_CHARS:
        return text
    end = text.rfind(" ", QUOTE_CHARS // 2, QUOTE_CHARS)
    return text[: end if end > 0 else QUOTE_CHARS].rstrip()
