"""Finds prompt injection: text that talks to the model instead of asking it something.

Scores say how sure a finding is; stages act from 0.5 on. Below are phrases that also occur in honest text
("new instructions:", an image with a query string). The phrases are data, in
injection_phrases.toml: English best, some fifteen other languages for the main forms. Weak: a paraphrase that
uses none of the known words, instructions spread over several messages, text inside images. On public sets of
short paraphrases (s-labs, yanismiraoui) recall is 14 to 24 % with false alarms below 0.1 %: a first line, never
the only one.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files

import msgspec

from services.gateway.detectors.patterns import Pattern, PatternTable, compiled, find_in_views, occurs
from services.gateway.detectors.reading import Look, await_one_of
from services.gateway.detectors.text_views import Decoded, Piece, Spliced, View
from services.gateway.exchange import Finding


class PromptInjectionDetector:
    """Finds prompt injection in every reading of a text."""

    def find(self, text: str) -> tuple[Finding, ...]:
        return find_in_views(text, _find)


# --- the phrases -----------------------------------------------------------------------------------


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    hints: tuple[str, ...]
    score: float
    also: tuple[str, ...] = ()
    phrase: str = ""
    expression: str = ""


class _Phrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: dict[str, str]
    pattern: tuple[_Entry, ...]


_GAP = r"[^A-Za-z0-9]+"  # punctuation between the words of a phrase does not break it


def _load() -> tuple[Pattern, ...]:
    text = files(__package__).joinpath("injection_phrases.toml").read_text(encoding="utf-8")
    phrases = msgspec.convert(tomllib.loads(text), _Phrases)
    return tuple(_pattern(entry, phrases.words) for entry in phrases.pattern)


def _pattern(entry: _Entry, words: Mapping[str, str]) -> Pattern:
    expression = entry.expression or _expression(entry.phrase, words)
    return Pattern(entry.kind, f"(?i:{expression})", entry.hints, entry.score, also=entry.also)


def _expression(phrase: str, words: Mapping[str, str]) -> str:
    """The little language of the phrases as RE2: see the head of injection_phrases.toml."""
    for name, alternatives in words.items():
        phrase = phrase.replace("{" + name + "}", f"(?:{alternatives})")
    for most in range(1, 10):
        phrase = phrase.replace(f"~{most}", f"(?:[A-Za-z0-9']+\0){{0,{most}}}")
    return phrase.replace("(?", "\1").replace("(", "(?:").replace("\1", "(?").replace(" ", "\0").replace("\0", _GAP)


_TABLE = PatternTable(_load())

# --- spellings that only make sense as a way around a filter ---------------------------------------

_LEET = str.maketrans("013457@$!|", "oieastasii")
_LEET_WORD = compiled(r"[a-z][013457@$!|]+[a-z]")
_SCRAMBLED = await_one_of(
    ("vtaber", "vafgehpgvba", "qvfertneq", "cebzcg", "snoitcurtsni", "erongi", "draagersid", "tpmorp")
)


def _find(look: Look) -> Sequence[Finding]:
    found = _TABLE.find(look)
    if look.hinted & _SCRAMBLED:
        found = [*found, *_found_in(_unscrambled(look.view))]
    if _has_leet(look):
        found = [*found, *_found_in(_without_leet(look.view))]
    return found


def _has_leet(look: Look) -> bool:
    text = look.view.text
    signs = look.digits or "@" in text or "$" in text or "!" in text or "|" in text
    return signs and occurs(_LEET_WORD, text.lower())


def _found_in(others: Iterable[View]) -> Iterator[Finding]:
    for other in others:
        yield from _TABLE.find(Look(other))


def _unscrambled(view: View) -> Iterator[View]:
    """What was written in ROT13 or backwards."""
    whole = (0, len(view.text))
    yield Decoded(codecs.encode(view.text, "rot13"), view, whole)
    yield Decoded(view.text[::-1], view, whole)


def _without_leet(view: View) -> Iterator[View]:
    yield Spliced(view.text.translate(_LEET), view, (Piece(0, 0, len(view.text), verbatim=True),))
