"""Embeddings of texts and of token ids: whatever comes in, the controls see the text that goes on."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import aiohttp
import pytest
import tiktoken
from tiktoken.load import load_tiktoken_bpe

from services.gateway.edge import application
from services.gateway.metrics import Metrics
from services.gateway.tokens import SHA256, table
from tests.services.gateway.fakes import DIMENSIONS, World, vector
from tests.services.gateway.serving import serving


@dataclass
class Site:
    world: World
    http: aiohttp.ClientSession

    async def ask(self, given: Any, **changes: Any) -> tuple[int, dict[str, Any]]:
        body = {"model": "minilm", "input": given, **changes}
        async with self.http.post("/v1/embeddings", json=body) as response:
            return response.status, await response.json()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    world = World()
    async with (
        serving(application(world.ports(), Metrics())) as url,
        aiohttp.ClientSession(url, headers={"authorization": "Bearer alice"}) as http,
    ):
        yield Site(world, http)


@pytest.fixture(scope="module")
def encoder() -> tiktoken.Encoding:
    """The client's side: the library that LangChain uses, on the same table."""
    path = str(files("tiktoken_ext") / "data" / "cl100k_base.tiktoken")
    pattern = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s+(?!\S)|\s+"
    ranks = load_tiktoken_bpe(path, expected_hash=SHA256)
    return tiktoken.Encoding("cl100k_base", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


TEXTS = ["Everybody has thirty days.", "Überstunden: 時間 🏖", " leading, trailing \n", "def f(x):\n\treturn x"]


@pytest.mark.parametrize("text", TEXTS)
def test_token_ids_are_the_text_that_they_were_made_of(encoder: tiktoken.Encoding, text: str) -> None:
    ids = encoder.encode(text)
    assert table().text(ids) == text
    assert table().size_bytes(ids) == len(text.encode())


def test_every_token_of_the_table_is_the_encoders_own(encoder: tiktoken.Encoding) -> None:
    assert len(table()) == encoder.n_vocab
    one_by_one = (table().text([token]) for token in range(len(table())))
    assert list(one_by_one) == [encoder.decode([token]) for token in range(len(table()))]


async def test_one_list_of_ids_is_one_text_and_several_are_several(site: Site, encoder: tiktoken.Encoding) -> None:
    _, one = await site.ask(encoder.encode(TEXTS[0]))
    _, several = await site.ask([encoder.encode(text) for text in TEXTS])
    assert (len(one["data"]), len(several["data"])) == (1, len(TEXTS))
    assert site.world.embeddings.texts == [TEXTS[0], *TEXTS]


async def test_personal_data_in_token_ids_is_masked_like_any_other(site: Site, encoder: tiktoken.Encoding) -> None:
    status, _ = await site.ask([encoder.encode("write to zoe@example.org")])
    assert status == 200
    assert site.world.embeddings.texts == ["write to [email_address]"]


async def test_a_character_cut_in_two_by_a_client_is_no_error(site: Site, encoder: tiktoken.Encoding) -> None:
    first, *_ = encoder.encode("🏖")
    status, _ = await site.ask([[first]])
    assert status == 200
    assert site.world.embeddings.texts == ["\ufffd"]


async def test_ids_that_stand_for_more_text_than_a_body_may_hold_are_refused(site: Site) -> None:
    long = max(range(len(table())), key=lambda token: table().size_bytes([token]))
    status, answer = await site.ask([[long] * 10_000])
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert site.world.embeddings.texts == []


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an id that is in no table": ([100_256], {}, "input"),
    "an id that marks the end of a text": ([[100_257]], {}, "input"),
    "an id below nothing": ([-1], {}, "input"),
    "a huge id": ([2**70], {}, "input"),
    "texts and ids": (["x", 1], {}, "input"),
    "ids and lists of them": ([1, [2]], {}, "input"),
    "a list without ids": ([[]], {}, "input"),
    "more texts than a request may hold": ([[1]] * 257, {}, "input"),
    "other dimensions than there are": ("x", {"dimensions": DIMENSIONS * 2}, "dimensions"),
    "an encoding nobody knows": ("x", {"encoding_format": "hex"}, "encoding_format"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_has_no_meaning_is_refused_by_name(site: Site, case: str) -> None:
    given, changes, param = REFUSED[case]
    status, answer = await site.ask(given, **changes)
    assert (status, answer["error"]["param"]) == (400, param)
    assert site.world.embeddings.texts == []
    assert site.world.audit.kinds == ["refusal"]


async def test_base64_is_the_same_numbers_in_four_bytes_each(site: Site) -> None:
    _, plain = await site.ask("leave", encoding_format="float", dimensions=DIMENSIONS)
    _, coded = await site.ask("leave", encoding_format="base64")
    numbers = struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(coded["data"][0]["embedding"]))
    assert numbers == pytest.approx(plain["data"][0]["embedding"])
    assert plain["data"][0]["embedding"] == pytest.approx(vector("leave"))
