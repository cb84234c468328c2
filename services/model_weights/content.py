"""What may be inside the files of a bundle: each kind is opened and judged, because a name proves nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

JSON_BYTES_MAX = 64 << 20  # the largest tokenizer.json known has some 33 MB
TEXT_BYTES_MAX = 16 << 20
TOKENIZER_BYTES_MAX = 64 << 20
TEMPLATE_CHARS_MAX = 64 << 10  # of a chat template: it is a program that runs for every request

# Names under which transformers finds code to load, or is told to load it.
CODE_KEYS = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "custom_generate"})

_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+")
_REACHES_INTO_PYTHON = re.compile(r"""(\.\s*|\[\s*["']|\|\s*attr\s*\(\s*["'])__""")


class Refused(Exception):
    """The reason is a clause that follows the file's name."""


def require_json(content: bytes) -> None:
    """JSON without code, without a name that stands twice (readers differ in which one counts)."""
    try:
        json.loads(content.decode("utf-8"), object_pairs_hook=_judged)
    except RecursionError:
        raise Refused("is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"is not JSON: {type(error).__name__}") from None


def require_text(content: bytes) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("is not text in UTF-8") from None
    if "\x00" in text:
        raise Refused("is not text: it holds a NUL")


def require_template(content: bytes) -> None:
    require_text(content)
    _judge_template(content.decode("utf-8"))


def require_tokenizer(content: bytes) -> None:
    """SentencePiece (a protobuf whose first field is a list of pieces) or tiktoken's lines."""
    if content.startswith(b"\x0a"):
        return
    lines = content.splitlines()
    if not lines or not all(_TIKTOKEN.fullmatch(line) for line in lines):
        raise Refused("is neither a SentencePiece model nor a list of ranked tokens")


Judge = Callable[[bytes], None]

BY_SUFFIX: dict[str, tuple[Judge, int]] = {
    "json": (require_json, JSON_BYTES_MAX),
    "txt": (require_text, TEXT_BYTES_MAX),
    "jinja": (require_template, TEMPLATE_CHARS_MAX * 4),
    "model": (require_tokenizer, TOKENIZER_BYTES_MAX),
}


def _judged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("names something twice in one object")
    code = sorted(CODE_KEYS & set(found))
    if code:
        raise Refused(f"holds {code[0]}: it would have code loaded")
    for template in _templates(found.get("chat_template")):
        _judge_template(template)
    return found


def _templates(value: object) -> Iterator[str]:
    """A chat template, or several by name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _templates(one.get("template") if isinstance(one, dict) else one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _templates(one)


def _judge_template(template: str) -> None:
    if len(template) > TEMPLATE_CHARS_MAX:
        raise Refused(f"has a chat template of more than {TEMPLATE_CHARS_MAX} characters ({len(template)})")
    if _REACHES_INTO_PYTHON.search(template):
        raise Refused("has a chat template that reaches for attributes of Python (__…)")
