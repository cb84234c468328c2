"""Token ids into text, so that the text controls see what is embedded: OpenAI's table cl100k_base.

It is the one that OpenAI's embedding models and LangChain use, the latter also for models whose name it does
not know. Ids of another table become another text: the answer is then of no use, but what the controls have
read is still exactly what goes on, since the backend gets the text and never the ids.
"""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

ENCODING = "cl100k_base"
# As OpenAI's own library demands it of its download.
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


class TableError(Exception):
    """The table is not the one that it should be; the gateway must not start."""


class Table:
    """All tokens in one run of bytes, in the order of their ids, and where each begins."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._bytes = b"".join(tokens)
        self._starts = array("L", [0])
        for token in tokens:
            self._starts.append(self._starts[-1] + len(token))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def size_bytes(self, ids: Sequence[int]) -> int:
        """Of the text, before it is made. IndexError for an id that is not in the table."""
        return sum(self._starts[token + 1] - self._starts[token] for token in ids)

    def text(self, ids: Sequence[int]) -> str:
        """What stands at a cut through a character (clients cut by tokens) becomes U+FFFD."""
        starts, run = self._starts, self._bytes
        return b"".join(run[starts[token] : starts[token + 1]] for token in ids).decode("utf-8", "replace")


@cache
def table() -> Table:
    """The table, read and checked once."""
    content = (files("tiktoken_ext") / "data" / f"{ENCODING}.tiktoken").read_bytes()
    if sha256(content).hexdigest() != SHA256:
        raise TableError(f"the installed table {ENCODING} is not OpenAI's")
    lines = [line.split() for line in content.splitlines()]
    return Table([b64decode(token) for token, _ in sorted(lines, key=lambda line: int(line[1]))])
