"""An exemption that is wholly right frees one resource of one rule for a time; any other frees nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer

from policy_packs.exemption import SCHEMA, Exemptions, today_utc
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement
from policy_packs.rules import cloudwatch, kms, s3
from policy_packs.serving import as_policies
from policy_packs.view import UNKNOWN, View
from tests.policy_packs.test_packs_served import struct, wire

TODAY = date(2026, 11, 22)
BUCKET = "aws:s3/bucket:Bucket"
URN = "urn:pulumi:prod::platform::aws:kms/key:Key::evidence"
REASON = "The vendor signs with it until the migration."
RIGHT = {"urn": URN, "reason": REASON, "ends": "2027-01-31"}


def clock() -> date:
    return TODAY


def key(urn: str = URN, **props: object) -> Resource:
    return Resource(kms.KEY, urn.rpartition("::")[2], urn, View(props))


def judged(exemptions: object, resource: Resource | None = None) -> Judgement:
    return kms.KEY_ROTATION.judge(resource or key(), {"exemptions": exemptions}, clock)


def test_an_exempted_violation_is_listed_and_not_reported() -> None:
    judgement = judged([RIGHT])
    assert not judgement.violations
    assert [(one.what, one.urn, str(one)) for one in judgement.exempted] == [
        ("enableKeyRotation: the key never rotates", URN, f"exempted until 2027-01-31: {REASON} ({URN})")
    ]
    assert not judgement.is_compliant


def test_what_may_be_a_violation_is_exempted_too() -> None:
    """A preview that may not wait would otherwise refuse what `up` admits."""
    judgement = judged([RIGHT], key(enableKeyRotation=UNKNOWN))
    assert (judgement.violations, judgement.unclear) == ((), ())
    assert [one.what for one in judgement.exempted] == ["enableKeyRotation"]


def test_what_obeys_needs_no_exemption() -> None:
    judgement = judged([RIGHT], key(enableKeyRotation=True))
    assert judgement.is_compliant
    assert not judgement.exempted


def test_another_resource_is_not_exempted() -> None:
    other = URN.replace("evidence", "archive")
    judgement = judged([RIGHT], key(other))
    assert [one.message for one in judgement.violations] == ["enableKeyRotation: the key never rotates"]
    assert not judgement.exempted


WRONG: dict[str, tuple[Mapping[str, object] | object, str]] = {
    "no reason": ({"urn": URN, "ends": "2027-01-31"}, "[0].reason: is missing"),
    "a reason that is none": ({**RIGHT, "reason": "  later   "}, "[0].reason: is too short to be a reason"),
    "a reason that is no text": ({**RIGHT, "reason": 7.0}, "[0].reason: must be a text"),
    "no end": ({"urn": URN, "reason": REASON}, "[0].ends: is missing"),
    "null for an end": ({**RIGHT, "ends": None}, "[0].ends: is missing"),
    "an end that is a number": ({**RIGHT, "ends": 2027.0}, "[0].ends: must be a text"),
    "an end that is no date": ({**RIGHT, "ends": "2027-02-30"}, "[0].ends: is no date like 2027-01-31"),
    "an end in another form": ({**RIGHT, "ends": "20270131"}, "[0].ends: is no date like 2027-01-31"),
    "an end with an hour": ({**RIGHT, "ends": "2027-01-31T00:00"}, "[0].ends: is no date like 2027-01-31"),
    "ended yesterday": ({**RIGHT, "ends": "2026-11-21"}, "[0].ends: has passed"),
    "more than a year ahead": ({**RIGHT, "ends": "2027-11-24"}, "[0].ends: is more than a year ahead"),
    "no urn": ({"reason": REASON, "ends": "2027-01-31"}, "[0].urn: is missing"),
    "everything": ({**RIGHT, "urn": "*"}, "[0].urn: must be a URN: urn:pulumi:stack::project::type::name"),
    "everything, part by part": ({**RIGHT, "urn": "*::*::*::*"}, "[0].urn: must name one type of resource"),
    "every type": (
        {**RIGHT, "urn": "urn:pulumi:prod::platform::*::evidence"},
        "[0].urn: must name one type of resource",
    ),
    "every type of a service": (
        {**RIGHT, "urn": "urn:pulumi:prod::platform::aws:kms/*::evidence"},
        "[0].urn: must name one type of resource",
    ),
    "every name": (
        {**RIGHT, "urn": URN.replace("evidence", "*")},
        "[0].urn: must name a resource, or most of its name",
    ),
    "nearly every name": (
        {**RIGHT, "urn": URN.replace("evidence", "*e*")},
        "[0].urn: must name a resource, or most of its name",
    ),
    "no name": ({**RIGHT, "urn": URN.replace("evidence", "")}, "[0].urn: must name a resource, or most of its name"),
    "a field of another tool": ({**RIGHT, "owner": "x"}, "[0]: holds a field other than urn, reason and ends"),
    "a text": (URN, "[0]: must be an object with urn, reason and ends"),
    "null": (None, "[0]: must be an object with urn, reason and ends"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_a_wrong_exemption_exempts_nothing_and_is_named_by_field(case: str) -> None:
    exemption, fault = WRONG[case]
    judgement = judged([exemption])
    assert [one.message for one in judgement.violations] == [
        "enableKeyRotation: the key never rotates",
        f"exemptions{fault}",
    ]
    assert not judgement.exempted


@pytest.mark.parametrize("exemptions", [{"urn": URN}, "none", 1.0])
def test_exemptions_that_are_no_list_are_named(exemptions: object) -> None:
    assert [one.message for one in judged(exemptions).violations][1:] == ["exemptions: must be a list"]


def test_the_fault_of_an_exemption_for_another_resource_is_not_told_here() -> None:
    ended = {**RIGHT, "urn": URN.replace("evidence", "archive"), "ends": "2020-01-01"}
    assert len(judged([ended]).violations) == 1


def test_a_wrong_exemption_beside_a_right_one_changes_nothing() -> None:
    judgement = judged([{**RIGHT, "reason": ""}, RIGHT])
    assert not judgement.violations
    assert judgement.exempted


@pytest.mark.parametrize(("ends", "holds"), [("2026-11-22", True), ("2026-11-21", False), ("2027-11-23", True)])
def test_the_last_day_counts_and_a_year_ahead_too(ends: str, holds: bool) -> None:
    assert bool(judged([{**RIGHT, "ends": ends}]).exempted) is holds


def test_of_two_the_longer_one_is_named() -> None:
    [one] = judged([RIGHT, {**RIGHT, "ends": "2027-02-28"}, {**RIGHT, "ends": "2026-12-01"}]).exempted
    assert one.by.ends == date(2027, 2, 28)


PATTERNS = [
    (URN, True),
    ("urn:pulumi:*::platform::aws:kms/key:Key::evidence", True),
    ("urn:pulumi:prod::*::aws:kms/key:Key::evid*", True),
    ("urn:pulumi:prod::platform::*aws:kms/key:Key::*dence", True),
    ("urn:pulumi:prod::platform::aws:kms/key:Key::EVIDENCE", False),
    ("urn:pulumi:prod::platform::aws:kms/key:Key::evidenc?", False),
    ("urn:pulumi:prod::platform::aws:kms/key:Key::[e]vidence", False),
    ("urn:pulumi:dev*::platform::aws:kms/key:Key::evidence", False),
    ("urn:pulumi:prod*::aws:kms/key:Key::evidence::more", False),
]


@pytest.mark.parametrize(("pattern", "holds"), PATTERNS)
def test_a_star_stays_within_its_part_and_nothing_else_is_special(pattern: str, holds: bool) -> None:
    assert bool(judged([{**RIGHT, "urn": pattern}]).exempted) is holds


def test_a_resource_of_a_component_is_found_below_it() -> None:
    below = URN.replace("aws:kms", "nicefoundry:index:DataKey$aws:kms")
    assert judged([{**RIGHT, "urn": below}], key(below)).exempted
    assert judged([{**RIGHT, "urn": URN.replace("aws:kms", "*$aws:kms")}], key(below)).exempted
    assert not judged([RIGHT], key(below)).exempted


FOUR = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def bucket(name: str) -> Resource:
    return Resource(BUCKET, name, f"urn:pulumi:prod::platform::{BUCKET}::{name}", View({}))


def test_of_a_rule_about_the_stack_only_the_named_resource_is_exempted() -> None:
    exempted = {**RIGHT, "urn": bucket("public-site").urn}
    judgement = s3.PUBLIC_ACCESS.judge((bucket("archive"), bucket("public-site")), {"exemptions": [exempted]}, clock)
    assert [one.urn for one in judgement.violations] == [bucket("archive").urn]
    assert [one.urn for one in judgement.exempted] == [bucket("public-site").urn]


def test_what_concerns_the_stack_as_a_whole_is_never_exempted() -> None:
    assert not Exemptions.read([RIGHT], TODAY).of("")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=12) | st.sampled_from([URN, "*"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["urn", "reason", "ends", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_whatever_the_configuration_holds_no_violation_is_lost(exemptions: object) -> None:
    """No draw makes a right exemption: its reason would have to be ten characters, its end a date to come."""
    messages = [one.message for one in judged(exemptions).violations]
    assert messages[0] == "enableKeyRotation: the key never rotates"
    assert all(one.startswith("exemptions") for one in messages[1:])


def test_without_a_clock_today_counts() -> None:
    soon = {**RIGHT, "ends": today_utc().isoformat()}
    assert kms.KEY_ROTATION.judge(key(), {"exemptions": [soon]}).exempted
    assert kms.KEY_ROTATION.judge(key(), {"exemptions": [{**RIGHT, "ends": "2026-01-01"}]}).violations


# --- as Pulumi is told ----------------------------------------------------------------------------


def served(rule: AnyRule, config: Mapping[str, object]) -> Any:
    servicer: Any = _PolicyAnalyzerServicer("p", "1.0.0", as_policies([rule], clock), EnforcementLevel.MANDATORY)
    configured = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.MANDATORY, properties=struct(config))
    servicer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={rule.name: configured}), None)
    return servicer


def request(resource: Resource) -> dict[str, Any]:
    content = struct(wire(resource.props.value))
    return {"type": resource.type, "urn": resource.urn, "name": resource.name, "properties": content}


def analyzed(resource: Resource, config: Mapping[str, object]) -> Any:
    return served(kms.KEY_ROTATION, config).Analyze(analyzer_pb2.AnalyzeRequest(**request(resource)), None)


def test_pulumi_is_told_why_the_policy_does_not_apply() -> None:
    answer = analyzed(key(), {"exemptions": [RIGHT]})
    assert not answer.diagnostics
    assert [(one.policy_name, one.reason) for one in answer.not_applicable] == [
        ("kms-key-require-rotation", f"exempted until 2027-01-31: {REASON} ({URN})")
    ]


def test_pulumi_is_told_of_the_violation_and_of_the_exemption_that_does_not_hold() -> None:
    answer = analyzed(key(), {"exemptions": [{**RIGHT, "ends": "2026-01-01"}]})
    assert [one.message.splitlines()[1] for one in answer.diagnostics] == [
        "enableKeyRotation: the key never rotates",
        "exemptions[0].ends: has passed",
    ]
    assert {one.enforcementLevel for one in answer.diagnostics} == {analyzer_pb2.MANDATORY}
    assert {one.urn for one in answer.diagnostics} == {URN}
    assert not answer.not_applicable


def test_an_exempted_resource_may_stay_unknown_where_the_rule_may_not_wait() -> None:
    answer = analyzed(key(enableKeyRotation=UNKNOWN), {"exemptions": [RIGHT], "on_unknown": "deny"})
    assert not answer.diagnostics
    assert len(answer.not_applicable) == 1


def test_of_a_stack_pulumi_is_told_what_stands_and_what_is_exempted() -> None:
    servicer = served(s3.PUBLIC_ACCESS, {"exemptions": [{**RIGHT, "urn": bucket("public-site").urn}]})
    listed = [analyzer_pb2.AnalyzerResource(**request(one)) for one in (bucket("archive"), bucket("public-site"))]
    answer = servicer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=listed), None)
    assert [one.urn for one in answer.diagnostics] == [bucket("archive").urn]
    assert [one.reason.rpartition("::")[2] for one in answer.not_applicable] == ["public-site)"]


def test_every_policy_announces_what_an_exemption_must_hold() -> None:
    for rule in (kms.KEY_ROTATION, s3.PUBLIC_ACCESS):
        [policy, *_] = as_policies([rule])
        assert policy.config_schema is not None
        assert policy.config_schema.properties["exemptions"] == SCHEMA
    items: Any = SCHEMA["items"]
    assert items["required"] == ["urn", "reason", "ends"]
    assert items["additionalProperties"] is False


# --- a rule that may not wait ---------------------------------------------------------------------


def block(value: object) -> Resource:
    kind = s3.PUBLIC_ACCESS_BLOCK
    joined = {"bucket": (bucket("archive").urn,)}
    return replace(bucket("block"), type=kind, urn="urn:block", props=View(dict.fromkeys(FOUR, value)), joined=joined)


def stack_answer(config: Mapping[str, object]) -> Any:
    given = block(UNKNOWN)
    joins = {key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns) for key, urns in given.joined.items()}
    listed = [
        analyzer_pb2.AnalyzerResource(**request(bucket("archive"))),
        analyzer_pb2.AnalyzerResource(**request(given), propertyDependencies=joins),
    ]
    servicer = served(s3.PUBLIC_ACCESS, config)
    return servicer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=listed), None)


@pytest.mark.parametrize("answer", [lambda c: analyzed(key(enableKeyRotation=UNKNOWN), c), stack_answer])
@pytest.mark.parametrize(
    ("config", "level"),
    [
        ({}, analyzer_pb2.ADVISORY),
        ({"on_unknown": "report"}, analyzer_pb2.ADVISORY),
        ({"on_unknown": "deny"}, analyzer_pb2.MANDATORY),
        ({"on_unknown": "Report"}, analyzer_pb2.MANDATORY),
        ({"on_unknown": None}, analyzer_pb2.MANDATORY),
    ],
)
def test_both_kinds_of_rules_wait_or_refuse_as_the_configuration_says(
    answer: Any, config: Mapping[str, object], level: int
) -> None:
    """What is misspelt refuses: a slip of the pen must not admit more."""
    [note] = answer(config).diagnostics
    assert note.enforcementLevel == level
    assert ("not known yet" in note.message) is (level == analyzer_pb2.MANDATORY)
    assert "known" in note.message


def test_a_refused_unknown_is_laid_at_the_resource() -> None:
    [note] = stack_answer({"on_unknown": "deny"}).diagnostics
    assert note.urn == bucket("archive").urn
    [note] = analyzed(key(enableKeyRotation=UNKNOWN), {"on_unknown": "deny"}).diagnostics
    assert (note.urn, "enableKeyRotation" in note.message) == (URN, True)


def test_of_a_rule_that_may_not_wait_what_is_certain_comes_first() -> None:
    config = {"on_unknown": "deny"}
    given = Resource("aws:cloudwatch/logGroup:LogGroup", "g", URN, View({"retentionInDays": 0.0, "kmsKeyId": UNKNOWN}))
    servicer = served(cloudwatch.LOG_GROUP_PROTECTED, config)
    notes = servicer.Analyze(analyzer_pb2.AnalyzeRequest(**request(given)), None).diagnostics
    assert [one.message.splitlines()[1].partition(":")[0] for one in notes] == ["retentionInDays", "kmsKeyId"]
    assert {one.enforcementLevel for one in notes} == {analyzer_pb2.MANDATORY}
