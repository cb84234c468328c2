"""A rule judges a resource by whatever name it is registered: old names, old versions, lists."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from policy_packs.resource import Resource, Stack
from policy_packs.resource_type import RENAMED, canonical_type, listed_type
from policy_packs.rule import Controls, Outcome, Rule, Severity, StackRule, demand
from policy_packs.rules import load_balancing, s3
from policy_packs.view import UNKNOWN, View

# --- the table against the installed packages -----------------------------------------------------


@dataclass(frozen=True)
class Registered:
    """A resource class: its type, the types it says it also answers to, and the one that replaces it."""

    token: str
    aliases: tuple[str, ...]
    successor: str = ""


def registered(package: str) -> Iterator[Registered]:
    """Read from the source: importing every module of pulumi_aws takes a minute."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for file in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        made = re.search(r"super\(\w+, __self__\)\.__init__\(\s*'([^']+:[^']+)'", text)
        if made:
            aliases = re.findall(r'Alias\(type_="([^"]+)"', text)
            replaced = re.search(
                r'^warnings\.warn\("""\S+ has been deprecated in favor of (\S+?)"""', text, re.MULTILINE
            )
            yield Registered(made[1], tuple(aliases), replaced[1] if replaced else "")


AWS = tuple(registered("pulumi_aws"))
KUBERNETES = tuple(registered("pulumi_kubernetes"))


def test_every_alias_of_pulumi_aws_is_judged_as_the_class_that_answers_to_it() -> None:
    assert len(AWS) > 1_000
    pairs = [(alias, one.token) for one in AWS for alias in one.aliases]
    assert len(pairs) > 40
    wrong = [(alias, token) for alias, token in pairs if canonical_type(alias) != canonical_type(token)]
    assert wrong == []


def test_every_deprecated_class_of_pulumi_aws_is_judged_as_its_successor() -> None:
    deprecated = {one.token: one.successor for one in AWS if one.successor}
    assert len(deprecated) > 10
    for token, successor in deprecated.items():
        named = canonical_type(token)
        assert named != token
        assert named.rpartition(":")[2] == successor.rpartition(".")[2], (token, successor)


def test_what_a_twin_is_judged_as_is_registered_and_is_no_twin_itself() -> None:
    tokens = {one.token for one in AWS}
    twins = {one for one in (*tokens, *RENAMED) if canonical_type(one) != one}
    assert {canonical_type(one) for one in twins} <= tokens
    assert {canonical_type(canonical_type(one)) for one in twins} == {canonical_type(one) for one in twins}


def test_the_table_holds_nothing_that_the_package_does_not_say() -> None:
    said = {alias for one in AWS for alias in one.aliases} | {one.token for one in AWS if one.successor}
    # pulumi_aws registers both names of an object in a bucket and calls neither of them the other's alias.
    assert set(RENAMED) - said == {"aws:s3/bucketObjectv2:BucketObjectv2"}


def test_two_classes_with_one_name_in_two_modules_of_load_balancing_are_one() -> None:
    ours = [one.token for one in AWS if one.token.startswith("aws:alb/")]
    assert len(ours) == 6
    assert {canonical_type(one) for one in ours} == {one.replace("aws:alb/", "aws:lb/") for one in ours}


def is_stable(token: str) -> bool:
    return re.search(r"/v\d+:", token) is not None


def test_every_old_version_of_kubernetes_is_judged_as_the_stable_one() -> None:
    old = {one.token: {*filter(is_stable, one.aliases)} for one in KUBERNETES if not is_stable(one.token)}
    with_stable = {token: stable for token, stable in old.items() if stable}
    assert len(with_stable) > 50
    assert {
        token: canonical_type(token) for token, stable in with_stable.items() if canonical_type(token) not in stable
    } == {}


def test_stable_versions_of_kubernetes_keep_their_name() -> None:
    stable = [one.token for one in KUBERNETES if is_stable(one.token)]
    assert len(stable) > 100
    assert [one for one in stable if canonical_type(one) != one] == []


def test_every_list_of_kubernetes_is_one_of_a_registered_kind() -> None:
    tokens = {one.token for one in KUBERNETES}
    lists = {one for one in tokens if listed_type(one)}
    assert len(lists) > 100
    assert lists == {one for one in tokens if one.endswith("List")}
    assert {one for one in lists if listed_type(one) != canonical_type(one.removesuffix("List"))} == set()


@pytest.mark.parametrize(
    ("token", "named"),
    [
        ("aws:alb/listener:Listener", "aws:lb/listener:Listener"),
        ("aws:applicationloadbalancing/targetGroup:TargetGroup", "aws:lb/targetGroup:TargetGroup"),
        ("aws:elasticloadbalancingv2/loadBalancer:LoadBalancer", "aws:lb/loadBalancer:LoadBalancer"),
        ("aws:elasticloadbalancing/loadBalancer:LoadBalancer", "aws:elb/loadBalancer:LoadBalancer"),
        ("aws:s3/bucketV2:BucketV2", "aws:s3/bucket:Bucket"),
        ("aws:s3/bucketVersioningV2:BucketVersioningV2", "aws:s3/bucketVersioning:BucketVersioning"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject"),
        ("kubernetes:extensions/v1beta1:Deployment", "kubernetes:apps/v1:Deployment"),
        ("kubernetes:extensions/v1beta1:Ingress", "kubernetes:networking.k8s.io/v1:Ingress"),
        ("kubernetes:extensions/v1beta1:DeploymentPatch", "kubernetes:apps/v1:DeploymentPatch"),
        ("kubernetes:apps/v1beta2:StatefulSet", "kubernetes:apps/v1:StatefulSet"),
        ("kubernetes:batch/v2alpha1:CronJob", "kubernetes:batch/v1:CronJob"),
        ("kubernetes:autoscaling/v2beta2:HorizontalPodAutoscaler", "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"),
        ("kubernetes:example.org/v1beta1:Deployment", "kubernetes:example.org/v1beta1:Deployment"),
        ("aws:kms/key:Key", "aws:kms/key:Key"),
        ("aws:unheard", "aws:unheard"),
        ("aws:alb", "aws:alb"),
        ("aws:", "aws:"),
        ("", ""),
        ("pulumi:pulumi:Stack", "pulumi:pulumi:Stack"),
    ],
)
def test_the_name_that_rules_use(token: str, named: str) -> None:
    assert canonical_type(token) == named


@pytest.mark.parametrize(
    ("token", "held"),
    [
        ("kubernetes:core/v1:PodList", "kubernetes:core/v1:Pod"),
        ("kubernetes:extensions/v1beta1:DeploymentList", "kubernetes:apps/v1:Deployment"),
        ("kubernetes:core/v1:List", ""),
        ("kubernetes:core/v1:Pod", ""),
        ("aws:ec2/managedPrefixList:ManagedPrefixList", ""),
    ],
)
def test_the_type_of_what_a_list_holds(token: str, held: str) -> None:
    assert listed_type(token) == held


# --- rules judge the twins ------------------------------------------------------------------------

POD, PODS = "kubernetes:core/v1:Pod", "kubernetes:core/v1:PodList"


def _on_own_network(pod: Resource) -> Iterator[Outcome]:
    host = pod.at("spec.hostNetwork", absent=False)
    yield from demand(host.equals(False), "shares its host's network", host)


def _all_on_own_network(stack: Stack) -> Iterator[Outcome]:
    for pod in stack.of_type(POD):
        host = pod.at("spec.hostNetwork", absent=False)
        yield from demand(host.equals(False), "shares its host's network", host, pod.urn)


GOOD: dict[str, object] = {"spec": {"containers": []}}
BAD = {"spec": {"hostNetwork": True}}
ABOUT = {
    "description": "A pod keeps to its own network.",
    "severity": Severity.LOW,
    "controls": Controls(soc2=("CC6.1",), iso27001_2022=("A.8.20",), nist_800_53_r5=("SC-7",)),
    "remediation": "Leave host_network out.",
}
ONE = Rule(
    name="kubernetes-pod-require-own-network",
    resource_types=(POD,),
    check=_on_own_network,
    obeys={"own": Resource.example(POD, GOOD)},
    breaks={"shared": Resource.example(POD, BAD)},
    **ABOUT,  # type: ignore[arg-type]  # the fields that both kinds of rule share
)
ALL = StackRule(
    name="kubernetes-pods-require-own-network",
    check=_all_on_own_network,
    obeys={"own": (Resource.example(POD, GOOD),)},
    breaks={"shared": (Resource.example(POD, BAD),)},
    **ABOUT,  # type: ignore[arg-type]  # the fields that both kinds of rule share
)


def pods(*items: object) -> Resource:
    return Resource.example(PODS, {"items": [*items]})


def test_what_a_list_holds_is_judged_one_by_one_at_its_own_path() -> None:
    assert [one.message for one in ONE.judge(pods(GOOD, BAD)).violations] == [
        "items[1].spec.hostNetwork: shares its host's network"
    ]
    assert ONE.judge(pods(GOOD, GOOD)).is_compliant


def test_a_rule_about_the_stack_finds_what_a_list_holds_under_the_lists_urn() -> None:
    [violation] = ALL.judge((pods(GOOD, BAD),)).violations
    assert (violation.message, violation.urn) == (
        "items[1].spec.hostNetwork: shares its host's network",
        "urn:example::example",
    )


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (pods(GOOD, UNKNOWN), "items[1].spec.hostNetwork"),
        (Resource.example(PODS, {"items": UNKNOWN}), "items.spec.hostNetwork"),
    ],
)
def test_a_list_of_which_not_all_is_known_is_unclear(given: Resource, path: str) -> None:
    assert [one.path for one in ONE.judge(given).unclear] == [path]
    assert [one.path for one in ALL.judge((given,)).unclear] == [path]


@pytest.mark.parametrize("items", [None, [], {}])
def test_a_list_that_holds_nothing_breaks_nothing(items: object) -> None:
    assert not ONE.judge(Resource.example(PODS, {"items": items})).violations


def test_a_bucket_under_its_old_name_is_judged_with_satellites_under_theirs() -> None:
    bucket = Resource.example("aws:s3/bucketV2:BucketV2", {"objectLockEnabled": True}, "archive")
    lock = Resource.example(
        "aws:s3/bucketObjectLockConfigurationV2:BucketObjectLockConfigurationV2",
        {"rule": {"defaultRetention": {"mode": "COMPLIANCE", "days": 400.0}}},
        "lock",
        bucket="archive",
    )
    versions = Resource.example(
        "aws:s3/bucketVersioningV2:BucketVersioningV2",
        {"versioningConfiguration": {"status": "Enabled"}},
        "versioning",
        bucket="archive",
    )
    assert s3.LOG_ARCHIVE_LOCKED.judge((bucket, lock, versions)).is_compliant
    assert [one.message for one in s3.LOG_ARCHIVE_LOCKED.judge((bucket, lock)).violations] == [
        "bucket 'archive': is locked without versioning"
    ]


@pytest.mark.parametrize("module", ["alb", "lb", "applicationloadbalancing", "elasticloadbalancingv2"])
def test_a_listener_is_judged_in_every_module(module: str) -> None:
    listeners = [one for one in load_balancing.TLS13.breaks.values() if one.type == "aws:lb/listener:Listener"]
    assert listeners
    for example in listeners:
        assert load_balancing.TLS13.judge(replace(example, type=f"aws:{module}/listener:Listener")).violations


def test_a_rule_written_for_an_old_name_judges_the_new_one() -> None:
    rule = replace(ONE, resource_types=("kubernetes:extensions/v1beta1:Deployment",))
    for version in ("extensions/v1beta1", "apps/v1beta1", "apps/v1"):
        assert rule.judge(Resource.example(f"kubernetes:{version}:Deployment", BAD)).violations
    assert rule.is_about("kubernetes:apps/v1:DeploymentList")
    assert not rule.is_about("kubernetes:apps/v1:StatefulSet")


# --- what belongs together ------------------------------------------------------------------------

OWNER, PART, OTHER = "aws:s3/bucket:Bucket", "aws:s3/bucketAcl:BucketAcl", "aws:s3/bucketPolicy:BucketPolicy"


def part(name: str, kind: str = PART, bucket: object = None, **joined: str) -> Resource:
    return Resource.example(kind, {"bucket": bucket}, name, **joined)


OWNED = Resource.example(OWNER, {"bucket": "logs", "id": UNKNOWN}, "archive")


@pytest.mark.parametrize(
    ("parts", "certain", "is_unclear"),
    [
        ((part("a", bucket=UNKNOWN),), [], True),
        ((part("a", bucket="logs"), part("b", bucket="other")), ["a"], False),
        ((part("a", kind=OTHER, bucket="logs"), part("b", bucket="logs")), ["a", "b"], False),
        ((part("a", bucket=""), part("b")), [], False),
    ],
)
def test_what_is_related(parts: tuple[Resource, ...], certain: list[str], is_unclear: bool) -> None:
    related = Stack((OWNED, *parts)).related(OWNED, (OTHER, PART), by="bucket")
    assert ([one.name for one in related.certain], related.is_unclear) == (certain, is_unclear)


def test_what_is_joined_twice_is_related_once_and_in_the_order_of_the_stack() -> None:
    both = replace(part("both", bucket="logs"), joined={"bucket": (OWNED.urn,)})
    by_urn = replace(part("by-urn", bucket=UNKNOWN), joined={"bucket": (OWNED.urn, "urn:other")})
    stack = Stack((by_urn, OWNED, both))
    related = stack.related(OWNED, (PART,), by="bucket")
    assert [one.name for one in related.certain] == ["by-urn", "both"]
    assert not related.is_unclear
    assert stack.of_type(PART, OWNER, PART) == (by_urn, OWNED, both)


def test_a_part_joined_to_another_is_not_unclear_although_its_value_is_unknown() -> None:
    elsewhere = replace(part("a", bucket=UNKNOWN), joined={"bucket": ("urn:other",)})
    related = Stack((OWNED, elsewhere)).related(OWNED, (PART,), by="bucket")
    assert (related.certain, related.is_unclear) == ((), False)


def test_an_owner_without_a_name_owns_nothing_by_name() -> None:
    nameless = Resource(OWNER, "n", "urn:n", View({}))
    assert Stack((nameless, part("a"))).related(nameless, (PART,), by="bucket").certain == ()
