"""The passages an answer rests on, word for word: written by the gateway, so they cannot be invented."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.exchange import Chunk, Finish, Grounded

CITATION_DISTANCE_MAX = 0.75
CITATIONS_MAX = 3
QUOTE_CHARS = 200


def citations(grounded: Grounded, finish: Finish) -> str:
    """Text to append to an answer; empty where the template, the format or the end of the answer forbid it."""
    admitted = grounded.governed.admitted
    if not admitted.role.template.citations or finish.reason not in ("stop", "length"):
        return ""
    if admitted.submission.parameters.response_format is not None:
        return ""
    return "".join(
        f'\n\n[{number}] {chunk.document}: "{_quote(chunk.text)}"'
        for number, chunk in enumerate(_best(grounded.chunks), 1)
    )


def _best(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The nearest passage of each document, nearest document first."""
    best: dict[str, Chunk] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.distance):
        if chunk.distance <= CITATION_DISTANCE_MAX:
            best.setdefault(chunk.document_digest, chunk)
    return list(best.values())[:CITATIONS_MAX]


def _quote(text: str) -> str:
    text = text.strip()
    if len(text) <= QUOTE_CHARS:
        return text
    cut = text.rfind(" ", QUOTE_CHARS // 2, QUOTE_CHARS)
    return text[: cut if cut > 0 else QUOTE_CHARS]
