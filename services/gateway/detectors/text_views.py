"""Other readings of a text: what a model would understand although a pattern would not see it.

A view is a text to search and a way back: `locate` turns a span of the view into a span of the
original, so whoever redacts cuts the original and nothing is ever rewritten by looking at it.

    original      the text itself
    folded        compatibility forms, accents, look-alike letters and invisible characters resolved
    unescaped     percent signs, HTML entities and \\x41 or \\u0041 escapes resolved in place
    joined        s p a c e d letters pulled together
    decoded       base64, base32, hexadecimal, binary and character codes; text written backwards by a bidi override

Apart from these, for what is one long word: `disguises` reads each such word backwards and with letters turned by
thirteen, and `unbroken` reads words that line breaks cut as one.

Views of views are made to a fixed depth, and each costs time linear in the text.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol
from urllib.parse import unquote_to_bytes

import re2

DECODE_DEPTH_MAX = 3
Span = tuple[int, int]


class View(Protocol):
    """A text to search, and the way back to the original."""

    @property
    def text(self) -> str: ...

    def locate(self, start: int, end: int) -> Span:
        """The span of the original that text[start:end] was made from."""


@dataclass(frozen=True, slots=True)
class Original:
    """The text as it came."""

    text: str

    def locate(self, start: int, end: int) -> Span:
        return start, end


class Plain(Original):
    """A text with one reading only, in which no word can be in disguise."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text hidden in one run of its parent: whatever is found in it condemns the whole run."""

    text: str
    parent: View
    run: Span

    def locate(self, start: int, end: int) -> Span:
        return self.parent.locate(*self.run)


@dataclass(frozen=True, slots=True)
class Piece:
    """text[view_start:] of a spliced view comes from parent[start:end]; `verbatim` pieces keep offsets."""

    view_start: int
    start: int
    end: int
    verbatim: bool


@dataclass(frozen=True, slots=True)
class Spliced:
    """A parent with some runs replaced by what they stand for."""

    text: str
    parent: View
    pieces: tuple[Piece, ...]

    def locate(self, start: int, end: int) -> Span:
        first, last = self._piece(start), self._piece(max(start, end - 1))
        begin = first.start + (start - first.view_start) if first.verbatim else first.start
        finish = last.start + (end - last.view_start) if last.verbatim else last.end
        return self.parent.locate(begin, finish)

    def _piece(self, offset: int) -> Piece:
        index = bisect_right(self.pieces, offset, key=lambda piece: piece.view_start) - 1
        return self.pieces[index]


@dataclass(frozen=True)
class Folded:
    """A parent with every character replaced by what a reader takes it for."""

    text: str
    parent: View

    def locate(self, start: int, end: int) -> Span:
        origins = self._origins
        # A character that vanished inside the finding belongs to it.
        return self.parent.locate(origins[start], origins[max(start, end - 1)] + 1)

    @cached_property
    def _origins(self) -> list[int]:
        """For each character of `text`, the index of the parent's character; made only for a finding."""
        return [index for index, char in enumerate(self.parent.text) for _ in _FOLD[ord(char)]]


def views(text: str) -> Iterable[View]:
    """The original first, then every other reading of it that differs."""
    if text.isascii():
        written = text.encode()
        if not _MORE_THAN_PLAIN.search(written):
            return (Plain(text),)
        if not _MORE_THAN_ONE_READING.search(written):
            return (Original(text),)
    return _readings(Original(_without_surrogates(text)), 0)


def _readings(view: View, depth: int) -> Iterator[View]:
    yield view
    clearest = view
    if not view.text.isascii() or _CONTROL.search(view.text.encode()):
        folded = fold(view.text)
        if folded != view.text:
            clearest = Folded(folded, view)
            yield clearest
    if depth < DECODE_DEPTH_MAX:
        for child in _children(view, clearest):
            yield from _readings(child, depth + 1)


def fold(text: str) -> str:
    """`text` as a reader takes it: also used on patterns, so that both sides are written alike."""
    return text.translate(_FOLD)


# --- folding ----------------------------------------------------------------------------------------

# Letters of other alphabets that look like Latin ones (a short list: those that fonts draw alike).
_LOOKALIKES = {
    "а": "a", "ь": "b", "с": "c", "ԁ": "d", "е": "e", "ё": "e", "һ": "h", "і": "i", "ї": "i", "ј": "j", "к": "k",
    "ӏ": "l", "м": "m", "п": "n", "о": "o", "р": "p", "ԛ": "q", "г": "r", "ѕ": "s", "т": "t", "υ": "u", "ѵ": "v",
    "ԝ": "w", "х": "x", "у": "y", "А": "A", "В": "B", "С": "C", "Е": "E", "Ё": "E", "Н": "H", "І": "I", "Ј": "J",
    "К": "K", "М": "M", "О": "O", "Р": "P", "Ѕ": "S", "Т": "T", "У": "Y", "Х": "X", "Ԁ": "D", "Ԛ": "Q", "Ԝ": "W",
    # Both cases of a Cyrillic letter go to one Latin letter, so that matching without case still works.
    "в": "b", "н": "h", "П": "N", "Г": "R", "Ь": "B", "Ї": "I",
    "α": "a", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "χ": "x", "γ": "y",
    "ω": "w", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O",
    "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X", "ı": "i", "ɑ": "a", "ɡ": "g", "ɩ": "i", "ɪ": "i", "ʀ": "r", "ꜱ": "s",
    "ᴀ": "a", "ʙ": "b", "ᴄ": "c", "ᴅ": "d", "ᴇ": "e", "ꜰ": "f", "ɢ": "g", "ʜ": "h", "ᴊ": "j", "ᴋ": "k", "ʟ": "l",
    "ᴍ": "m", "ɴ": "n", "ᴏ": "o", "ᴘ": "p", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w", "ʏ": "y", "ᴢ": "z", "ø": "o",
    "Ø": "O", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "օ": "o", "ո": "n", "ս": "u", "հ": "h", "ց": "g",
    "’": "'", "‘": "'", "“": '"', "”": '"', "´": "'", "∕": "/", "⁄": "/", "−": "-", "∶": ":", "ː": ":", "․": ".",
    "。": ".", "⠀": " ", "ㅤ": " ", "ﾠ": " ", "\u2028": "\n", "\u2029": "\n", "\u0085": "\n",
}  # fmt: skip
_TAGS = range(0xE0020, 0xE007F)  # invisible copies of ASCII: a classic way to smuggle instructions
_SYMBOL_LETTERS = {  # letters drawn as symbols that have no compatibility form
    **{0x1F1E6 + index: chr(0x41 + index) for index in range(26)},
    **{0x1F150 + index: chr(0x41 + index) for index in range(26)},
    **{0x1F170 + index: chr(0x41 + index) for index in range(26)},
}


_FOLDS_KEPT_MAX = 50_000


class _FoldTable(dict[int, str]):
    """What each character is taken for, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        if len(self) == _FOLDS_KEPT_MAX:
            self.clear()
        folded = _fold_char(chr(code))
        self[code] = folded
        return folded


def _fold_char(char: str) -> str:
    code = ord(char)
    if char.isascii():
        return char if (char >= " " and char != "\x7f") or char in "\t\n\r" else ""
    if code in _TAGS:
        return chr(code - 0xE0000)
    if code in _SYMBOL_LETTERS:
        return _SYMBOL_LETTERS[code]
    return "".join(_fold_part(part) for part in _compatible(char))


def _compatible(char: str) -> str:
    """Compatibility form, decomposed except for Hangul, whose syllables would fall into letters."""
    composed = unicodedata.normalize("NFKC", _LOOKALIKES.get(char, char))
    decomposed = unicodedata.normalize("NFKD", composed)
    return composed if decomposed and 0x1100 <= ord(decomposed[0]) <= 0x11FF else decomposed


def _fold_part(part: str) -> str:
    part = _LOOKALIKES.get(part, part)
    category = unicodedata.category(part[0])
    if category in ("Mn", "Me", "Cf") or (category == "Cc" and part not in "\t\n\r"):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(part))
    if category == "Pd":
        return "-"
    return " " if category == "Zs" else part


_FOLD = _FoldTable()
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_CONTROL = re2.compile(_CONTROLS)


def _without_surrogates(text: str) -> str:
    """RE2 reads UTF-8, where half a surrogate pair cannot be written: it becomes U+FFFD, offsets stay."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


# --- decoding ---------------------------------------------------------------------------------------

_ESCAPES = (
    r"(?:%[0-9A-Fa-f]{2})+|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
    r"|(?:\\u[0-9A-Fa-f]{4})+|(?:\\x[0-9A-Fa-f]{2})+"
)
_BASE64 = r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{8,})*={0,2}"
_BASE32 = r"[A-Z2-7]{24,}(?:\r?\n[A-Z2-7]{8,})*={0,6}"  # base64 too by its letters, so that one search sees both
_HEX = r"(?:0x)?[0-9A-Fa-f]{2}(?:[ :,-]{0,2}(?:0x)?[0-9A-Fa-f]{2}){9,}"
_BINARY = r"[01]{8}(?:[ ,]?[01]{8}){5,}"
_CODES = r"[0-9]{2,3}(?:[ ,]{1,2}[0-9]{2,3}){9,}"
_SPACED = r"\b[A-Za-z0-9](?:[ .*_|/,-][A-Za-z0-9]\b){4,}(?:[ ]{2,4}[A-Za-z0-9](?:[ .*_|/,-][A-Za-z0-9]\b)*)*"

# One pass over the text decides whether there is anything to decode; nearly always there is not.
_ENCODED = f"{_ESCAPES}|{_BASE64}|{_HEX}|{_BINARY}|{_CODES}|{_SPACED}"
_ANYTHING = re2.compile(_ENCODED)
_MORE_THAN_ONE_READING = re2.compile(f"{_ENCODED}|{_CONTROLS}")  # of a text in ASCII
_ESCAPES_RE, _SPACED_RE = re2.compile(_ESCAPES), re2.compile(_SPACED)
_BASE64_RE, _BASE32_RE, _HEX_RE, _BINARY_RE, _CODES_RE = (
    re2.compile(p) for p in (_BASE64, _BASE32, _HEX, _BINARY, _CODES)
)


def _children(view: View, clearest: View) -> Iterator[View]:
    if view is not clearest:
        yield from _reversed_views(view)
    text = clearest.text
    written = searchable(text)
    if not _ANYTHING.search(written):
        return
    if "%" in text or "&" in text or "\\" in text:
        yield from _spliced(clearest, _ESCAPES_RE, _unescape)
    yield from _spliced(clearest, _SPACED_RE, _join)
    for expression, decode in _DECODERS:
        for match in expression.finditer(written):
            start, end = match.span()
            for decoded in decode(text[start:end]):
                yield Decoded(decoded, clearest, (start, end))


def searchable(text: str) -> str | bytes:
    """What RE2 is given: in ASCII a byte is a character, so it need not count them to say where a match is."""
    return text.encode() if text.isascii() else text


def _spliced(parent: View, expression: re2._Regexp, read: Callable[[str], str]) -> Iterator[View]:
    out: list[str] = []
    pieces: list[Piece] = []
    length = position = 0
    for match in expression.finditer(searchable(parent.text)):
        start, end = match.span()
        for piece_text, begin, finish, verbatim in (
            (parent.text[position:start], position, start, True),
            (read(parent.text[start:end]), start, end, False),
        ):
            if piece_text:
                pieces.append(Piece(length, begin, finish, verbatim))
                out.append(piece_text)
                length += len(piece_text)
        position = end
    if not pieces:
        return
    if position < len(parent.text):
        pieces.append(Piece(length, position, len(parent.text), verbatim=True))
        out.append(parent.text[position:])
    yield Spliced("".join(out), parent, tuple(pieces))


def _unescape(run: str) -> str:
    if run.startswith("%"):
        return unquote_to_bytes(run).decode("utf-8", "replace")
    if run.startswith("&"):
        return _without_surrogates(html.unescape(run))
    if run.startswith("\\u"):
        return bytes.fromhex(run.replace("\\u", "")).decode("utf-16-be", "replace")
    return bytes.fromhex(run.replace("\\x", "")).decode("utf-8", "replace")


def _join(run: str) -> str:
    """Letters one separator apart make a word; a wider gap separates words."""
    words = run.replace("  ", "\n").split("\n")
    return " ".join("".join(char for char in word if char.isalnum()) for word in words if word.strip())


def _from_base64(run: str) -> Iterator[str]:
    """Text from base64; a run may be glued to other letters, so each alignment is tried."""
    compact = "".join(run.split()).rstrip("=").replace("-", "+").replace("_", "/")
    for skip in range(4):
        body = compact[skip : skip + (len(compact) - skip) // 4 * 4]
        rest = compact[skip + len(body) :]
        padded = body + (rest + "=" * (4 - len(rest)) if len(rest) > 1 else "")
        yield from _texts(binascii.a2b_base64(padded))


def _from_base32(run: str) -> Iterator[str]:
    compact = "".join(run.split()).rstrip("=")
    whole = compact[: len(compact) - (len(compact) % 8 in (1, 3, 6))]  # lengths that no encoder makes
    yield from _texts(base64.b32decode(whole + "=" * (-len(whole) % 8)))


def _from_hex(run: str) -> Iterator[str]:
    digits = "".join(char for char in run.replace("0x", "") if char not in " :,-")
    if len(digits) % 2 == 0:
        yield from _texts(bytes.fromhex(digits))


def _from_binary(run: str) -> Iterator[str]:
    bits = run.replace(" ", "").replace(",", "")
    yield from _texts(int(bits[: len(bits) // 8 * 8], 2).to_bytes(len(bits) // 8, "big"))


def _from_codes(run: str) -> Iterator[str]:
    codes = [int(code) for code in run.replace(",", " ").split()]
    yield from _texts(bytes(code for code in codes if code < 256))


def _texts(raw: bytes) -> Iterator[str]:
    """`raw` read as text, when a stretch of it can be read: bytes around it may be noise."""
    for encoding in ("utf-8", "utf-16-le") if b"\x00" in raw else ("utf-8",):
        text = raw.decode(encoding, "replace")
        if _READABLE.search(text.encode()):
            yield text


_READABLE = re2.compile("[\\pL\\pN\\pP\\pZ\\t\\n\\r+=<>$|^`~]{8,}")  # U+FFFD is a symbol, so other symbols are listed


_DECODERS = (
    (_BASE64_RE, _from_base64),
    (_BASE32_RE, _from_base32),
    (_HEX_RE, _from_hex),
    (_BINARY_RE, _from_binary),
    (_CODES_RE, _from_codes),
)


# --- bidi overrides ---------------------------------------------------------------------------------

_OVERRIDE = re2.compile("\u202e[^\u202c\u2069\n]{4,}")


def _reversed_views(view: View) -> Iterator[View]:
    """Text after a right-to-left override is shown, and so meant, backwards."""
    for match in _OVERRIDE.finditer(view.text):
        yield Decoded(fold(match.group())[::-1], view, match.span())


# --- words in disguise ------------------------------------------------------------------------------

WORD_CHARS_MIN = 16  # no credential is shorter
PIECE_CHARS_MIN = 10  # of a word cut once; cut more often its pieces may be of any length
_IN_WORD = r"[A-Za-z0-9_.~+/=:-]"
# In a long word that is no plain one stands what stands in no plain one, half a word from its end or its beginning.
_HALF = rf"{_IN_WORD}{{{WORD_CHARS_MIN // 2}}}"
_LONG = rf"{_HALF}[A-Z0-9_~+=]|{_IN_WORD}[A-Z0-9_~+=]{_HALF}|[0-9_~+=]{_HALF}"
_CUT = (
    rf"{_IN_WORD}{{{PIECE_CHARS_MIN},}}\r?\n{_IN_WORD}|{_IN_WORD}\r?\n{_IN_WORD}{{{PIECE_CHARS_MIN},}}"
    rf"|{_IN_WORD}(?:\r?\n{_IN_WORD}{{1,{PIECE_CHARS_MIN}}})\r?\n{_IN_WORD}"
)
_MORE_THAN_PLAIN = re2.compile(f"{_ENCODED}|{_CONTROLS}|{_LONG}")
_ANY_LONG, _ANY_CUT = re2.compile(_LONG), re2.compile(_CUT)
# Runs that never go back: linear in any text, and quicker here than RE2, which counts its places anew each time.
_LONG_WORDS = re.compile(rf"(?<!{_IN_WORD}){_IN_WORD}{{{WORD_CHARS_MIN},}}+")
_CUT_WORDS = re.compile(rf"(?<!{_IN_WORD}){_IN_WORD}++(?:\r?\n{_IN_WORD}++)++")
_ONLY_WORDS = re.compile(r"[A-Za-z]?[a-z./:-]*+")


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a parent read otherwise, one a line: whatever is found in one condemns the whole word."""

    text: str
    parent: View
    spans: tuple[tuple[int, Span], ...]  # where in `text` a word begins, and the parent's own

    def locate(self, start: int, end: int) -> Span:
        index = bisect_right(self.spans, start, key=lambda word: word[0]) - 1
        return self.parent.locate(*self.spans[index][1])


@dataclass(frozen=True, slots=True)
class Unbroken:
    """parent[start:end] without its line breaks."""

    text: str
    parent: View
    start: int
    end: int

    def locate(self, start: int, end: int) -> Span:
        written = enumerate(self.parent.text[self.start : self.end], self.start)
        origins = [index for index, char in written if char not in "\r\n"]
        return self.parent.locate(origins[start], origins[max(start, end - 1)] + 1)


def disguises(view: View) -> Iterable[View]:
    """All long words that are no plain ones, backwards and with their letters turned by thirteen."""
    return () if isinstance(view, Plain) else _disguises(view)


def _disguises(view: View) -> Iterator[View]:
    if not _ANY_LONG.search(view.text.encode()):
        return
    spans: list[tuple[int, Span]] = []
    texts: list[str] = []
    length = 0
    for match in _LONG_WORDS.finditer(view.text):
        word = match.group()
        if _ONLY_WORDS.fullmatch(word):
            continue
        for text in (word[::-1], codecs.encode(word, "rot13")):
            spans.append((length, match.span()))
            texts.append(text)
            length += len(text) + 1
    if texts:
        yield Words("\n".join(texts), view, tuple(spans))


def unbroken(view: View) -> Iterable[View]:
    """Words that line breaks cut, pulled together: once into long pieces, or often."""
    return _unbroken(view) if "\n" in view.text else ()


def _unbroken(view: View) -> Iterator[View]:
    if not _ANY_CUT.search(view.text.encode()):
        return
    for match in _CUT_WORDS.finditer(view.text):
        pieces = match.group().split()
        word = "".join(pieces)
        cut_up = len(pieces) > 2 or max(map(len, pieces)) >= PIECE_CHARS_MIN
        if cut_up and len(word) >= WORD_CHARS_MIN and not _ONLY_WORDS.fullmatch(word):
            yield Unbroken(word, view, *match.span())
