"""Quotes under an answer: word for word from the passage, and the part of it that is about the question."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stages.citations import QUOTE_CHARS, quote, stems

POLICY = (
    "# Leave policy\n\n## Paid leave\n\nEveryone has 25 days of paid leave. "
    + "Filler about parking spaces and lunch menus. " * 8
    + "\n\n## Approval\n\nThe line manager approves a request within three working days."
)


def test_a_quote_is_the_part_that_is_about_the_question() -> None:
    assert "line manager approves" in quote(POLICY, stems("Who approves my request?"))
    assert "25 days of paid leave" in quote(POLICY, stems("How many days of paid leave are there?"))


def test_without_a_common_word_the_passage_is_quoted_from_its_start() -> None:
    assert quote(POLICY, stems("Wieviel kostet ein Fahrrad?")).startswith("# Leave policy")


@given(text=st.text(max_size=2000), question=st.text(max_size=200))
def test_a_quote_is_word_for_word_and_bounded(text: str, question: str) -> None:
    quoted = quote(text, stems(question))
    assert quoted in text
    assert len(quoted) <= QUOTE_CHARS
