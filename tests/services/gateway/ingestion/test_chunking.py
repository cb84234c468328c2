"""Passages are short enough, nothing is lost between them, and they break where a reader would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.ingestion.chunking import CHUNK_CHARS_MAX, cut

PROSE = st.text(st.sampled_from("ab .!?\n。é"), max_size=600)


@given(PROSE, st.integers(20, 120))
def test_no_passage_is_longer_than_allowed_or_empty(text: str, chars_max: int) -> None:
    chunks = cut(text, chars_max, chars_max // 5)

    assert all(0 < len(chunk) <= chars_max for chunk in chunks)


@given(st.lists(st.integers(0, 10**6), max_size=120), st.integers(20, 120))
def test_every_word_is_in_a_passage_and_in_order(numbers: list[int], chars_max: int) -> None:
    words = [f"w{number}{'.' if number % 3 == 0 else ''}" for number in numbers]
    chunks = cut(" ".join(words), chars_max, 0)

    assert " ".join(chunks).split() == words


def test_passages_break_between_sentences_and_repeat_the_last_one() -> None:
    sentences = [f"This is sentence number {number} of the handbook." for number in range(10)]

    chunks = cut(" ".join(sentences), 200, 60)

    assert all(chunk.startswith("This is") and chunk.endswith(".") for chunk in chunks)
    assert chunks[1].startswith(sentences[3])
    assert chunks[0].endswith(sentences[3])


def test_short_paragraphs_stay_together_and_whole() -> None:
    paragraphs = [f"{number}. A short paragraph about leave." for number in range(50)]

    chunks = cut("\n\n".join(paragraphs), CHUNK_CHARS_MAX, 0)

    assert [line for chunk in chunks for line in chunk.split("\n\n")] == paragraphs


def test_text_without_any_break_is_cut_all_the_same() -> None:
    assert [len(chunk) for chunk in cut("x" * 1_700, 800, 100)] == [800, 800, 100]
    assert cut("") == ()
