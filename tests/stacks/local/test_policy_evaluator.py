"""Requests that AWS would allow or refuse, decided offline; each promise with its negative twin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Decision, PolicyError, Request, evaluate

ACCOUNT, OTHER = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gateway"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway/task"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
OBJECT = "arn:aws:s3:::documents/acme/handbook/a.txt"
Json = Mapping[str, object]


def policy(*statements: Json, version: str = "2012-10-17") -> Json:
    return {"Version": version, "Statement": list(statements)}


def allow(**elements: object) -> Json:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::documents/*", **elements}


def deny(**elements: object) -> Json:
    return {**allow(**elements), "Effect": "Deny"}


def everyone(statement: Json) -> Json:
    return {**statement, "Principal": "*"}


def read(**context: str | bool | int | tuple[str, ...]) -> Request:
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return Request(ROLE, "s3:GetObject", OBJECT, keys, resource_account=ACCOUNT)


def decide(statement: Json, **context: str | bool | int | tuple[str, ...]) -> bool:
    return evaluate(read(**context), identity=[policy(statement)]).allowed


def when(operator: str, key: str, value: object) -> Json:
    return allow(Condition={operator: {key: value}})


class Case(NamedTuple):
    statement: Json
    context: dict[str, str | bool | int | tuple[str, ...]]
    allowed: bool


ADDRESS, TLS, TAGS = "aws:SourceIp", "s3:TlsVersion", "aws:TagKeys"
CASES: dict[str, Case] = {
    "an action is compared without regard to case": Case(allow(Action="S3:getobject"), {}, True),
    "a resource is compared with regard to case": Case(allow(Resource="arn:aws:s3:::Documents/*"), {}, False),
    "a question mark stands for exactly one character": Case(allow(Action="s3:Get?bject"), {}, True),
    "a wildcard does not reach over a colon of an ARN": Case(allow(Resource="arn:aws:*:acme:::handbook"), {}, False),
    "NotAction allows everything else": Case({**allow(), "NotAction": "s3:Put*", "Action": ()}, {}, True),
    "NotAction does not allow what it names": Case({**allow(), "NotAction": "s3:Get*", "Action": ()}, {}, False),
    "NotResource allows everything else": Case(
        {**allow(), "NotResource": "arn:aws:s3:::other/*", "Resource": ()}, {}, True
    ),
    "StringEquals is false without the key": Case(when("StringEquals", "aws:SourceVpce", "vpce-1"), {}, False),
    "StringNotEquals is true without the key": Case(when("StringNotEquals", "aws:SourceVpce", "vpce-1"), {}, True),
    "ArnNotLike is true without the key": Case(when("ArnNotLike", "aws:SourceArn", "arn:aws:s3:::x"), {}, True),
    "NotIpAddress is true without the key": Case(when("NotIpAddress", ADDRESS, "10.0.0.0/8"), {}, True),
    "StringEqualsIfExists is true without the key": Case(when("StringEqualsIfExists", "a:b", "c"), {}, True),
    "StringEqualsIfExists still compares a key that is there": Case(
        when("StringEqualsIfExists", "a:b", "c"), {"a:b": "d"}, False
    ),
    "NumericLessThan is false without the key": Case(when("NumericLessThan", TLS, "1.3"), {}, False),
    "NumericLessThan compares as numbers, not as text": Case(when("NumericLessThan", "a:n", 10), {"a:n": "9"}, True),
    "1.2 is less than 1.3": Case(when("NumericLessThan", TLS, "1.3"), {TLS: "1.2"}, True),
    "1.3 is not less than 1.3": Case(when("NumericLessThan", TLS, "1.3"), {TLS: "1.3"}, False),
    "Null true means the key is absent": Case(when("Null", "a:b", "true"), {}, True),
    "Null true is false for a key that is there": Case(when("Null", "a:b", True), {"a:b": ""}, False),
    "Null false means the key is there": Case(when("Null", "a:b", False), {"a:b": "x"}, True),
    "Bool compares the words": Case(when("Bool", "aws:SecureTransport", "true"), {"aws:SecureTransport": True}, True),
    "Bool is false without the key": Case(when("Bool", "aws:SecureTransport", False), {}, False),
    "BoolIfExists is true without the key": Case(when("BoolIfExists", "aws:SecureTransport", "false"), {}, True),
    "condition keys ignore case": Case(when("StringEquals", "AWS:sourcevpce", "v"), {"aws:SourceVpce": "v"}, True),
    "condition values do not": Case(when("StringEquals", "a:b", "v"), {"a:b": "V"}, False),
    "unless the operator says so": Case(when("StringEqualsIgnoreCase", "a:b", "v"), {"a:b": "V"}, True),
    "several values of one key are alternatives": Case(when("StringEquals", "a:b", ["c", "d"]), {"a:b": "d"}, True),
    "a negated operator means none of them": Case(when("StringNotEquals", "a:b", ["c", "d"]), {"a:b": "d"}, False),
    "two keys must both hold": Case(allow(Condition={"StringEquals": {"a:b": "1", "a:c": "2"}}), {"a:b": "1"}, False),
    "two operators must both hold": Case(
        allow(Condition={"StringEquals": {"a:b": "1"}, "Bool": {"a:c": "true"}}), {"a:b": "1", "a:c": False}, False
    ),
    "StringEquals knows no wildcards": Case(when("StringEquals", "a:b", "x*"), {"a:b": "xy"}, False),
    "StringLike does": Case(when("StringLike", "a:b", "x*"), {"a:b": "xy"}, True),
    "ArnEquals knows wildcards as AWS does": Case(
        when("ArnEquals", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/gate*"), {}, True
    ),
    "an address inside the range": Case(when("IpAddress", ADDRESS, "10.0.0.0/8"), {ADDRESS: "10.9.8.7"}, True),
    "an address outside the range": Case(when("IpAddress", ADDRESS, "10.0.0.0/8"), {ADDRESS: "11.9.8.7"}, False),
    "an IPv6 address is not in an IPv4 range": Case(when("IpAddress", ADDRESS, "0.0.0.0/0"), {ADDRESS: "::1"}, False),
    "a date before": Case(
        when("DateLessThan", "aws:CurrentTime", "2026-06-01T00:00:00Z"),
        {"aws:CurrentTime": "2026-05-01T00:00:00Z"},
        True,
    ),
    "a date given in seconds": Case(
        when("DateGreaterThan", "aws:EpochTime", "2026-06-01T00:00:00Z"), {"aws:EpochTime": "1700000000"}, False
    ),
    "ForAllValues holds when every value is listed": Case(
        when("ForAllValues:StringEquals", TAGS, ["env", "tenant"]), {TAGS: ("env",)}, True
    ),
    "ForAllValues fails for one value that is not": Case(
        when("ForAllValues:StringEquals", TAGS, ["env"]), {TAGS: ("env", "x")}, False
    ),
    "ForAllValues is true without the key": Case(when("ForAllValues:StringEquals", TAGS, "env"), {}, True),
    "ForAllValues is true for an empty list": Case(when("ForAllValues:StringEquals", TAGS, "env"), {TAGS: ()}, True),
    "ForAnyValue is false without the key": Case(when("ForAnyValue:StringEquals", TAGS, "env"), {}, False),
    "ForAnyValue with a negated operator is false without the key": Case(
        when("ForAnyValue:StringNotEquals", TAGS, "env"), {}, False
    ),
    "ForAnyValue holds for one value": Case(when("ForAnyValue:StringLike", TAGS, "e*"), {TAGS: ("x", "env")}, True),
    "a variable is replaced by the caller's tag": Case(
        allow(Resource="arn:aws:s3:::documents/${aws:PrincipalTag/tenant}/*"), {"aws:PrincipalTag/tenant": "acme"}, True
    ),
    "another tenant's tag leads elsewhere": Case(
        allow(Resource="arn:aws:s3:::documents/${aws:PrincipalTag/tenant}/*"), {"aws:PrincipalTag/tenant": "x"}, False
    ),
    "a star inside a tag is no wildcard": Case(
        allow(Resource="arn:aws:s3:::documents/${aws:PrincipalTag/tenant}/*"), {"aws:PrincipalTag/tenant": "*"}, False
    ),
    "a variable without a value matches nothing": Case(
        allow(Resource="arn:aws:s3:::documents/${aws:PrincipalTag/tenant}/*"), {}, False
    ),
    "a variable's default is used": Case(allow(Resource="arn:aws:s3:::documents/${a:b, 'acme'}/*"), {}, True),
    "a variable without a value is equal to nothing, so a negated operator holds": Case(
        when("StringNotEquals", "a:b", "${a:c}"), {"a:b": "x"}, True
    ),
    "AWS fills in the caller's account": Case(when("StringEquals", "aws:PrincipalAccount", ACCOUNT), {}, True),
    "AWS fills in that no service is calling": Case(when("Bool", "aws:PrincipalIsAWSService", "false"), {}, True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_tricky_cases(case: Case) -> None:
    statement = {key: value for key, value in case.statement.items() if value != ()}
    request = Request(ROLE, "s3:GetObject", OBJECT, case.context, resource_account=ACCOUNT)
    assert evaluate(request, identity=[policy(statement)]).allowed is case.allowed


def test_variables_count_only_in_the_newer_version() -> None:
    statement = allow(Resource="arn:aws:s3:::documents/${a:b}/*")
    request = read(a__b="acme")
    assert evaluate(request, identity=[policy(statement)]).allowed
    assert not evaluate(request, identity=[policy(statement, version="2008-10-17")]).allowed


def test_default_is_deny() -> None:
    assert not evaluate(read()).allowed
    assert evaluate(read()).reason == f"no policy grants s3:GetObject to {ROLE}"


def test_explicit_deny_wins_and_is_named() -> None:
    decision = evaluate(read(), identity=[policy(allow(), deny(Sid="NoReading"))])
    assert not decision.allowed
    assert "NoReading" in decision.statements
    assert decision.refused_by == ("identity",)


def test_every_layer_that_refuses_is_named() -> None:
    decision = evaluate(
        read(),
        identity=[policy(allow())],
        scp=[FULL_AWS_ACCESS, policy(deny(Sid="Scp"))],
        rcp=[policy(everyone(deny(Sid="Rcp")))],
        endpoint=[policy(everyone(allow(Resource="arn:aws:s3:::other/*")))],
    )
    assert decision.refused_by == ("scp", "rcp", "endpoint")
    assert decision.statements == ("Scp", "Rcp")


class TestGrantingAccess:
    def test_inside_one_account_the_bucket_policy_alone_suffices(self) -> None:
        assert evaluate(read(), resource=[policy(allow(Principal={"AWS": ROLE}))]).allowed
        assert not evaluate(read(), resource=[policy(allow(Principal={"AWS": ROLE + "-2"}))]).allowed

    def test_naming_the_account_hands_the_decision_to_its_own_policies(self) -> None:
        bucket_policy = policy(allow(Principal={"AWS": ROOT}))
        assert not evaluate(read(), resource=[bucket_policy]).allowed
        assert evaluate(read(), resource=[bucket_policy], identity=[policy(allow())]).allowed
        assert not evaluate(read(), resource=[policy(allow(Principal={"AWS": [ACCOUNT]}))]).allowed

    def test_denying_the_account_denies_its_roles(self) -> None:
        bucket_policy = policy(deny(Principal={"AWS": ROOT}))
        assert not evaluate(read(), resource=[bucket_policy], identity=[policy(allow())]).allowed

    def test_across_accounts_both_sides_must_allow(self) -> None:
        request = Request(ROLE, "s3:GetObject", OBJECT, resource_account=OTHER)
        mine, theirs = [policy(allow())], [policy(allow(Principal={"AWS": ROOT}))]
        assert evaluate(request, identity=mine, resource=theirs).allowed
        assert evaluate(request, identity=mine).refused_by == ("resource",)
        assert evaluate(request, resource=theirs).refused_by == ("identity",)

    def test_an_unknown_owner_counts_as_another_account(self) -> None:
        assert not evaluate(Request(ROLE, "s3:GetObject", OBJECT), identity=[policy(allow())]).allowed
        assert evaluate(read(), identity=[policy(allow())]).allowed

    def test_a_session_carries_the_permissions_of_its_role(self) -> None:
        request = Request(SESSION, "s3:GetObject", OBJECT, resource_account=ACCOUNT)
        assert evaluate(request, resource=[policy(allow(Principal={"AWS": ROLE}))]).allowed
        assert evaluate(request, identity=[policy(when("ArnEquals", "aws:PrincipalArn", ROLE))]).allowed

    def test_an_aws_service_needs_the_resource_policy_and_nothing_else(self) -> None:
        request = Request("logging.s3.amazonaws.com", "s3:GetObject", OBJECT, resource_account=ACCOUNT)
        named = policy(allow(Principal={"Service": "logging.s3.amazonaws.com"}))
        assert evaluate(request, resource=[named], scp=[policy(deny(Action="*", Resource="*"))]).allowed
        assert not evaluate(request, identity=[policy(allow())]).allowed

    def test_an_anonymous_caller_needs_everybody(self) -> None:
        request = Request("", "s3:GetObject", OBJECT, resource_account=ACCOUNT)
        assert evaluate(request, resource=[policy(everyone(allow()))]).allowed
        assert not evaluate(request, resource=[policy(allow(Principal={"AWS": ROOT}))]).allowed


class TestKeysAndRoles:
    @staticmethod
    def decrypt(principal: str = ROLE) -> Request:
        return Request(principal, "kms:Decrypt", KEY)

    @staticmethod
    def key_policy(principal: object) -> Json:
        return policy({"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": principal})

    def test_identity_policies_alone_never_open_a_key(self) -> None:
        mine = [policy(allow(Action="kms:Decrypt", Resource=KEY))]
        assert evaluate(self.decrypt(), identity=mine).refused_by == ("resource",)
        assert evaluate(self.decrypt(), identity=mine, resource=[self.key_policy({"AWS": ROOT})]).allowed

    def test_a_key_policy_that_names_the_role_suffices(self) -> None:
        assert evaluate(self.decrypt(), resource=[self.key_policy({"AWS": ROLE})]).allowed
        assert not evaluate(self.decrypt(), resource=[self.key_policy({"AWS": ROOT})]).allowed

    def test_a_key_statement_without_resource_has_no_effect(self) -> None:
        statement = {"Effect": "Allow", "Action": "kms:*", "Principal": {"AWS": ROLE}}
        assert not evaluate(self.decrypt(), resource=[policy(statement)]).allowed

    def test_a_role_is_assumed_only_through_its_trust_policy(self) -> None:
        request = Request(f"arn:aws:iam::{OTHER}:role/dev", "sts:AssumeRole", ROLE)
        mine = [policy(allow(Action="sts:AssumeRole", Resource="*"))]
        trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": OTHER}})
        assert evaluate(request, identity=mine, resource=[trust]).allowed
        assert not evaluate(request, identity=mine).allowed

    def test_a_web_identity_is_trusted_by_its_provider(self) -> None:
        provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/ci.example"
        trust = policy(
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": provider},
                "Condition": {"StringEquals": {"ci.example:sub": "main"}},
            }
        )
        asked = Request(provider, "sts:AssumeRoleWithWebIdentity", ROLE, {"ci.example:sub": "main"})
        branch = Request(provider, "sts:AssumeRoleWithWebIdentity", ROLE, {"ci.example:sub": "feature"})
        assert evaluate(asked, resource=[trust]).allowed
        assert not evaluate(branch, resource=[trust]).allowed


class TestLimits:
    def test_a_boundary_limits_what_the_identity_policy_allows(self) -> None:
        mine = [policy(allow())]
        assert evaluate(read(), identity=mine, boundary=[policy(allow())]).allowed
        narrow = [policy(allow(Action="s3:PutObject"))]
        assert evaluate(read(), identity=mine, boundary=narrow).refused_by == ("boundary",)

    def test_a_bucket_policy_that_names_the_role_is_limited_by_the_boundary(self) -> None:
        narrow = [policy(allow(Action="s3:PutObject"))]
        named = [policy(allow(Principal={"AWS": ROLE}))]
        assert not evaluate(read(), resource=named, boundary=narrow).allowed

    def test_a_bucket_policy_that_names_the_session_is_not(self) -> None:
        request = Request(SESSION, "s3:GetObject", OBJECT, resource_account=ACCOUNT)
        narrow = [policy(allow(Action="s3:PutObject"))]
        named = [policy(allow(Principal={"AWS": SESSION}))]
        assert evaluate(request, resource=named, boundary=narrow, session=narrow).allowed
        denying = [policy(deny())]
        assert not evaluate(request, resource=named, boundary=denying).allowed

    def test_a_session_policy_limits(self) -> None:
        mine, narrow = [policy(allow())], [policy(allow(Action="s3:PutObject"))]
        assert evaluate(read(), identity=mine, session=narrow).refused_by == ("session",)

    def test_an_scp_without_allow_allows_nothing(self) -> None:
        mine = [policy(allow())]
        other = policy(deny(Action="s3:PutObject"))
        assert not evaluate(read(), identity=mine, scp=[other]).allowed
        assert evaluate(read(), identity=mine, scp=[FULL_AWS_ACCESS, other]).allowed

    def test_an_rcp_needs_no_allow(self) -> None:
        assert evaluate(read(), identity=[policy(allow())], rcp=[policy(everyone(deny(Action="s3:PutObject")))]).allowed

    def test_an_endpoint_policy_must_allow(self) -> None:
        mine = [policy(allow())]
        assert evaluate(read(), identity=mine, endpoint=[policy(everyone(allow()))]).allowed
        elsewhere = policy(everyone(allow(Resource="arn:aws:s3:::other/*")))
        assert evaluate(read(), identity=mine, endpoint=[elsewhere]).refused_by == ("endpoint",)


class TestNotPrincipal:
    def test_deny_spares_only_a_fully_listed_caller(self) -> None:
        mine = [policy(allow())]
        partly = policy(deny(NotPrincipal={"AWS": ROLE}))
        fully = policy(deny(NotPrincipal={"AWS": [ROLE, ROOT]}))
        assert not evaluate(read(), identity=mine, resource=[partly]).allowed
        assert evaluate(read(), identity=mine, resource=[fully]).allowed

    def test_deny_never_spares_an_anonymous_caller(self) -> None:
        request = Request("", "s3:GetObject", OBJECT, resource_account=ACCOUNT)
        document = policy(everyone(allow()), deny(NotPrincipal={"AWS": [ROLE, ROOT]}))
        assert not evaluate(request, resource=[document]).allowed

    def test_allow_leaves_out_whom_it_names(self) -> None:
        assert not evaluate(read(), resource=[policy(allow(NotPrincipal={"AWS": ROLE}))]).allowed
        assert evaluate(read(), resource=[policy(allow(NotPrincipal={"AWS": ROLE + "-2"}))]).allowed


REFUSED: dict[str, tuple[object, str]] = {
    "not JSON": ("{", "not JSON"),
    "an unknown operator": (policy(when("StringEqual", "a:b", "c")), "unknown condition operator 'StringEqual'"),
    "NullIfExists": (policy(when("NullIfExists", "a:b", "true")), "Null takes exactly one"),
    "an unknown prefix": (policy(when("ForSomeValues:StringEquals", "a:b", "c")), "unknown prefix"),
    "an empty list of values": (policy(when("StringEquals", "a:b", [])), "no value to compare with"),
    "None among the values": (policy(when("StringEquals", "a:b", [None])), "None is not a text"),
    "None as an action": (policy(allow(Action=None)), "a text or a list of texts"),
    "None among the resources": (policy(allow(Resource=[None])), "a text or a list of texts"),
    "a misspelt element": (policy({**allow(), "Resources": "*"}), "unknown element 'Resources'"),
    "a misspelt effect": (policy({**allow(), "Effect": "allow"}), "Effect: 'allow'"),
    "Action and NotAction": (policy(allow(NotAction="s3:*")), "both Action and NotAction"),
    "neither of them": (policy({"Effect": "Allow", "Resource": "*"}), "needs Action or NotAction"),
    "an action without a service": (policy(allow(Action="GetObject")), "names no service"),
    "a shortened ARN": (policy(allow(Resource="documents/*")), "neither '*' nor an ARN of six parts"),
    "a number that is none": (policy(when("NumericLessThan", "a:b", "many")), "not a number"),
    "a date that is none": (policy(when("DateLessThan", "a:b", "soon")), "not a date"),
    "a network that is none": (policy(when("IpAddress", "a:b", "10.0.0")), "not an address range"),
    "a truth that is none": (policy(when("Bool", "a:b", "yes")), "not true or false"),
    "an unknown version": (policy(allow(), version="2020-01-01"), "Version: '2020-01-01'"),
    "one Sid for two statements": (policy(allow(Sid="Read"), deny(Sid="Read")), "the Sid 'Read' is given to two"),
    "no statement": (policy(), "has no statement"),
    "a principal in an identity policy": (policy(everyone(allow())), "has no Principal"),
    "no resource in an identity policy": (policy({"Effect": "Allow", "Action": "s3:*"}), "needs Resource"),
    "a key written twice": ('{"Statement": [], "Statement": []}', "written twice"),
    "a document that is no JSON value": ({"Statement": object()}, "not a JSON document"),
}


@pytest.mark.parametrize(("document", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_judged_is_refused_by_name(document: Json, sentence: str) -> None:
    with pytest.raises(PolicyError, match=sentence.replace("*", r"\*")):
        evaluate(read(), identity=[document])


@pytest.mark.parametrize(
    ("principal", "sentence"),
    [
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}, "no wildcard inside a principal"),
        ({"CanonicalUser": "abc"}, "no principal type"),
        ({"AWS": [None]}, "is not a text"),
        ([], "a principal is"),
    ],
)
def test_a_principal_that_cannot_be_judged_is_refused(principal: object, sentence: str) -> None:
    with pytest.raises(PolicyError, match=sentence):
        evaluate(read(), resource=[policy(allow(Principal=principal))])


def test_a_resource_policy_without_principal_is_refused() -> None:
    with pytest.raises(PolicyError, match="needs Principal"):
        evaluate(read(), resource=[policy(allow())])


def test_a_list_in_the_request_needs_a_set_operator() -> None:
    with pytest.raises(PolicyError, match="use ForAnyValue"):
        decide(when("StringEquals", "a:b", "c"), a__b=("c", "d"))


def test_text_and_object_are_judged_alike() -> None:
    document = policy(allow(), deny(Condition={"Bool": {"a:b": "true"}}))
    for context in ({"a:b": True}, {"a:b": False}):
        request = Request(ROLE, "s3:GetObject", OBJECT, context, resource_account=ACCOUNT)
        assert evaluate(request, identity=[document]) == evaluate(request, identity=[json.dumps(document)])


# --- what holds for every policy ------------------------------------------------------------------

patterns = st.sampled_from(["*", "arn:aws:s3:::documents/*", "arn:aws:s3:::documents/acme/*", "arn:aws:s3:::other/*"])
actions = st.sampled_from(["*", "s3:*", "s3:GetObject", "s3:PutObject", "kms:*"])
conditions = st.sampled_from(
    [
        {},
        {"StringEquals": {"a:b": "c"}},
        {"StringNotEquals": {"a:b": "c"}},
        {"Null": {"a:b": "true"}},
        {"BoolIfExists": {"aws:SecureTransport": "false"}},
        {"ForAllValues:StringEquals": {"a:tags": ["x"]}},
    ]
)
principals = st.sampled_from(["*", {"AWS": ROLE}, {"AWS": ROOT}, {"AWS": OTHER}])
requests = st.builds(
    lambda action, value, tags, owner: Request(
        ROLE, action, OBJECT, {**({"a:b": value} if value else {}), "a:tags": tags}, resource_account=owner
    ),
    st.sampled_from(["s3:GetObject", "s3:PutObject", "kms:Decrypt"]),
    st.sampled_from(["", "c", "d"]),
    st.sampled_from([(), ("x",), ("x", "y")]),
    st.sampled_from([ACCOUNT, OTHER]),
)


@st.composite
def statements(draw: st.DrawFn, effect: str = "") -> dict[str, object]:
    return {
        "Effect": effect or draw(st.sampled_from(["Allow", "Deny"])),
        draw(st.sampled_from(["Action", "NotAction"])): draw(actions),
        draw(st.sampled_from(["Resource", "NotResource"])): draw(patterns),
        "Condition": draw(conditions),
        "Principal": draw(principals),
    }


LAYERS = st.sampled_from(["identity", "resource", "boundary", "scp", "endpoint", "session"])
some = st.lists(statements(), min_size=1, max_size=4)


def judge(request: Request, layers: Mapping[str, list[dict[str, object]]]) -> Decision:
    """Build documents of the generated statements: only some kinds of policy name a principal."""
    documents: dict[str, list[Json]] = {}
    for layer, listed in layers.items():
        named = layer in ("resource", "endpoint")
        kept = [{k: v for k, v in one.items() if named or k != "Principal"} for one in listed]
        documents[layer] = [policy(*kept)]
    return evaluate(request, **documents)


@given(requests, st.dictionaries(LAYERS, some, min_size=1), LAYERS, statements("Deny"))
def test_adding_a_deny_never_allows_more(
    request_: Request, layers: dict[str, list[dict[str, object]]], layer: str, extra: dict[str, object]
) -> None:
    before = judge(request_, layers).allowed
    after = judge(request_, {**layers, layer: [*layers.get(layer, []), extra]}).allowed
    assert before or not after


@given(requests, st.dictionaries(LAYERS, some, min_size=1), st.data())
def test_removing_an_allow_never_allows_more(
    request_: Request, layers: dict[str, list[dict[str, object]]], data: st.DataObject
) -> None:
    layer = data.draw(st.sampled_from(sorted(layers)))
    allows = [one for one in layers[layer] if one["Effect"] == "Allow"]
    if not allows or len(layers[layer]) == 1:
        return
    removed = data.draw(st.sampled_from(allows))
    fewer = {**layers, layer: [one for one in layers[layer] if one is not removed]}
    if fewer[layer]:
        assert judge(request_, layers).allowed or not judge(request_, fewer).allowed


@given(requests, st.dictionaries(LAYERS, some, min_size=1), st.data())
def test_the_order_of_statements_is_irrelevant(
    request_: Request, layers: dict[str, list[dict[str, object]]], data: st.DataObject
) -> None:
    shuffled = {layer: data.draw(st.permutations(listed)) for layer, listed in layers.items()}
    assert judge(request_, layers).allowed is judge(request_, shuffled).allowed


@given(requests, st.dictionaries(LAYERS, some, min_size=1), some)
def test_another_limit_never_allows_more(
    request_: Request, layers: dict[str, list[dict[str, object]]], limit: list[dict[str, object]]
) -> None:
    limited = {**layers, "scp": limit} if "scp" not in layers else layers
    assert judge(request_, layers).allowed or not judge(request_, limited).allowed
