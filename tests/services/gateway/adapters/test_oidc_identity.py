"""Tokens: what holds, what does not, and what a provider that is down changes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.gateway.adapters import jwks_cache, oidc_identity
from services.gateway.adapters.claim_mapping import AWS_CLAIMS
from services.gateway.adapters.oidc_identity import OidcIdentity
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Denied, Unavailable
from services.gateway.settings import ClaimPaths, Subject
from tests.recovery import Recovery
from tests.services.gateway.issuer import Issuer, running_issuer


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running_issuer() as running:
        yield running


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Clock:
    return Clock()


@asynccontextmanager
async def identity_of(*issuers: Issuer, ticks: Callable[[], float] = time.monotonic) -> AsyncIterator[OidcIdentity]:
    upstream = Upstream()
    await upstream.start()
    yield OidcIdentity(issuers, upstream, ticks=ticks)
    await upstream.close()


@pytest.fixture
async def identity(issuer: Issuer, ticks: Clock) -> AsyncIterator[OidcIdentity]:
    async with identity_of(issuer, ticks=ticks) as identity:
        yield identity


async def test_a_good_token_names_the_caller(issuer: Issuer, identity: OidcIdentity) -> None:
    caller = await identity.authenticate(issuer.token(roles=["analyst", "support"]))
    assert (caller.subject, caller.tenant, caller.roles) == ("alice", "acme", ("analyst", "support"))
    assert caller.claims["workload"] == "document-assistant"
    assert caller.issuer == issuer.url


def _unsigned(issuer: Issuer) -> str:
    body = issuer.token().split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"first"}').decode().rstrip("=")
    return f"{none}.{body}."


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """The classic confusion: HS256 with the published key as secret."""
    public = (
        issuer.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = _coded({"alg": "HS256", "kid": "first", "typ": "JWT"})
    body = issuer.token().split(".")[1]
    signature = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _foreign_key(issuer: Issuer) -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "first"})


def _changed_last_claim(issuer: Issuer) -> str:
    """Shares its first 200 characters with a good token."""
    head, body, signature = issuer.token(note="x" * 400).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{_coded(claims | {'zz': 1})}.{signature}"


def _claim_twice(issuer: Issuer) -> str:
    head, body, signature = issuer.token().split(".")
    text = base64.urlsafe_b64decode(body + "==").decode().replace('"tenant"', '"tenant":"globex","tenant"')
    return f"{head}.{base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')}.{signature}"


NOT_VALID: dict[str, Callable[[Issuer], str]] = {
    "not a token at all": lambda issuer: "' OR 1=1 --",
    "empty parts": lambda issuer: "..",
    "algorithm none": _unsigned,
    "HS256 with the public key as secret": _signed_with_the_public_key,
    "another's key under a known key id": _foreign_key,
    "claims changed after signing": _changed_last_claim,
    "a claim twice": _claim_twice,
    "another audience": lambda issuer: issuer.token(aud="other"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "another issuer": lambda issuer: issuer.token(iss="https://issuer.invalid"),
    "no issuer": lambda issuer: issuer.token(iss=None),
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 60),
    "no expiry": lambda issuer: issuer.token(exp=None),
    "not valid yet": lambda issuer: issuer.token(nbf=int(time.time()) + 300),
    "issued in the future": lambda issuer: issuer.token(iat=int(time.time()) + 300),
    "no issue time": lambda issuer: issuer.token(iat=None),
    "no subject": lambda issuer: issuer.token(sub=None),
    "critical header": lambda issuer: issuer.token(header={"crit": ["b64"], "b64": True}),
    "a key id that walks": lambda issuer: issuer.token(header={"kid": "../../first"}),
    "too long": lambda issuer: issuer.token(note="x" * 20_000),
    "no key id": lambda issuer: issuer.token(header={"kid": ""}),
}


@pytest.mark.parametrize("case", NOT_VALID)
async def test_a_token_that_does_not_hold_is_401(case: str, issuer: Issuer, identity: OidcIdentity) -> None:
    await identity.authenticate(issuer.token())  # the keys are known
    with pytest.raises(Denied) as denied:
        await identity.authenticate(NOT_VALID[case](issuer))
    assert denied.value.status == 401


@pytest.mark.parametrize(
    "claims",
    [{"tenant": None}, {"tenant": "../x"}, {"roles": None}, {"roles": []}, {"roles": "analyst"}, {"tenant": 7}],
)
async def test_a_token_without_tenant_or_roles_is_403(
    claims: dict[str, Any], issuer: Issuer, identity: OidcIdentity
) -> None:
    with pytest.raises(Denied) as denied:
        await identity.authenticate(issuer.token(**claims))
    assert denied.value.status == 403


async def test_a_provider_that_is_down_with_no_key_known_is_503_and_heals(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    issuer.down = True
    with pytest.raises(Unavailable):
        await identity.authenticate(issuer.token())
    with pytest.raises(Unavailable):
        await identity.ready()
    issuer.down = False
    ticks.now += jwks_cache.RETRY_S + 1
    await identity.ready()
    assert (await identity.authenticate(issuer.token())).subject == "alice"


async def test_a_short_outage_goes_unnoticed(issuer: Issuer, identity: OidcIdentity, ticks: Clock) -> None:
    await identity.authenticate(issuer.token())
    issuer.down = True
    ticks.now += jwks_cache.CONFIRMED_S - 1
    assert (await identity.authenticate(issuer.token(sub="bob"))).subject == "bob"
    with pytest.raises(Denied):
        await identity.authenticate(issuer.token(header={"kid": "unknown"}))


async def confirmed(identity: OidcIdentity) -> None:
    """Returns when the provider has answered what it was asked in the background."""
    recovery = Recovery(30)
    while identity.unconfirmed_s:
        await recovery.pause()


async def pass_outage(issuer: Issuer, identity: OidcIdentity, ticks: Clock, seconds: float) -> None:
    """The provider goes down; `seconds` later somebody has asked it once, in vain."""
    issuer.down = True
    ticks.now += seconds
    with pytest.raises(Unavailable):
        await identity.authenticate(issuer.token(header={"kid": "unknown"}))


async def test_known_keys_outlive_an_outage_of_up_to_an_hour(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    token = issuer.token()
    await identity.authenticate(token)
    await pass_outage(issuer, identity, ticks, 3590)
    assert (await identity.authenticate(token)).subject == "alice"  # remembered
    assert (await identity.authenticate(issuer.token(sub="bob"))).subject == "bob"  # new, with a known key
    assert identity.unconfirmed_s == 3590
    await identity.ready()


async def test_an_outage_opens_no_door_to_another_key(issuer: Issuer, identity: OidcIdentity, ticks: Clock) -> None:
    await identity.authenticate(issuer.token())
    await pass_outage(issuer, identity, ticks, 600)
    with pytest.raises(Denied) as denied:
        await identity.authenticate(_foreign_key(issuer))
    assert denied.value.status == 401


async def test_after_more_than_an_hour_nobody_passes_until_the_provider_answers_again(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    token = issuer.token()
    await identity.authenticate(token)
    await pass_outage(issuer, identity, ticks, 3601)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await identity.authenticate(token)  # although this very token was verified before
    with pytest.raises(Unavailable):
        await identity.ready()
    issuer.down = False
    ticks.now += jwks_cache.RETRY_S + 1
    assert (await identity.authenticate(token)).subject == "alice"


@pytest.mark.parametrize(("asked_s", "lasts_s"), [(0, jwks_cache.CONFIRMED_S), (300, 300), (86_400, 3600)])
async def test_an_outage_can_be_given_less_time_and_never_more(
    asked_s: int, lasts_s: int, issuer: Issuer, ticks: Clock
) -> None:
    issuer.outage_s_max = asked_s
    async with identity_of(issuer, ticks=ticks) as identity:
        token = issuer.token()
        await identity.authenticate(token)
        issuer.down = True
        ticks.now += lasts_s - 0.5
        assert (await identity.authenticate(token)).subject == "alice"
        ticks.now += 1
        with pytest.raises(Unavailable):
            await identity.authenticate(token)


async def test_a_key_withdrawn_during_an_outage_stops_with_the_first_answer(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    old = issuer.token()
    await identity.authenticate(old)
    await pass_outage(issuer, identity, ticks, 600)
    await identity.authenticate(old)
    issuer.keys = {"second": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    issuer.down = False
    ticks.now += jwks_cache.RETRY_S + 1
    await identity.authenticate(old)  # asks in the background
    await confirmed(identity)
    with pytest.raises(Denied) as denied:
        await identity.authenticate(old)
    assert denied.value.status == 401


async def test_a_provider_that_withdraws_every_key_is_obeyed(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    old = issuer.token()
    await identity.authenticate(old)
    issuer.keys = {}
    ticks.now += jwks_cache.CONFIRMED_S + 1
    with pytest.raises(Denied) as denied:
        await identity.authenticate(old)
    assert denied.value.status == 401
    with pytest.raises(Unavailable):
        await identity.ready()


async def test_a_key_in_use_is_confirmed_in_the_background(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    token = issuer.token()
    await identity.authenticate(token)
    for _ in range(5):
        ticks.now += jwks_cache.REFRESH_S + 1
        await identity.authenticate(token)  # never waits: an older confirmation still counts
        await confirmed(identity)
    assert issuer.fetches == 6


async def test_a_withdrawn_key_is_forgotten_within_its_confirmation(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    old = issuer.token()
    await identity.authenticate(old)
    issuer.keys = {"second": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    ticks.now += jwks_cache.CONFIRMED_S + 1
    with pytest.raises(Denied) as denied:
        await identity.authenticate(old)
    assert denied.value.status == 401


@pytest.mark.parametrize("down", [False, True], ids=["provider up", "provider down"])
async def test_1000_unknown_key_ids_cause_one_fetch_in_30_s(
    down: bool, issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    await identity.authenticate(issuer.token())
    issuer.down = down
    body = issuer.token(header={"kid": "stranger"}).split(".", 1)[1]
    for expected in (1, 2):
        ticks.now += jwks_cache.COOLDOWN_S + 1
        tokens = [f"{_coded({'alg': 'RS256', 'kid': f'random-{number}'})}.{body}" for number in range(500)]
        for some in (tokens, reversed(tokens)):
            results = await asyncio.gather(*map(identity.authenticate, some), return_exceptions=True)
            assert {result.status for result in results if isinstance(result, Denied)} == {503 if down else 401}
        assert issuer.asked == 1 + expected


async def test_many_first_requests_share_one_fetch(issuer: Issuer, identity: OidcIdentity) -> None:
    token = issuer.token()
    callers = await asyncio.gather(*(identity.authenticate(token) for _ in range(50)))
    assert len({caller.subject for caller in callers}) == 1
    assert issuer.fetches == 1


async def test_a_new_key_is_found_and_a_withdrawn_one_is_forgotten(
    issuer: Issuer, identity: OidcIdentity, ticks: Clock
) -> None:
    old = issuer.token()
    await identity.authenticate(old)
    issuer.keys = {"second": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    ticks.now += jwks_cache.COOLDOWN_S + 1
    await identity.authenticate(issuer.token(key_id="second"))
    with pytest.raises(Denied):
        await identity.authenticate(old)


async def test_a_remembered_token_expires(
    issuer: Issuer, identity: OidcIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_identity, "CLOCK_SKEW_S", 0)
    expires_at = int(time.time()) + 6
    token = issuer.token(exp=expires_at)
    await identity.authenticate(token)
    await identity.authenticate(token)
    await asyncio.sleep(expires_at - time.time() + 0.1)
    with pytest.raises(Denied):
        await identity.authenticate(token)


@pytest.mark.parametrize("address", ["http://keys.invalid/keys", "ftp://127.0.0.1/keys", "/keys", 7])
async def test_metadata_cannot_point_keys_at_an_unsafe_place(
    address: object, issuer: Issuer, identity: OidcIdentity
) -> None:
    issuer.metadata = {"jwks_uri": address}
    with pytest.raises(Unavailable, match="not safe"):
        await identity.authenticate(issuer.token())


@pytest.mark.parametrize("keys", [None, "none", 7, [], [7, None, {"kty": "RSA", "kid": "first", "n": 1, "e": []}]])
async def test_keys_that_make_no_sense_let_nobody_pass(keys: object, issuer: Issuer, identity: OidcIdentity) -> None:
    issuer.published = {"keys": keys}
    with pytest.raises(Denied) as denied:
        await identity.authenticate(issuer.token())
    assert denied.value.status in (401, 503)


async def test_metadata_of_another_issuer_is_not_believed(issuer: Issuer, identity: OidcIdentity) -> None:
    issuer.metadata = {"issuer": "https://issuer.invalid"}
    with pytest.raises(Unavailable):
        await identity.authenticate(issuer.token())


async def test_a_key_of_one_issuer_signs_no_token_of_another(issuer: Issuer, ticks: Clock) -> None:
    async with running_issuer() as workloads, identity_of(issuer, workloads, ticks=ticks) as identity:
        assert (await identity.authenticate(workloads.token())).issuer == workloads.url
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        forged = jwt.encode(claims, workloads.keys["first"], algorithm="RS256", headers={"kid": "first"})
        with pytest.raises(Denied) as denied:
            await identity.authenticate(forged)
    assert denied.value.status == 401


async def test_each_issuer_has_its_own_audience(issuer: Issuer, ticks: Clock) -> None:
    async with running_issuer() as ci:
        ci.audience = "ci"
        async with identity_of(issuer, ci, ticks=ticks) as identity:
            assert (await identity.authenticate(ci.token(aud="ci"))).subject == "alice"
            for stray in (ci.token(), issuer.token(aud="ci")):
                with pytest.raises(Denied) as denied:
                    await identity.authenticate(stray)
                assert denied.value.status == 401


async def test_each_issuer_has_its_own_algorithms(issuer: Issuer, ticks: Clock) -> None:
    async with running_issuer() as strict:
        strict.algorithms = ("PS256",)
        async with identity_of(issuer, strict, ticks=ticks) as identity:
            await identity.authenticate(issuer.token())
            with pytest.raises(Denied, match="algorithm"):
                await identity.authenticate(strict.token())


ROLE_ARN = "arn:aws:iam::123456789012:role/statement-reader"
TAGS = {"tenant": "acme", "gateway-roles": "analyst", "workload": "document-assistant"}


def sts_token(account: Issuer, **changes: Any) -> str:
    """As `sts:GetWebIdentityToken` writes them, five minutes long."""
    now = int(time.time())
    nested = {"aws_account": "123456789012", "org_id": "o-1", "principal_tags": TAGS, "request_tags": {"tenant": "x"}}
    absent: dict[str, Any] = dict.fromkeys(("tenant", "roles", "workload"))
    return account.token(**(absent | {"sub": ROLE_ARN, "exp": now + 300, "jti": "j", AWS_CLAIMS: nested} | changes))


@pytest.mark.parametrize("by", ["tags", "role"])
async def test_an_aws_workload_proves_its_role_without_a_password(by: str, issuer: Issuer, ticks: Clock) -> None:
    async with running_issuer() as account:
        if by == "tags":
            under = (AWS_CLAIMS, "principal_tags")
            account.claims = ClaimPaths((*under, "tenant"), (*under, "gateway-roles"), (*under, "workload"))
        else:
            account.subjects = (Subject(ROLE_ARN, "acme", ("analyst",), "document-assistant"),)
        async with identity_of(issuer, account, ticks=ticks) as identity:
            who = await identity.authenticate(sts_token(account))
            assert (who.issuer, who.subject, who.tenant, who.roles) == (account.url, ROLE_ARN, "acme", ("analyst",))
            assert who.claims["workload"] == "document-assistant"
            for stray in (
                sts_token(account, aud="https://another.example"),  # got for another service, played to us
                sts_token(account, exp=int(time.time()) - 60),
                sts_token(account, iss="https://another-account.tokens.sts.global.api.aws"),
            ):
                with pytest.raises(Denied) as denied:
                    await identity.authenticate(stray)
                assert denied.value.status == 401
            another: dict[str, Any] = {"sub": ROLE_ARN.replace("reader", "writer")}
            if by == "tags":
                another[AWS_CLAIMS] = {"principal_tags": {}, "request_tags": TAGS}
            with pytest.raises(Denied) as denied:
                await identity.authenticate(sts_token(account, **another))
            assert denied.value.status == 403


async def test_a_people_token_gets_nothing_from_claims_shaped_like_awss(issuer: Issuer, identity: OidcIdentity) -> None:
    with pytest.raises(Denied) as denied:
        await identity.authenticate(sts_token(issuer))
    assert denied.value.status == 403
