"""Whose tenant, roles and workload a token names: people, workloads on AWS, and CI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.gateway.adapters.claim_mapping import AWS_CLAIMS, caller
from services.gateway.exchange import Denied
from services.gateway.settings import ClaimPaths, Issuer, SettingsError, Subject, _Reader

ROLE_ARN = "arn:aws:iam::123456789012:role/statement-reader"
TAGS = {"tenant": "acme", "gateway-roles": "analyst support", "workload": "document-assistant"}
BY_TAGS = ClaimPaths(
    tenant=(AWS_CLAIMS, "principal_tags", "tenant"),
    roles=(AWS_CLAIMS, "principal_tags", "gateway-roles"),
    workload=(AWS_CLAIMS, "principal_tags", "workload"),
)
CI = Subject("repo:acme/claims:ref:refs/heads/main", "acme", ("evaluator",), "document-assistant")


def aws_claims(**own: Any) -> dict[str, Any]:
    """What STS writes for a role, as its documentation shows it."""
    return {
        "iss": "https://abc123.tokens.sts.global.api.aws",
        "aud": "llm-gateway",
        "sub": ROLE_ARN,
        "iat": 1_700_000_000,
        "exp": 1_700_000_900,
        "jti": "xyz",
        AWS_CLAIMS: {"aws_account": "123456789012", "principal_tags": TAGS} | own,
    }


def test_a_workload_on_aws_is_what_its_role_is_tagged_with() -> None:
    who = caller(aws_claims(), BY_TAGS, ())
    assert (who.subject, who.tenant, who.roles) == (ROLE_ARN, "acme", ("analyst", "support"))
    assert who.claims["workload"] == "document-assistant"


def test_what_a_workload_asked_sts_to_say_changes_nothing() -> None:
    own_words = {"tenant": "globex", "gateway-roles": "admin", "workload": "payments"}
    assert caller(aws_claims(request_tags=own_words), BY_TAGS, ()).tenant == "acme"
    with pytest.raises(Denied) as denied:
        caller(aws_claims(principal_tags={}, request_tags=own_words), BY_TAGS, ())
    assert denied.value.status == 403


def test_a_role_without_a_workload_tag_belongs_to_none_whatever_it_claims_elsewhere() -> None:
    claims = aws_claims(principal_tags={"tenant": "acme", "gateway-roles": "analyst"}) | {"workload": "payments"}
    assert "workload" not in caller(claims, BY_TAGS, ()).claims


def test_a_known_subject_is_exactly_what_the_settings_say() -> None:
    claims = {"iss": "https://ci.invalid", "sub": CI.subject, "tenant": "globex", "roles": ["admin"], "workload": "x"}
    who = caller(claims, ClaimPaths(), (CI,))
    assert (who.tenant, who.roles, who.claims["workload"]) == ("acme", ("evaluator",), "document-assistant")
    assert (who.claims["tenant"], who.claims["roles"]) == ("acme", ("evaluator",))


@pytest.mark.parametrize(
    "subject",
    [
        "repo:acme/claims:ref:refs/heads/other",
        "repo:acme/claims:ref:refs/heads/main2",
        "Repo:acme/claims:ref:refs/heads/main",
    ],
)
def test_any_other_subject_of_that_issuer_is_refused_even_with_good_claims(subject: str) -> None:
    claims = {"iss": "https://ci.invalid", "sub": subject, "tenant": "acme", "roles": ["analyst"]}
    with pytest.raises(Denied) as denied:
        caller(claims, ClaimPaths(), (CI,))
    assert denied.value.status == 403


@pytest.mark.parametrize("roles", ["analyst", "analyst support", [], ["analyst", 7], {"analyst": True}, ["r"] * 65])
def test_roles_of_people_are_a_list_of_names(roles: object) -> None:
    claims = {"iss": "https://idp.invalid", "sub": "alice", "tenant": "acme", "roles": roles}
    with pytest.raises(Denied, match="role"):
        caller(claims, ClaimPaths(), ())


def test_an_identity_provider_may_use_names_of_its_own() -> None:
    paths = ClaimPaths(("org", "unit"), ("realm_access", "roles"), ("azp",))
    claims = {"iss": "i", "sub": "s", "org": {"unit": "acme"}, "realm_access": {"roles": ["analyst"]}, "azp": "app"}
    who = caller(claims, paths, ())
    assert (who.tenant, who.roles, who.claims["workload"]) == ("acme", ("analyst",), "app")


GOOD: dict[str, Any] = {"issuer": "https://idp.example.com", "audience": "llm", "algorithms": ["RS256"]}
UNSAFE: dict[str, dict[str, Any]] = {
    "no audience": {"audience": ""},
    "no algorithms": {"algorithms": []},
    "algorithm none": {"algorithms": ["none"]},
    "a shared secret": {"algorithms": ["RS256", "HS256"]},
    "plain http": {"issuer": "http://idp.example.com"},
    "longer than an hour": {"outage_s_max": 3601},
    "a negative outage": {"outage_s_max": -1},
    "the caller's own words": {"claims": {"tenant": [AWS_CLAIMS, "request_tags", "tenant"]}},
    "an empty path": {"claims": {"roles": []}},
    "a subject without a role": {"subjects": [{"subject": "s", "tenant": "t", "roles": [], "workload": "w"}]},
    "an unknown field": {"verify": False},
}


def read(*issuers: dict[str, Any]) -> tuple[Issuer, ...]:
    return _Reader({"GATEWAY_OIDC_ISSUERS": json.dumps(issuers)}).issuers("GATEWAY_OIDC_ISSUERS")


def test_a_complete_issuer_is_accepted() -> None:
    assert read(GOOD)[0].outage_s_max == 3600


@pytest.mark.parametrize("case", UNSAFE)
def test_an_unsafe_issuer_stops_the_start(case: str) -> None:
    with pytest.raises(SettingsError):
        read(GOOD | UNSAFE[case])


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_an_issuer_without_issuer_audience_or_algorithms_stops_the_start(missing: str) -> None:
    with pytest.raises(SettingsError):
        read({name: value for name, value in GOOD.items() if name != missing})


def test_one_issuer_twice_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="same issuer"):
        read(GOOD, GOOD | {"audience": "other"})
