"""Placeholders come back only for their own request, whole, at every split; look-alikes stay what they are."""

from __future__ import annotations

import time
from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stages.placeholders import Restorer, Vault, restore

VALUES = {
    "[email_address_1_bcdfghjk]": "me@example.org",
    "[email_address_2_bcdfghjk]": "[you]",
    "[iban_1_bcdfghjk]": "",
}
LOOK_ALIKES = [
    "[email_address_1_",
    "[",
    "]",
    "[[",
    "[email_address_1_zzzzzzzz]",
    "text ",
    "[email_address_12_bcdfghjk]",
]
PIECES = [*VALUES, *LOOK_ALIKES, "[email_address_12_bcdfghjk]"]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.integers(0, 200), max_size=12))
def test_any_split_restores_the_same_text(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    at = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    restorer = Restorer(VALUES)
    streamed = "".join(restorer.push(text[start:end]) for start, end in pairwise(at)) + restorer.finish()
    assert streamed == restore(text, VALUES)
    expected = text
    for placeholder, value in VALUES.items():
        expected = expected.replace(placeholder, value if "[" not in value else "\0")
    assert streamed == expected.replace("\0", "[you]")


def test_nothing_is_held_longer_than_a_placeholder_can_be() -> None:
    restorer = Restorer(VALUES)
    assert restorer.push("a [email_address_1_bcd") == "a "
    assert restorer.push("x and so on") == "[email_address_1_bcdx and so on"


def test_one_value_has_one_placeholder_and_two_values_have_two() -> None:
    vault = Vault()
    first = vault.placeholder("email_address", "me@example.org")
    assert vault.placeholder("email_address", "me@example.org") == first
    assert vault.placeholder("email_address", "you@example.org") != first
    assert vault.values == {first: "me@example.org", first.replace("_1_", "_2_"): "you@example.org"}


def test_two_requests_never_share_a_placeholder() -> None:
    one, other = Vault(), Vault()
    mine = one.placeholder("email_address", "me@example.org")
    other.placeholder("email_address", "you@example.org")
    assert restore(mine, other.values) == mine


def test_a_hash_does_not_depend_on_the_requests_key() -> None:
    def text(vault: Vault) -> str:
        return vault.without_key(f"write to {vault.placeholder('email_address', 'me@example.org')}")

    assert text(Vault()) == text(Vault()) == "write to [email_address_1]"


def test_a_key_is_a_word_that_the_caller_did_not_write() -> None:
    written = "".join(consonant + vowel for consonant in "bdfghjklmnprstvz" for vowel in "aeiou")
    key = Vault(lambda: [written]).placeholder("email_address", "me@example.org").removesuffix("]").rpartition("_")[2]
    assert key.isalpha()
    assert key not in written


def test_a_text_that_holds_every_short_word_ends_no_search() -> None:
    syllables = ["".join(pair) for pair in product("bdfghjklmnprstvz", "aeiou")]
    every_word = " ".join("".join(word) for word in product(syllables, repeat=3))
    placeholder = Vault(lambda: [every_word]).placeholder("iban", "DE00")
    assert placeholder.strip("[]").rpartition("_")[2] not in every_word


def test_brackets_that_nobody_closes_take_no_time() -> None:
    text = "[" * 4_000_000 + " "
    began = time.thread_time()
    assert restore(text, VALUES) == text
    assert time.thread_time() - began < 10  # looking for each one's end: minutes
