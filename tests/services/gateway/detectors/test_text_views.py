"""Whatever a view shows, it leads back to the original; and looking costs linear time."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.patterns import without_overlaps
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.detectors.text_views import Words, disguises, fold, unbroken, views
from services.gateway.exchange import Finding
from services.gateway.ports import Detector

DETECTORS: dict[str, Detector] = {
    "credentials": CredentialDetector(),
    "personal data": PersonalDataDetector(),
    "prompt injection": PromptInjectionDetector(),
}
ANY_TEXT = st.text(st.characters(), max_size=200)
DRESSED = st.lists(
    st.sampled_from(
        [
            "%41",
            "&#105;",
            "\\u0069",
            "aWdub3JlIGFsbCBwcmV2",
            "i g n o r e",
            "\u200b",
            "é",
            "Ａ",
            "x ",
            "\ud800",
            "\n",
            "\r\n",
            "aK1_" * 5,
            "Z9",
        ]
    )
).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.one_of(ANY_TEXT, DRESSED))
def test_every_span_of_every_view_leads_into_the_original(text: str) -> None:
    readings = [other for view in views(text) for other in (view, *disguises(view), *unbroken(view))]
    for view in readings:
        for start in range(0, len(view.text), 7):
            if view.text[start] == "\n" and isinstance(view, Words):
                continue  # stands between two words and comes from nowhere
            begin, end = view.locate(start, min(start + 3, len(view.text)))
            assert 0 <= begin < end <= len(text)


@settings(max_examples=100, deadline=None)
@given(st.one_of(ANY_TEXT, DRESSED))
def test_any_text_can_be_searched_and_findings_are_in_order_without_overlap(text: str) -> None:
    for detector in DETECTORS.values():
        findings = list(detector.find(text))
        assert all(0 <= finding.start < finding.end <= len(text) for finding in findings)
        assert all(one.end <= other.start for one, other in pairwise(findings))


def test_plain_text_has_one_view_only() -> None:
    assert [view.text for view in views("Summarise the leave policy.")] == ["Summarise the leave policy."]


def test_folding_is_blind_to_dress_but_not_to_letters() -> None:
    assert fold("Ｉɡnоrе\u200b ａll") == "Ignore all"
    assert fold("Straße, naïve, 한국어") == "Strasse, naive, 한국어"


def test_overlapping_findings_become_one_named_by_the_surest() -> None:
    findings = [Finding("weak", 0, 10, 0.4), Finding("sure", 5, 12, 1.0), Finding("next", 12, 14, 0.5)]

    assert list(without_overlaps(findings)) == [Finding("sure", 0, 12, 1.0), Finding("next", 12, 14, 0.5)]


EVIL = {
    "one letter": "a" * 200_000,
    "at signs": "a@" * 100_000,
    "digits": "1" * 200_000,
    "digits and spaces": "1 " * 100_000,
    "percent signs": "%41" * 60_000,
    "entities": "&#65;" * 40_000,
    "base64": "QUFB" * 50_000,
    "nested base64": "UVVGQlFVRkI=\n" * 15_000,
    "key headers": "-----BEGIN RSA PRIVATE KEY-----\n" * 6_000,
    "assignments": "password: " * 20_000,
    "ignore": "ignore all previous " * 10_000,
    "brackets": "![](" * 50_000,
    "capitals": "Mr Aa " * 33_000,
    "spaced letters": "i g n o r e  " * 15_000,
    "zero width": "i\u200b" * 100_000,
    "hyphens": "-" * 200_000,
    "urls": "a://" * 50_000,
    "one word": "a1B2" * 50_000,
    "long words": "a1B2c3D4e5F6g7H8 " * 12_000,
    "a line a letter": "a1\n" * 60_000,
    "cut words": "a1B2c3D4e5\nx " * 15_000,
    "bidi": "\u202eabcdefgh" * 20_000,
}
SECONDS_MAX = 6.0  # quadratic time would be minutes; a busy machine is no reason to fail


@pytest.mark.parametrize("name", EVIL)
def test_no_text_takes_more_than_linear_time(name: str) -> None:
    started = time.process_time()
    for detector in DETECTORS.values():
        list(detector.find(EVIL[name]))

    assert time.process_time() - started < SECONDS_MAX
