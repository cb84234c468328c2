"""Redaction: no canary survives, equal values stay equal within a run, and a run's tokens say nothing without its key.

The detectors' recall has its own tests; here stands what redaction makes of what they find.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.exchange import Finding
from services.gateway.redact_dataset import Unreadable, redacted
from services.gateway.redaction import Json, Leak, Redactor, Tally, kept, tokens

KEY = secrets.token_bytes(32)
CANARIES = {
    "email_address": "anna.berg@example.com",
    "payment_card": "4111 1111 1111 1111",
    "iban": "DE89370400440532013000",
    "phone_number": "+49 30 901820",
    "person_name": "My name is Anna Berg",
    "aws_access_key": "AKIA" + "IOSFODNN7EXAMPLE",
}


def redactor(key: bytes = KEY) -> Redactor:
    return Redactor([PersonalDataDetector(), CredentialDetector()], tokens(key))


def redact(text: str, key: bytes = KEY) -> str:
    return redactor(key).text(text, Tally())


@pytest.mark.parametrize("kind", CANARIES)
def test_d_9_no_canary_survives(kind: str) -> None:
    tally = Tally()
    written = redactor().text(f"Please note: {CANARIES[kind]}. Thanks.", tally)
    value = CANARIES[kind].removeprefix("My name is ")

    assert value not in written
    assert f"[{kind}:" in written
    assert tally.kinds == {kind: 1}
    assert written.startswith("Please note: ")
    assert written.endswith(". Thanks.")


@given(st.permutations(sorted(CANARIES)), st.text(alphabet="abc ÄÖ.\n", max_size=20))
@settings(max_examples=40, deadline=None)
def test_d_9_no_canary_survives_in_any_company(order: list[str], between: str) -> None:
    written = redact(f" {between} ".join(CANARIES[kind] for kind in order))

    assert [kind for kind in order if CANARIES[kind].removeprefix("My name is ") in written] == []


def test_d_9_the_same_value_is_the_same_token_within_a_run_and_another_in_the_next() -> None:
    first, again = redact("Mail anna@example.com now"), redact("Ask Anna@Example.com")
    other = redact("Mail anna@example.com now", secrets.token_bytes(32))

    assert first.split()[1] == again.split()[1]
    assert first.split()[1] != other.split()[1]
    assert redact("Mail bert@example.com now").split()[1] != first.split()[1]


def test_d_9_a_token_is_no_plain_digest_of_its_value() -> None:
    value = "anna@example.com"
    written = redact(f"Mail {value} now")

    for text in (value, f"email_address\x00{value}"):
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        assert digest.translate(str.maketrans("0123456789abcdef", "ghijklmnopabcdef")) not in written


@given(st.binary(min_size=32, max_size=32), st.sampled_from(sorted(CANARIES)))
@settings(max_examples=60, deadline=None)
def test_a_token_is_never_found_again(key: bytes, kind: str) -> None:
    written = redact(f"Please note: {CANARIES[kind]}.", key)

    assert redact(written, key) == written


def test_a_value_found_once_is_replaced_where_nothing_gives_it_away() -> None:
    written = redact("My name is Anna Berg. The file of Anna Berg is empty.")

    assert "Anna Berg" not in written


class FindsTheWord:
    """A detector that finds its word even in what redaction makes of it."""

    def find(self, text: str) -> list[Finding]:
        at = text.find("secret")
        return [Finding("secret", at, at + 6)] if at >= 0 else []


def test_what_is_still_found_is_withheld_and_never_quoted() -> None:
    leaking = Redactor([FindsTheWord()], lambda kind, value: f"[{kind}]")

    with pytest.raises(Leak, match="still found after redaction: secret") as leak:
        leaking.text("a secret here", Tally())
    assert "a secret here" not in str(leak.value)


def test_a_document_keeps_its_shape() -> None:
    document: Json = {
        "messages": [{"text": "Mail anna@example.com", "n": 3, "ok": True, "none": None}],
        "anna@example.com": 4111111111111111,
    }
    written = redactor().document(document, Tally())
    assert isinstance(written, dict)
    text = json.dumps(written)

    assert "anna" not in text
    assert "4111111111111111" not in text
    assert '"n": 3, "ok": true, "none": null' in text


RECORD: dict[str, Json] = {
    "schemaType": "ModelInvocationLog",
    "timestamp": "2026-11-22T19:00:00Z",
    "accountId": "333344445555",
    "identity": {"arn": "arn:aws:sts::333344445555:assumed-role/gateway/x"},
    "requestId": "r-1",
    "requestMetadata": {"tenant": "acme"},
    "operation": "Converse",
    "modelId": "amazon.nova-lite-v1:0",
    "input": {
        "inputBodyJson": {"messages": [{"content": [{"text": "My mail is anna@example.com"}]}]},
        "inputBodyS3Path": "s3://content/x",
        "inputTokenCount": 7,
    },
    "output": {"outputBodyJson": {"text": "Noted, anna@example.com"}, "outputTokenCount": 4},
}


def test_who_asked_and_when_does_not_go_on() -> None:
    selected = kept(RECORD)

    assert set(selected) == {"schemaType", "operation", "modelId", "input", "output"}
    assert "333344445555" not in json.dumps(selected)
    assert "s3://" not in json.dumps(selected)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_of_records_is_redacted_line_by_line(*, packed: bool) -> None:
    lines = "\n".join(json.dumps(RECORD) for _ in range(3)).encode()
    content, summary = redacted(gzip.compress(lines) if packed else lines, redactor())

    assert summary == {"records": 3, "replaced": {"email_address": 6}}
    assert b"anna@" not in content
    assert len({line for line in content.splitlines() if line}) == 1


def test_a_value_that_only_the_last_record_gives_away_is_replaced_in_the_first() -> None:
    records = [
        {"input": {"inputBodyJson": "The file of Anna Berg"}},
        {"input": {"inputBodyJson": "My name is Anna Berg"}},
    ]
    content, _ = redacted("\n".join(json.dumps(record) for record in records).encode(), redactor())

    assert b"Anna Berg" not in content


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"{", b"[1]", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"tail", b"\x1f\x8bnot gzip"],
    ids=["bytes", "half an object", "a list", "cut off", "with a tail", "no gzip"],
)
def test_what_is_no_file_of_records_is_withheld(content: bytes) -> None:
    with pytest.raises(Unreadable):
        redacted(content, redactor())
