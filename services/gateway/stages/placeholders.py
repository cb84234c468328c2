"""Placeholders: what stands in a prompt for the caller's own personal data, for one request only.

A placeholder carries a random key drawn after the caller's text arrived and not found in it, so what
merely looks like a placeholder is never restored. Restoring works on streams: a tail that
could still become a placeholder is held until it is decided.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import count

# A short word of letters: digits could make a detector see a number in a placeholder, and small models
# repeat a word more faithfully than noise.
SYLLABLES = 3
_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aeiou"


class Vault:
    """Gives each distinct value of one request its placeholder. `written` tells all that the caller wrote."""

    __slots__ = ("_by_value", "_counts", "_key", "_written", "values")

    def __init__(self, written: Callable[[], Sequence[str]] = tuple) -> None:
        self._key = ""
        self._written = written
        self._by_value: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}

    def placeholder(self, kind: str, value: str) -> str:
        """The same value of the same kind always gets the same placeholder."""
        known = self._by_value.get((kind, value))
        if known is not None:
            return known
        self._key = self._key or self._fresh_key()
        number = self._counts.get(kind, 0) + 1
        self._counts[kind] = number
        placeholder = f"[{kind}_{number}_{self._key}]"
        self._by_value[kind, value] = placeholder
        self.values[placeholder] = value
        return placeholder

    def _fresh_key(self) -> str:
        texts = self._written()
        for syllables in count(SYLLABLES):  # longer with each try: no request can hold all the words of all lengths
            key = _word(syllables)
            if not any(key in text for text in texts):
                break
        return key

    def without_key(self, text: str) -> str:
        """`text` as it would be in any other request: for hashing and for search."""
        return text.replace(f"_{self._key}]", "]") if self.values else text


def _word(syllables: int) -> str:
    return "".join(secrets.choice(letters) for letters in (_CONSONANTS, _VOWELS) * syllables)


class Restorer:
    """Puts the caller's own values back into a stream of text, whatever the split."""

    __slots__ = ("_held", "_length_max", "_quote", "_values")

    def __init__(self, values: Mapping[str, str], *, in_json: bool = False) -> None:
        self._values = values
        self._quote: Callable[[str], str] = _json_quoted if in_json else str
        self._length_max = max(map(len, values)) if values else 0
        self._held = ""

    def push(self, text: str) -> str:
        """Everything that is decided by now."""
        if not self._values:
            return text
        text = self._held + text
        cut = self._undecided_from(text)
        self._held = text[cut:]
        return self._replaced(text[:cut])

    def finish(self) -> str:
        """What was held: no more text can complete it."""
        held, self._held = self._held, ""
        return held

    def _undecided_from(self, text: str) -> int:
        """Where a trailing, so far incomplete placeholder begins; the end when there is none."""
        at = text.rfind("[", max(0, len(text) - self._length_max + 1))
        if at < 0 or "]" in text[at:]:
            return len(text)
        tail = text[at:]
        return at if any(name.startswith(tail) for name in self._values) else len(text)

    def _replaced(self, text: str) -> str:
        if "[" not in text:
            return text
        parts, at = [], 0
        # Looking no farther than a placeholder can reach keeps this linear in brackets that nobody closes.
        while (start := text.find("[", at)) >= 0:
            end = text.find("]", start, start + self._length_max) + 1
            value = self._values.get(text[start:end]) if end else None
            if value is None:
                parts.append(text[at : start + 1])
                at = start + 1
            else:
                parts += (text[at:start], self._quote(value))
                at = end
        parts.append(text[at:])
        return "".join(parts)


def restore(text: str, values: Mapping[str, str], *, in_json: bool = False) -> str:
    """`text` with every placeholder replaced."""
    restorer = Restorer(values, in_json=in_json)
    return restorer.push(text) + restorer.finish()


def _json_quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
