"""Does an answer show the hidden prompt (LLM08:2026)? Looks for the template's words in a row, and the delimiter.

Passages may be quoted; the template around them may not. Spelling in capitals, other spacing and
punctuation do not hide it; a translation or a paraphrase does, and is not seen.
"""

from __future__ import annotations

import re
from functools import lru_cache

from services.gateway.exchange import Grounded

LEAK_CHARS = 40  # letters of the template, in a row, that count as leaking it

_NOT_LETTERS = re.compile(r"[\W_]+")
_NOT_LETTERS_ASCII = bytes(code for code in range(128) if not chr(code).isalnum())  # the same, many times quicker


class LeakDetector:
    """Sees the request's delimiter, and the template's words in a row, however they are spaced."""

    def __init__(self, grounded: Grounded) -> None:
        self._delimiter = grounded.delimiter
        self._runs = _runs(grounded.governed.admitted.role.template.system)
        self._before = ""  # letters of released text that a run could begin in

    def found_in(self, held: str) -> str:
        """What leaked; empty when nothing did. Steps of half a run miss no run of one and a half."""
        if self._delimiter and self._delimiter in held:
            return "delimiter"
        if not self._runs:
            return ""
        letters = self._before + _letters(held)
        for start in range(0, len(letters) - LEAK_CHARS + 1, LEAK_CHARS // 2):
            if letters[start : start + LEAK_CHARS] in self._runs:
                return "system_prompt"
        return ""

    def released(self, text: str) -> None:
        if self._runs and text:
            self._before = (self._before + _letters(text))[-2 * LEAK_CHARS :]


@lru_cache(maxsize=256)
def _runs(system: str) -> frozenset[str]:
    """Every run of LEAK_CHARS letters of the template's own text."""
    letters = _letters(re.sub(r"\{(context|today)\}", " ", system))
    return frozenset(letters[start : start + LEAK_CHARS] for start in range(len(letters) - LEAK_CHARS + 1))


def _letters(text: str) -> str:
    if text.isascii():
        return text.encode().lower().translate(None, _NOT_LETTERS_ASCII).decode()
    return _NOT_LETTERS.sub("", text.casefold())
