"""Remedies put right what the user lets them, and send back every secret and unknown as it came."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]  # protobuf ships no types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_BOOLEAN_VALUE, UNKNOWN_NUMBER_VALUE, UNKNOWN_OBJECT_VALUE, UNKNOWN_STRING_VALUE

from policy_packs.exemption import today_utc
from policy_packs.packs import PACKS
from policy_packs.remediation import REMEDIES
from policy_packs.rule import AnyRule, Rule
from policy_packs.serving import as_policies, remedy_name
from policy_packs.view import View
from tests.policy_packs.test_packs_served import struct

RULES: Mapping[str, AnyRule] = {rule.name: rule for rules in PACKS.values() for rule in rules}
OWN_KEY = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
TEMPLATE, INSTANCE = "aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/instance:Instance"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
BUCKET = "aws:s3/bucket:Bucket"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
FOUR = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
UNKNOWNS = (UNKNOWN_STRING_VALUE, UNKNOWN_BOOLEAN_VALUE, UNKNOWN_NUMBER_VALUE, UNKNOWN_OBJECT_VALUE)
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


def secret(value: object) -> dict[str, object]:
    """How a secret travels."""
    return {SIGNATURE: SECRET, "value": value}


class Served:
    """One rule's policies, at the level and with the configuration that a user gave all of them."""

    def __init__(self, name: str, level: Any = analyzer_pb2.REMEDIATE, **config: object) -> None:
        policies = as_policies([RULES[name]])
        servicer: Any = _PolicyAnalyzerServicer("p", "1.0.0", policies, EnforcementLevel.MANDATORY)
        defaults = {"kms_key_arn": OWN_KEY, **RULES[name].settings, **config}
        configured = analyzer_pb2.PolicyConfig(enforcementLevel=level, properties=struct(defaults))
        configs = {policy.name: configured for policy in policies}
        servicer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=configs), None)
        self._servicer = servicer

    def remedied(self, kind: str, props: Mapping[str, object], urn: str = "urn:r") -> Any:
        """The properties that Pulumi goes on with; none where the remedy left everything as it was."""
        request = analyzer_pb2.AnalyzeRequest(type=kind, urn=urn, name="r", properties=struct(props))
        answer = self._servicer.Remediate(request, None)
        assert not [one.diagnostic for one in answer.remediations if one.diagnostic]
        made = [json_format.MessageToDict(one.properties) for one in answer.remediations]
        return made[-1] if made else None

    def messages(self, kind: str, props: Mapping[str, object]) -> list[str]:
        request = analyzer_pb2.AnalyzeRequest(type=kind, urn="urn:r", name="r", properties=struct(props))
        return [one.message.splitlines()[-1] for one in self._servicer.Analyze(request, None).diagnostics]


IMDS, INSTANCE_IMDS = "ec2-launch-template-require-imdsv2", "ec2-instance-require-imdsv2"
RETENTION = "cloudwatch-log-group-require-key-and-retention"
PUBLIC, OWN = "s3-bucket-require-public-access-block", "s3-bucket-require-customer-key"
GUARDED = {"httpTokens": "required", "httpPutResponseHopLimit": 1.0}
ON = dict.fromkeys(FOUR, True)


def rules_of(*defaults: object) -> dict[str, object]:
    return {"rules": [{"applyServerSideEncryptionByDefault": one} for one in defaults]}


def inline(default: object) -> dict[str, object]:
    return {"serverSideEncryptionConfiguration": {"rule": {"applyServerSideEncryptionByDefault": default}}}


UNDER_KMS, UNDER_OWN = {"sseAlgorithm": "aws:kms"}, {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": OWN_KEY}

REMEDIED: dict[str, tuple[str, str, dict[str, object], dict[str, object]]] = {
    "nothing said of metadata": (
        IMDS,
        TEMPLATE,
        {"imageId": "ami-1"},
        {"imageId": "ami-1", "metadataOptions": GUARDED},
    ),
    "metadata are null": (IMDS, TEMPLATE, {"metadataOptions": None}, {"metadataOptions": GUARDED}),
    "tokens left to the caller": (
        IMDS,
        TEMPLATE,
        {"metadataOptions": {**GUARDED, "httpTokens": "optional", "httpEndpoint": "enabled"}},
        {"metadataOptions": {**GUARDED, "httpEndpoint": "enabled"}},
    ),
    "two hops": (
        IMDS,
        TEMPLATE,
        {"metadataOptions": {**GUARDED, "httpPutResponseHopLimit": 2.0}},
        {"metadataOptions": GUARDED},
    ),
    "an instance": (
        INSTANCE_IMDS,
        INSTANCE,
        {"ami": "ami-1"},
        {"ami": "ami-1", "metadataOptions": {"httpTokens": "required"}},
    ),
    "logs for ever": (
        RETENTION,
        LOG_GROUP,
        {"kmsKeyId": OWN_KEY, "retentionInDays": 0.0},
        {"kmsKeyId": OWN_KEY, "retentionInDays": 365.0},
    ),
    "logs without a word on retention": (
        RETENTION,
        LOG_GROUP,
        {"kmsKeyId": OWN_KEY},
        {"kmsKeyId": OWN_KEY, "retentionInDays": 365.0},
    ),
    "one gap of four": (PUBLIC, BLOCK, {**ON, "ignorePublicAcls": False, "bucket": "b"}, {**ON, "bucket": "b"}),
    "four gaps": (PUBLIC, BLOCK, {"bucket": "b"}, {**ON, "bucket": "b"}),
    "KMS without a key": (OWN, ENCRYPTION, rules_of(UNDER_KMS), rules_of(UNDER_OWN)),
    "KMS under AWS's key": (
        OWN,
        ENCRYPTION,
        rules_of({"sseAlgorithm": "AES256"}, {**UNDER_KMS, "kmsMasterKeyId": "alias/aws/s3"}),
        rules_of({"sseAlgorithm": "AES256"}, UNDER_OWN),
    ),
    "KMS under an old name of the type": (
        OWN,
        "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
        rules_of(UNDER_KMS),
        rules_of(UNDER_OWN),
    ),
    "KMS inside the bucket": (OWN, BUCKET, inline(UNDER_KMS), inline(UNDER_OWN)),
}


@pytest.mark.parametrize("case", list(REMEDIED))
def test_what_is_wrong_is_put_right_and_nothing_else(case: str) -> None:
    name, kind, given_props, wanted = REMEDIED[case]
    assert Served(name).remedied(kind, given_props) == wanted


@pytest.mark.parametrize("case", list(REMEDIED))
def test_what_was_put_right_is_left_alone(case: str) -> None:
    name, kind, _, wanted = REMEDIED[case]
    assert Served(name).remedied(kind, wanted) is None


@pytest.mark.parametrize("case", list(REMEDIED))
def test_nothing_is_changed_where_the_user_asked_for_no_remedy(case: str) -> None:
    name, kind, given_props, _ = REMEDIED[case]
    for level in (analyzer_pb2.MANDATORY, analyzer_pb2.ADVISORY, analyzer_pb2.DISABLED):
        assert Served(name, level).remedied(kind, given_props) is None


@pytest.mark.parametrize("case", [case for case, (name, *_) in REMEDIED.items() if isinstance(RULES[name], Rule)])
def test_what_comes_out_obeys_the_rule(case: str) -> None:
    name, kind, given_props, wanted = REMEDIED[case]
    assert Served(name).messages(kind, given_props)
    assert Served(name).messages(kind, wanted) == []


LEFT: dict[str, tuple[str, str, dict[str, object]]] = {
    "an unknown object": (IMDS, TEMPLATE, {"metadataOptions": UNKNOWN_OBJECT_VALUE}),
    "an unknown token setting": (
        IMDS,
        TEMPLATE,
        {"metadataOptions": {"httpTokens": UNKNOWN_STRING_VALUE, "httpPutResponseHopLimit": 1.0}},
    ),
    "a secret object": (IMDS, TEMPLATE, {"metadataOptions": secret({"httpTokens": "optional"})}),
    "a secret token setting": (
        IMDS,
        TEMPLATE,
        {"metadataOptions": {"httpTokens": secret("optional"), "httpPutResponseHopLimit": 1.0}},
    ),
    "a list where an object belongs": (IMDS, TEMPLATE, {"metadataOptions": [{"httpTokens": "optional"}]}),
    "a text where an object belongs": (IMDS, TEMPLATE, {"metadataOptions": "optional"}),
    "metadata turned off": (IMDS, TEMPLATE, {"metadataOptions": {"httpEndpoint": "disabled"}}),
    "an instance of a template": (INSTANCE_IMDS, INSTANCE, {"launchTemplate": {"id": "lt-1"}}),
    "another type": (IMDS, INSTANCE, {}),
    "a group without a key that is kept long enough": (RETENTION, LOG_GROUP, {"retentionInDays": 30.0}),
    "an unknown retention": (RETENTION, LOG_GROUP, {"retentionInDays": UNKNOWN_NUMBER_VALUE}),
    "a secret retention": (RETENTION, LOG_GROUP, {"retentionInDays": secret(0.0)}),
    "unknown blocks": (PUBLIC, BLOCK, dict.fromkeys(FOUR, UNKNOWN_BOOLEAN_VALUE)),
    "secret blocks": (PUBLIC, BLOCK, dict.fromkeys(FOUR, secret(value=False))),
    "a key of S3, which logs may need": (OWN, ENCRYPTION, rules_of({"sseAlgorithm": "AES256"})),
    "a bucket whose encryption may stand elsewhere": (OWN, BUCKET, {"bucket": "archive"}),
    "an unknown key": (OWN, ENCRYPTION, rules_of({**UNDER_KMS, "kmsMasterKeyId": UNKNOWN_STRING_VALUE})),
    "a secret key": (OWN, ENCRYPTION, rules_of({**UNDER_KMS, "kmsMasterKeyId": secret("alias/aws/s3")})),
    "an unknown algorithm": (OWN, ENCRYPTION, rules_of({"sseAlgorithm": UNKNOWN_STRING_VALUE})),
    "unknown rules": (OWN, ENCRYPTION, {"rules": UNKNOWN_OBJECT_VALUE}),
    "secret rules": (OWN, ENCRYPTION, {"rules": secret(rules_of(UNDER_KMS)["rules"])}),
    "a secret rule": (
        OWN,
        ENCRYPTION,
        {"rules": [secret({"applyServerSideEncryptionByDefault": UNDER_KMS}), None, "x"]},
    ),
    "a list where a number belongs": (RETENTION, LOG_GROUP, {"kmsKeyId": OWN_KEY, "retentionInDays": [0.0]}),
    "an object where a block belongs": (PUBLIC, BLOCK, {key: {"on": UNKNOWN_BOOLEAN_VALUE} for key in FOUR}),
    "rules that are an object": (OWN, ENCRYPTION, {"rules": {"applyServerSideEncryptionByDefault": UNDER_KMS}}),
    "no rules": (OWN, ENCRYPTION, {"bucket": "b"}),
}


@pytest.mark.parametrize("case", list(LEFT))
def test_what_is_right_unknown_secret_or_malformed_is_left_as_it_is(case: str) -> None:
    name, kind, props = LEFT[case]
    assert Served(name).remedied(kind, props) is None


def test_without_a_key_of_the_users_choice_no_key_is_put_in() -> None:
    assert Served(OWN, kms_key_arn="").remedied(ENCRYPTION, rules_of(UNDER_KMS)) is None


@pytest.mark.parametrize(
    ("minimum", "days"), [(1.0, 365.0), (365.0, 365.0), (366.0, 400.0), (3000.0, 3288.0), (3653.0, 3653.0)]
)
def test_logs_are_kept_for_a_period_that_cloudwatch_knows_and_the_rule_admits(minimum: float, days: float) -> None:
    made = Served(RETENTION, retention_days_min=minimum).remedied(LOG_GROUP, {"kmsKeyId": OWN_KEY})
    assert made["retentionInDays"] == days


def test_a_retention_that_cloudwatch_does_not_offer_is_not_made_up() -> None:
    assert Served(RETENTION, retention_days_min=4000.0).remedied(LOG_GROUP, {"kmsKeyId": OWN_KEY}) is None


def test_a_retention_that_is_too_short_for_the_configuration_is_made_longer() -> None:
    short = {"kmsKeyId": OWN_KEY, "retentionInDays": 30.0}
    assert Served(RETENTION, retention_days_min=90.0).remedied(LOG_GROUP, short)["retentionInDays"] == 365.0


@pytest.mark.parametrize(("days", "is_remedied"), [(30, False), (-1, True)])
def test_an_exempted_resource_is_not_remedied_until_the_exemption_ends(days: int, is_remedied: bool) -> None:
    urn, ends = f"urn:pulumi:dev::runners::{TEMPLATE}::runner", today_utc() + timedelta(days=days)
    exemption = {"urn": urn, "reason": "Its agent speaks IMDSv1 only.", "ends": ends.isoformat()}
    made = Served(IMDS, exemptions=[exemption]).remedied(TEMPLATE, {"imageId": "ami-1"}, urn)
    assert (made is not None) is is_remedied


def test_every_remedy_serves_a_rule_and_changes_what_the_rule_is_about() -> None:
    for name, remedy in REMEDIES.items():
        rule = RULES[name]
        assert remedy.changes
        if isinstance(rule, Rule):
            assert {*remedy.resource_types} <= {*rule.resource_types}


def test_policies_stay_mandatory_until_the_user_says_otherwise() -> None:
    for name in REMEDIES:
        assert {one.enforcement_level for one in as_policies([RULES[name]])} == {EnforcementLevel.MANDATORY}


def test_a_rule_about_the_stack_has_its_remedy_beside_it() -> None:
    assert [one.name for one in as_policies([RULES[PUBLIC]])] == [PUBLIC, remedy_name(PUBLIC)]
    assert [one.name for one in as_policies([RULES[IMDS]])] == [IMDS]
    assert Served(PUBLIC).messages(BLOCK, {}) == []


# --- whatever else stands there -------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers(0, 9).map(float) | st.text(max_size=6) | st.sampled_from(UNKNOWNS)
keys = st.text("abcdefgh", min_size=1, max_size=3)
values = st.recursive(
    leaves | leaves.map(secret),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=2).map(secret)
        | st.lists(inner, max_size=2).map(secret)
    ),
    max_leaves=10,
)
PLACES = {
    IMDS: (TEMPLATE, ("metadataOptions",), ("httpTokens", "httpPutResponseHopLimit", "httpEndpoint")),
    INSTANCE_IMDS: (INSTANCE, ("metadataOptions",), ("httpTokens", "httpEndpoint")),
    RETENTION: (LOG_GROUP, (), ("retentionInDays", "kmsKeyId")),
    PUBLIC: (BLOCK, (), FOUR),
    OWN: (
        BUCKET,
        ("serverSideEncryptionConfiguration", "rule", "applyServerSideEncryptionByDefault"),
        ("sseAlgorithm", "kmsMasterKeyId"),
    ),
}
likely = st.sampled_from(["required", "optional", "disabled", "aws:kms", "AES256", OWN_KEY, True, False, 0.0, 1.0, 2.0])


@st.composite
def resources(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Anything beside and in the place that a remedy reads."""
    _, parents, names = PLACES[name]
    wanted = draw(st.dictionaries(st.sampled_from(names), likely | values | likely.map(secret), max_size=3))
    inner: Any = draw(
        st.just({**draw(st.dictionaries(keys, values, max_size=2)), **wanted}) | values if parents else st.just(wanted)
    )
    for parent in reversed(parents):
        inner = {**draw(st.dictionaries(keys, values, max_size=2)), parent: inner}
    return {**draw(st.dictionaries(keys, values, max_size=3)), **inner}


def marked(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Every secret and every unknown, with its place."""
    if value in UNKNOWNS or (isinstance(value, dict) and value.get(SIGNATURE) == SECRET):
        yield path, value
    elif isinstance(value, Mapping | list):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from marked(inner, f"{path}/{key}")


@pytest.mark.parametrize("name", list(PLACES))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_secrets_and_unknowns_come_back_as_they_were(name: str, data: st.DataObject) -> None:
    props = data.draw(resources(name))
    before = copy.deepcopy(props)
    served = Served(name)
    made = served.remedied(PLACES[name][0], props)
    if made is None:
        return
    assert dict(marked(made)) == dict(marked(json_format.MessageToDict(struct(before))))
    assert served.remedied(PLACES[name][0], made) is None  # once is enough


@pytest.mark.parametrize("name", list(PLACES))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_only_what_the_remedy_names_is_changed(name: str, data: st.DataObject) -> None:
    props = json_format.MessageToDict(struct(data.draw(resources(name))))
    made = Served(name).remedied(PLACES[name][0], props)
    if made is not None:
        paths = {change.path.split(".")[0].removesuffix("[]") for change in REMEDIES[name].changes}
        assert {key: value for key, value in made.items() if key not in paths} == {
            key: value for key, value in props.items() if key not in paths
        }
        assert repr(made) != repr(props)  # True is not 1


@pytest.mark.parametrize("name", [name for name in PLACES if isinstance(RULES[name], Rule)])
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_what_was_remedied_obeys_but_where_a_value_is_hidden_or_malformed(name: str, data: st.DataObject) -> None:
    props = data.draw(resources(name))
    served = Served(name)
    made = served.remedied(PLACES[name][0], props)
    paths = {change.path for change in REMEDIES[name].changes}
    if made is not None and not list(marked(made)):
        plain = {path for path in paths if not isinstance(View(made).at(path).value, list | dict)}
        assert not plain & {one.partition(":")[0] for one in served.messages(PLACES[name][0], made)}
