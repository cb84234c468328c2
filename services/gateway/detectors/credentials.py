"""Finds credentials: tokens of known issuers, keys, and passwords by what is written around them.

Inline allow comments ("pragma: allowlist secret", "gitleaks:allow") mean nothing here: whoever writes the
text does not decide. Keys that vendors print as examples count as well, since nobody can tell the two apart
in a hurry. Weak: a secret with no known prefix and no telling word beside it is not seen, nor one that is cut by
spaces, encrypted, or written in base85; a private key or a password is not seen backwards, turned or cut by lines.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from services.gateway.detectors.patterns import Pattern, PatternTable, settled
from services.gateway.detectors.reading import Look, looks
from services.gateway.detectors.text_views import Plain, disguises, unbroken
from services.gateway.exchange import Finding


class CredentialDetector:
    """Finds credentials in every reading of a text; issued ones also backwards, turned, or cut by line breaks."""

    def find(self, text: str) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for look in looks(text):
            found += _find(look, text)
        return settled(found)


def _find(look: Look, text: str) -> Sequence[Finding]:
    plain = _TABLE.find(look)
    if isinstance(look.view, Plain) and "\n" not in text:
        return plain
    found = list(plain)
    for word in disguises(look.view):
        found += _ISSUED.find(Look(word))
    for word in unbroken(look.view):
        found += (one for one in _ISSUED.find(Look(word)) if not _adds_only_words(one, plain, text))
    return found


def _adds_only_words(finding: Finding, plain: Iterable[Finding], text: str) -> bool:
    """True when a credential was whole on its line, and what the next line begins with is a word of a sentence."""
    known = [one.end for one in plain if one.start <= finding.start < one.end]
    return bool(known) and _is_plain(text[max(known) : finding.end])


def entropy_bits(value: str) -> float:
    """Shannon entropy in bits a character: about 3.5 for words, 4 for hexadecimal, 5 and more for base64."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())


def _looks_random(value: str) -> bool:
    return entropy_bits(value) >= 3.0 and any(char.isdigit() for char in value)


def _is_aws_secret(value: str) -> bool:
    mixed = any(char.isupper() for char in value) and any(char.islower() for char in value)
    return mixed and entropy_bits(value) >= 4.0


# What stands in documentation where a secret would stand.
_PLACEHOLDER_STARTS = ("$", "{", "<", "[", "%", "*", "(", "&")
_PLACEHOLDER_PARTS = ("your_", "your-", "xxxx", "****", "....", "example.com", "_here", "redacted", "removed]")


def _is_password(value: str) -> bool:
    """A value that somebody chose or generated, not a word of a sentence about passwords."""
    lowered = value.lower()
    if value.startswith(_PLACEHOLDER_STARTS) or any(part in lowered for part in _PLACEHOLDER_PARTS):
        return False
    letters = any(char.isalpha() for char in value)
    others = sum(not char.isalpha() for char in value.rstrip(".,;:!?)'\""))
    return letters and others > 0 and entropy_bits(value) >= 2.3 and not _is_plain(value)


def _is_written_out(value: str) -> bool:
    return not value.startswith(_PLACEHOLDER_STARTS)


def _is_cookie(value: str) -> bool:
    return "=" in value and any(char.isdigit() for char in value)


def _is_plain(value: str) -> bool:
    """Words joined by punctuation, as in `token: access-token` or `secret = settings.secret`."""
    parts = "".join(char if char.isalnum() else " " for char in value).split()
    return all(part.isalpha() and (part.islower() or part.isupper() or part.istitle()) for part in parts)


_ASSIGNED_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|passwort|kennwort|mot de passe|contrase[nñ]a|contrasenia|senha|wachtwoord"
    r"|secret(?:[_ -]?(?:access[_ -]?)?key)?|(?:api|access|auth|private|signing|encryption|account|master)[_ -]?key"
    r"|apikey|(?:access|auth|refresh|bearer|session|personal|bot|api|id)?[_ -]?token|client[_ -]?secret"
    r"|credentials?|connection[_ -]?string)"
)
_NAME_HINTS = (
    "pass", "pwd", "kennwort", "contrase", "senha", "wachtwoord", "secret", "key", "token", "credential",
    "connection",
)  # fmt: skip
_ASSIGNED = r"""["'`*]{0,3}\s{0,3}(?::=|=>|==|=|:|->|→|\b(?:is|was|ist|es|est|é)\b)\s{0,3}\*{0,3}"""
# A quoted value ends at its quotation mark, any other at the next space: cutting too much is the safe side.
_QUOTED, _QUOTED_ONCE, _BARE = r'"([^"\n]{6,})"', r"'([^'\n]{6,})'", r"""([^\s"'`]\S{5,})"""
_URL = r"[a-zA-Z][a-zA-Z0-9+.-]{1,30}://"
_LINE_END = r"(?:\s|\\[rn])*"  # also as two characters, as in a JSON string
_KEY_NAME = r"(?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?"
_PRIVATE_KEY = (
    rf"-----BEGIN {_KEY_NAME}-----(?:\s*[A-Z][A-Za-z-]{{2,20}}: [^\n]{{0,100}}\n)*"
    rf"(?:{_LINE_END}[A-Za-z0-9+/=]{{16,}})*(?:{_LINE_END}[A-Za-z0-9+/=]{{1,64}}{_LINE_END}-----END|{_LINE_END}-----END)?"
    rf"(?: {_KEY_NAME}-----)?"
)
_FORTY_NEAR_AWS = (
    r"(?:(?i:aws|amazon|secret)|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16})[^\n]{0,60}?(?:\s[^\n]{0,40}?)?"
    r"[^A-Za-z0-9/+]([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"
)

_ISSUED_PATTERNS = (
    # --- cloud providers
    Pattern(
        "aws_access_key", r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}", ("akia", "asia", "abia", "acca", "a3t")
    ),
    Pattern(
        "aws_secret_key",
        _FORTY_NEAR_AWS,
        ("aws", "amazon", "secret", "akia", "asia"),
        accept=_is_aws_secret,
    ),
    Pattern("aws_session_token", r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9/+=]{60,}", ("fwogzxivyxdz", "iqojb3jpz2lu")),
    Pattern("aws_bedrock_key", r"ABSK[A-Za-z0-9+/]{60,}={0,2}", ("absk",)),
    Pattern("google_api_key", r"AIza[A-Za-z0-9_-]{35}", ("aiza",)),
    Pattern("google_oauth_token", r"ya29\.[A-Za-z0-9_-]{20,}", ("ya29.",)),
    Pattern("google_client_secret", r"GOCSPX-[A-Za-z0-9_-]{20,}", ("gocspx-",)),
    Pattern(
        "azure_storage_key",
        r"(?i:AccountKey|SharedAccessKey)\s{0,3}=\s{0,3}([A-Za-z0-9+/]{40,90}={0,2})",
        ("accountkey", "sharedaccesskey"),
    ),
    Pattern("azure_client_secret", r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", ("q~",)),
    Pattern("azure_sas_signature", r"[?&]sig=([A-Za-z0-9%+/=]{40,})", ("sig=",)),
    Pattern("digitalocean_token", r"do[oprt]_v1_[a-f0-9]{64}", ("_v1_",)),
    Pattern("alibaba_access_key", r"LTAI[A-Za-z0-9]{12,30}", ("ltai",), accept=_looks_random),
    # --- source code, packages, build
    Pattern(
        "github_token",
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    Pattern(
        "gitlab_token",
        r"(?:glpat|gldt|glrt|glptt|glcbt|glsoat|glft|glagent|gloas)-[A-Za-z0-9_.-]{20,}",
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glft-", "glagent-", "gloas-"),
    ),
    Pattern("atlassian_token", r"ATATT3[A-Za-z0-9_=-]{50,}|ATCTT3[A-Za-z0-9_=-]{50,}", ("atatt3", "atctt3")),
    Pattern("npm_token", r"npm_[A-Za-z0-9]{36}", ("npm_",)),
    Pattern("pypi_token", r"pypi-AgE[A-Za-z0-9_-]{50,}", ("pypi-age",)),
    Pattern("rubygems_token", r"rubygems_[a-f0-9]{48}", ("rubygems_",)),
    Pattern("docker_token", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{24,}", ("dckr_",)),
    Pattern("pulumi_token", r"pul-[a-f0-9]{40}", ("pul-",)),
    Pattern("terraform_token", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", (".atlasv1.",)),
    Pattern("vault_token", r"hv[sbr]\.[A-Za-z0-9_-]{24,}", ("hvs.", "hvb.", "hvr.")),
    # --- models
    Pattern("anthropic_key", r"sk-ant-[A-Za-z0-9_-]{20,}", ("sk-ant-",)),
    Pattern("openai_key", r"sk-(?:proj|svcacct|admin|service|None)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{32,}", ("sk-",)),
    Pattern("openrouter_key", r"sk-or-v1-[a-f0-9]{40,}", ("sk-or-",)),
    Pattern("hugging_face_token", r"(?:hf|api_org)_[A-Za-z]{34}", ("hf_", "api_org_")),
    Pattern("groq_key", r"gsk_[A-Za-z0-9]{40,}", ("gsk_",)),
    Pattern("replicate_token", r"r8_[A-Za-z0-9]{37}", ("r8_",)),
    Pattern("databricks_token", r"dapi[a-f0-9]{32}", ("dapi",)),
    # --- payment, messages, mail, observability
    Pattern(
        "stripe_key",
        r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{24,}",
        ("_live_", "_test_", "_prod_", "whsec_"),
    ),
    Pattern("square_token", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{60}", ("sq0", "eaaa")),
    Pattern("shopify_token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", ("shpat_", "shpca_", "shppa_", "shpss_")),
    Pattern(
        "slack_token", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}", ("xox", "xapp-")
    ),
    Pattern(
        "slack_webhook",
        r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}",
        ("hooks.slack.com",),
    ),
    Pattern(
        "discord_token",
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}|discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{40,}",
        ("discord", "bot", "token"),
    ),
    Pattern("telegram_token", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", (":aa",)),
    Pattern("twilio_key", r"SK[0-9a-f]{32}", ("sk",)),
    Pattern("sendgrid_key", r"SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}", ("sg.",)),
    Pattern("mailgun_key", r"key-[0-9a-f]{32}", ("key-",)),
    Pattern("mailchimp_key", r"[0-9a-f]{32}-us[0-9]{1,2}", ("-us",)),
    Pattern("grafana_token", r"gl(?:sa|c)_[A-Za-z0-9_+/=]{32,}", ("glsa_", "glc_")),
    Pattern("new_relic_key", r"NRAK-[A-Z0-9]{27}|NRJS-[a-f0-9]{19}", ("nrak-", "nrjs-")),
    Pattern("sentry_token", r"sntry[su]_[A-Za-z0-9_=+/-]{40,}", ("sntrys_", "sntryu_")),
    Pattern("notion_token", r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}", ("ntn_", "secret_")),
    Pattern("linear_key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}", ("lin_api_", "lin_oauth_")),
    Pattern("figma_token", r"figd_[A-Za-z0-9_-]{40,}", ("figd_",)),
    Pattern("doppler_token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}", ("dp.",)),
    # --- forms that are their own, whoever issued them
    Pattern("age_secret_key", r"AGE-SECRET-KEY-1[A-Z0-9]{58}", ("age-secret-key-1",)),
    Pattern("json_web_token", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}", ("eyj",)),
)
_TOLD_PATTERNS = (
    # --- by what is written around them
    Pattern("private_key", _PRIVATE_KEY, ("private key",)),
    Pattern("url_password", _URL + r"[^\s/:@'\"<>]{0,128}:([^\s/@'\"<>]{3,256})@", ("://",), accept=_is_written_out),
    Pattern(
        "authorization_header",
        r"(?i:authorization\s{0,3}[:=]\s{0,3}[\"']?(?:basic|digest|negotiate|token|apikey)\s{1,3})([A-Za-z0-9+/=_.~-]{8,})",
        ("authorization",),
    ),
    Pattern(
        "bearer_token", r"(?i:bearer)(?:\s|%20|:){1,3}([A-Za-z0-9._~+/=-]{16,})", ("bearer",), accept=_looks_random
    ),
    Pattern("cookie", r"(?i:cookie\s{0,3}:\s{0,3})([^\n]{8,})", ("cookie",), accept=_is_cookie),
    Pattern("password", rf"(?i:{_ASSIGNED_NAME}{_ASSIGNED}){_QUOTED}", _NAME_HINTS, 0.9, _is_password),
    Pattern("password", rf"(?i:{_ASSIGNED_NAME}{_ASSIGNED}){_QUOTED_ONCE}", _NAME_HINTS, 0.9, _is_password),
    Pattern("password", rf"(?i:{_ASSIGNED_NAME}{_ASSIGNED}){_BARE}", _NAME_HINTS, 0.9, _is_password),
)


_TABLE = PatternTable((*_ISSUED_PATTERNS, *_TOLD_PATTERNS))
_ISSUED = PatternTable(_ISSUED_PATTERNS)
