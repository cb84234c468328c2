"""What is worked out once for all detectors leaves nothing out that one of them would have found."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.detectors import credentials, personal_data, prompt_injection
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.patterns import PatternTable
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.detectors.reading import Look, looks
from services.gateway.detectors.text_views import Original, Plain, disguises, views
from services.gateway.exchange import Finding
from tests.services.gateway.detectors.test_credentials import MADE_UP

ALL_PATTERNS = -1  # every bit
TABLES: dict[str, PatternTable] = {
    "credentials": credentials._TABLE,
    "personal data by words": personal_data._WORDS,
    "personal data by words and digits": personal_data._WORDS_AND_DIGITS,
    "prompt injection": prompt_injection._TABLE,
}
DETECTORS = (CredentialDetector(), PersonalDataDetector(), PromptInjectionDetector())
HERE = Path(__file__).parent


def _sentences() -> Iterator[str]:
    for name in ("attacks.toml", "benign.toml"):
        for texts in tomllib.loads((HERE / name).read_text(encoding="utf-8")).values():
            yield from texts


SENTENCES = tuple(_sentences())
ADDRESSES = tuple(
    f"12 Market {street}, Apt 4"
    for street in (
        "Street", "St.", "Road", "Rd.", "Avenue", "Ave", "Lane", "Ln", "Drive", "Dr.", "Boulevard", "Blvd", "Court",
        "Ct", "Way", "Terrace", "Place", "Pl", "Square", "Sq", "Crescent", "Close", "Highway", "Parkway",
    )
)  # fmt: skip
FACTS = (
    "me@example.com", "me (at) example (dot) com", "My name is Jane Doe", "Dear Mr. Smith,", "born on 12 March 1980",
    "passport number C01X00T47", "Hauptstraße 12", "12 rue Lepic 7", "10.20.30.40", "2001:db8::1", "patient: Jane Doe",
)  # fmt: skip


def _with_and_without_hints(table: PatternTable, text: str) -> tuple[list[Finding], list[Finding]]:
    look, everything = Look(Original(text)), Look(Original(text))
    everything.hinted = ALL_PATTERNS
    return list(table.find(look)), list(table.find(everything))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("known", [SENTENCES, ADDRESSES, FACTS], ids=["sentences", "addresses", "facts"])
def test_a_pattern_whose_hints_are_missing_would_have_found_nothing(table: str, known: tuple[str, ...]) -> None:
    for text in known:
        hinted, all_run = _with_and_without_hints(TABLES[table], text)
        assert hinted == all_run


@pytest.mark.parametrize("name", MADE_UP)
def test_a_credential_is_found_by_its_hints_alone(name: str) -> None:
    hinted, all_run = _with_and_without_hints(credentials._TABLE, f"see {MADE_UP[name]()} there")

    assert hinted == all_run != []


def test_a_pattern_is_not_run_without_its_hints() -> None:
    assert not Look(Original("Who approves a day of leave?")).hinted


def test_a_hint_alone_is_no_match_for_a_pattern_that_waits_for_two() -> None:
    ignoring, instructing = Look(Original("disregard")), Look(Original("guidelines"))
    both = Look(Original("disregard guidelines"))

    assert both.hinted & ~(ignoring.hinted | instructing.hinted)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*SENTENCES, *ADDRESSES, *FACTS]), min_size=2, max_size=4), st.randoms())
def test_every_text_is_read_for_itself_in_whatever_order_detectors_look(texts: list[str], random: Random) -> None:
    alone = {(text, index): list(_fresh(text, index)) for text in texts for index in range(len(DETECTORS))}
    order = list(alone)
    random.shuffle(order)

    assert {key: list(DETECTORS[key[1]].find(key[0])) for key in order} == alone


def _fresh(text: str, index: int) -> Iterable[Finding]:
    list(DETECTORS[0].find("something else was read before"))
    return DETECTORS[index].find(text)


def test_a_text_that_was_just_read_is_not_read_again() -> None:
    text = "Summarise the " + "leave policy."

    assert looks(text) is looks(text)
    assert looks(text) is not looks(text + ".")


# --- which words could be in disguise --------------------------------------------------------------------

IN_WORDS = st.text("abcXYZ019_.~+/=:-", max_size=24)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(IN_WORDS, st.text("abcdefgh./:-", max_size=40)), max_size=4))
def test_every_long_word_that_is_no_plain_one_is_read_in_disguise(words: list[str]) -> None:
    text = " ".join(words)
    expected = [word for word in text.split() if len(word) >= 16 and not re.fullmatch("[A-Za-z]?[a-z./:-]*", word)]
    first = next(iter(views(text)))

    read = [line for view in disguises(first) for line in view.text.split("\n")]

    assert read[::2] == [word[::-1] for word in expected]
    assert not (expected and isinstance(first, Plain))
