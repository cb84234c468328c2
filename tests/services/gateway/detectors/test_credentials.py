"""Credentials are found wherever they stand, whatever stands around them. All are made up at run time."""

from __future__ import annotations

import base64
import codecs
import json
import secrets
import string
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.detectors.credentials import CredentialDetector

DETECTOR = CredentialDetector()
LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def drawn(length: int, alphabet: str = LETTERS) -> str:
    """Random, and with a letter and a digit at least, as real ones have."""
    while True:
        value = "".join(secrets.choice(alphabet) for _ in range(length))
        if any(char.isdigit() for char in value) and any(char.isalpha() for char in value):
            return value


def json_web_token() -> str:
    parts = ({"alg": "RS256", "typ": "JWT"}, {"sub": drawn(8), "exp": 1_900_000_000})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join((*encoded, secrets.token_urlsafe(48)))


def private_key(kind: str = "RSA ") -> str:
    lines = "\n".join(drawn(64, LETTERS + "+/") for _ in range(6))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n{drawn(20)}==\n-----END {kind}PRIVATE KEY-----"


MADE_UP: dict[str, Callable[[], str]] = {
    "aws_access_key": lambda: "AKIA" + drawn(16, string.ascii_uppercase + "234567"),
    "aws_access_key of a session": lambda: "ASIA" + drawn(16, string.ascii_uppercase + "234567"),
    "aws_bedrock_key": lambda: "ABSK" + drawn(100),
    "google_api_key": lambda: "AIza" + drawn(35),
    "google_oauth_token": lambda: "ya29." + drawn(60),
    "google_client_secret": lambda: "GOCSPX-" + drawn(28),
    "azure_client_secret": lambda: drawn(3) + "8Q~" + drawn(34),
    "github_token": lambda: "ghp_" + drawn(36),
    "github_token of an app": lambda: "ghs_" + drawn(36),
    "github_token fine-grained": lambda: "github_pat_" + drawn(22) + "_" + drawn(59),
    "gitlab_token": lambda: "glpat-" + drawn(20),
    "atlassian_token": lambda: "ATATT3xFfGF0" + drawn(180),
    "npm_token": lambda: "npm_" + drawn(36),
    "pypi_token": lambda: "pypi-AgEIcHlwaS5vcmc" + drawn(120),
    "docker_token": lambda: "dckr_pat_" + drawn(27),
    "pulumi_token": lambda: "pul-" + drawn(40, HEX),
    "terraform_token": lambda: drawn(14) + ".atlasv1." + drawn(67),
    "vault_token": lambda: "hvs." + drawn(90),
    "anthropic_key": lambda: "sk-ant-api03-" + drawn(93) + "AA",
    "openai_key": lambda: "sk-proj-" + drawn(48),
    "openai_key of old": lambda: "sk-" + drawn(48),
    "hugging_face_token": lambda: "hf_" + "".join(secrets.choice(string.ascii_letters) for _ in range(34)),
    "groq_key": lambda: "gsk_" + drawn(52),
    "databricks_token": lambda: "dapi" + drawn(32, HEX),
    "stripe_key": lambda: "sk_live_" + drawn(24),
    "stripe_key of tests": lambda: "sk_test_" + drawn(24),
    "shopify_token": lambda: "shpat_" + drawn(32, HEX),
    "slack_token": lambda: f"xoxb-{drawn(11, string.digits + 'a')}-{drawn(24)}",
    "slack_webhook": lambda: f"https://hooks.slack.com/services/T{drawn(8)}/B{drawn(8)}/{drawn(24)}",
    "telegram_token": lambda: "123456789:AA" + drawn(33),
    "sendgrid_key": lambda: f"SG.{drawn(22)}.{drawn(43)}",
    "grafana_token": lambda: "glsa_" + drawn(41),
    "json_web_token": json_web_token,
    "private_key": private_key,
    "private_key of OpenSSH": lambda: private_key("OPENSSH "),
    "private_key of no kind": lambda: private_key(""),
}


def covered(text: str, value: str) -> bool:
    """True when every character of `value` lies in findings."""
    start = text.index(value)
    left = set(range(start, start + len(value)))
    for finding in DETECTOR.find(text):
        left -= set(range(finding.start, finding.end))
    return not left


@pytest.mark.parametrize("name", MADE_UP)
def test_a_credential_is_found_by_its_kind(name: str) -> None:
    value = MADE_UP[name]()
    text = f"Hello, I use {value} for it. Thanks"

    findings = DETECTOR.find(text)

    assert covered(text, value)
    assert name.split(" ")[0] in {finding.kind for finding in findings}
    assert "Hello" not in "".join(text[finding.start : finding.end] for finding in findings)


@pytest.mark.parametrize(
    "text",
    [
        "password={}",
        "Password: {}",
        'my password is "{}"',
        "{{'password': '{}'}}",
        '"api_key": "{}",',
        "api-key => {}",
        "export API_TOKEN={}",
        "client_secret := `{}`",
        "mein Passwort ist {}",
        "la contraseña es {}",
        "Authorization: Bearer {}",
        "curl -H 'authorization: Basic {}'",
        "postgres://admin:{}@db.internal:5432/x",
        "Cookie: session={}; path=/",
        "AccountKey={}",
        "aws_secret_access_key = {}",
    ],
)
def test_a_credential_is_found_by_what_stands_beside_it(text: str) -> None:
    value = drawn(40)
    written = text.format(value)

    assert covered(written, value)


@pytest.mark.parametrize(
    "comment", ["# pragma: allowlist secret", "// gitleaks:allow", "# nosec", "betterleaks:allow", "noqa: S105"]
)
def test_a_comment_that_allows_a_secret_has_no_effect(comment: str) -> None:
    value = "ghp_" + drawn(36)

    assert covered(f"token = '{value}'  {comment}", value)


def test_the_keys_that_aws_prints_as_examples_count_too() -> None:
    access, secret = "AKIAIOSFODNN7" + "EXAMPLE", "wJalrXUtnFEMI/K7MDENG" + "/bPxRfiCYEXAMPLEKEY"
    text = f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"

    assert covered(text, access)
    assert covered(text, secret)


DRESSES: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(f"token {text}".encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "percent signs": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "zero width": lambda text: "\u200b".join(text),
    "fullwidth": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "HTML entities": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "backwards": lambda text: text[::-1],
    "ROT13": lambda text: codecs.encode(text, "rot13"),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 without its end": lambda text: base64.b32encode(text.encode()).decode().rstrip("="),
    "two lines": lambda text: f"{text[: len(text) // 2]}\n{text[len(text) // 2 :]}",
    "lines of eight": lambda text: "\r\n".join(text[at : at + 8] for at in range(0, len(text), 8)),
    "a line a letter": "\n".join,
    "soft hyphens": "\u00ad".join,
    "backwards with zero width": lambda text: "\u200b".join(text[::-1]),
    "base64 of itself backwards": lambda text: base64.b64encode(text[::-1].encode()).decode(),
}
ISSUED = [name for name in MADE_UP if not name.startswith("private_key")]


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", ISSUED)
def test_a_credential_is_found_in_disguise(dress: str, name: str) -> None:
    disguised = DRESSES[dress](MADE_UP[name]())

    assert covered(f"see {disguised} there", disguised)


def test_a_credential_that_goes_on_in_the_next_line_is_found_to_its_end() -> None:
    value = "sk-ant-api03-" + drawn(93)
    disguised = f"{value[:60]}\n{value[60:]}"

    assert covered(f"see {disguised} there", disguised)


def test_the_word_after_a_credential_at_the_end_of_a_line_is_left_alone() -> None:
    value = "ghp_" + drawn(36)
    text = f"The token is {value}\nPlease rotate it."

    (finding,) = DETECTOR.find(text)
    assert text[finding.start : finding.end] == value


WRAPPED = (
    "The administration of the department\nacknowledges your request of 2026-11-22\nand approves 12 days, i.e.\n"
    "from 1 December.\n\nResponsibilities:\n- documentation\n- communication\n\nname\nversion\n1.2.3\nlicence\nMIT\n"
)


@settings(max_examples=200, deadline=None)
@given(
    noise=st.one_of(
        st.uuids().map(str),
        st.binary(min_size=16, max_size=48).map(bytes.hex),
        st.binary(min_size=16, max_size=48).map(lambda raw: "sha256:" + raw.hex()),
        st.lists(st.sampled_from(["services", "gateway", "v2", "test_1", "2026-11-22", "ask"]), min_size=3).map(
            lambda parts: "https://docs.example.com/" + "/".join(parts)
        ),
    ),
    end=st.sampled_from([" ", "\n", ".\n", "\n\n"]),
)
def test_long_honest_words_and_wrapped_lines_are_no_credential_in_disguise(noise: str, end: str) -> None:
    assert DETECTOR.find(f"{WRAPPED}See {noise}{end}and then\n{noise}\n{WRAPPED}") == ()


@settings(max_examples=60, deadline=None)
@given(before=st.text(max_size=40), after=st.text(max_size=40), name=st.sampled_from(sorted(MADE_UP)))
def test_a_credential_is_found_at_every_place_of_any_text(before: str, after: str, name: str) -> None:
    value = MADE_UP[name]()

    assert covered(before.replace(value, "") + value + after, value)


@pytest.mark.parametrize(
    "text",
    [
        "Password: required",
        "The password must have 12 characters.",
        "Tokens expire after 90 days and are renewed in the developer portal.",
        "password = ${DATABASE_PASSWORD}",
        "api_key: <your_api_key_here>",
        "secret: settings.secret",
        "token = request.headers",
        "token limits: 4000 tokens a minute",
        "The secret of success is hard work.",
        "Commit 3f786850e387550fdab836ed7e6dc881de23001b fixes it.",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "Call /services/gateway/adapters/documents/retrieval/search/index",
        "https://user@example.com/path and mailto:someone@example.com",
        "order id 550e8400-e29b-41d4-a716-446655440000",
        "password: [redacted credential]",
        "The risk-adjusted task-oriented desk-based work",
        "Basic authorization is not offered; bearer tokens are.",
    ],
)
def test_honest_text_is_left_alone(text: str) -> None:
    assert DETECTOR.find(text) == ()
