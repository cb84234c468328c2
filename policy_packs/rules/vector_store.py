"""Vector stores: the retrieval tier reaches them, and nobody else; a model never does.

What stands in a store was written by others. A model that reads it itself, past the tier that asks who may see
which document, answers with whatever it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, Unclear, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, UNKNOWN, View

GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUPS: Final = (GROUP, DEFAULT_GROUP)
INGRESS: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EITHER_WAY: Final = "aws:ec2/securityGroupRule:SecurityGroupRule"
MODEL: Final = "aws:sagemaker/model:Model"
GUARDRAIL: Final = "aws:bedrock/guardrail:Guardrail"
_DATABASES: Final = ("aws:rds/cluster:Cluster", "aws:rds/instance:Instance")
# Where each kind of store names its security groups.
_GROUPS_AT: Final = {
    **dict.fromkeys(_DATABASES, "vpcSecurityGroupIds"),
    "aws:opensearch/domain:Domain": "vpcOptions.securityGroupIds",
    "aws:elasticsearch/domain:Domain": "vpcOptions.securityGroupIds",
    "aws:opensearch/serverlessVpcEndpoint:ServerlessVpcEndpoint": "securityGroupIds",
    "aws:docdb/cluster:Cluster": "vpcSecurityGroupIds",
    "aws:memorydb/cluster:Cluster": "securityGroupIds",
    "aws:elasticache/serverlessCache:ServerlessCache": "securityGroupIds",
    "aws:elasticache/replicationGroup:ReplicationGroup": "securityGroupIds",
}
_MODEL_GROUPS_AT: Final = {MODEL: "vpcConfig.securityGroupIds"}
_ADDRESSES: Final = ("cidrIpv4", "cidrIpv6", "prefixListId", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds")
# The sources of a rule: one group, or, in a group that holds its rules itself, a list of them.
_ONE_SOURCE: Final = ("referencedSecurityGroupId", "sourceSecurityGroupId")
_IDS: Final = ("id", "name")
_SOURCES: Final = (*_ONE_SOURCE, "securityGroups")


@dataclass(frozen=True, slots=True)
class _Opening:
    """One rule that lets something in, and the resource that holds it: the rule itself, or a group."""

    view: View
    holder: Resource


def _reached_by_retrieval(stack: Stack) -> Iterator[Outcome]:
    stores = [one for one in stack.of_type(*_GROUPS_AT) if _may_hold_vectors(one) is not Truth.NO]
    if not stores or not _serves_models(stack):
        yield NotApplicable("no model beside a store that holds vectors")
        return
    for store in stores:
        yield from _guarded(stack, store)


def _serves_models(stack: Stack) -> bool:
    return any(one.type.startswith(("aws:bedrock", "aws:sagemaker/")) for one in stack.resources)


def _may_hold_vectors(store: Resource) -> Truth:
    """Of relational databases, PostgreSQL does; one that is restored takes over its engine."""
    engine = store.at("engine", absent=UNKNOWN)
    return any_of(Truth.of(store.type not in _DATABASES), engine.matches(".*postgres.*"))


def _guarded(stack: Stack, store: Resource) -> Iterator[Outcome]:
    if _may_hold_vectors(store) is Truth.UNKNOWN:
        yield Unclear("engine", store.urn)
        return
    listed = store.at(_GROUPS_AT[store.type])
    yield from demand(listed.is_given(), "without a group of its own the whole VPC may reach it", listed, store.urn)
    groups = _groups_of(stack, store)
    yield from () if _knows_all(listed, groups) else (Unclear(listed.path, store.urn),)
    for group in groups:
        yield from forbid(_holds_model(stack, group), "a model stands in the same group", _named(group), store.urn)
        yield from _lets_in_retrieval_only(stack, group, store)


def _groups_of(stack: Stack, resource: Resource) -> list[Resource]:
    """The security groups of a store or model: by dependency, or by an id that is known."""
    path = {**_GROUPS_AT, **_MODEL_GROUPS_AT}[resource.type]
    urns = resource.joined.get(path.partition(".")[0], ())
    ids = [one.text for one in resource.at(path).items()]
    return [*stack.find(GROUPS, urns, ids, _IDS)]


def _ids(resource: Resource) -> set[str]:
    return {resource.at(key).text for key in _IDS} - {""}


def _knows_all(listed: View, groups: list[Resource]) -> bool:
    """The rules of a group that another program made are not seen here."""
    ids = {one for group in groups for one in _ids(group)}
    return all(one.text in ids if one.text else bool(groups) for one in listed.items())


def _named(resource: Resource) -> View:
    return View(None, f"'{resource.name}'")


def _holds_model(stack: Stack, group: Resource) -> Truth:
    return Truth.of(group.urn in _model_groups(stack))


@once_per_stack
def _model_groups(stack: Stack) -> frozenset[str]:
    return frozenset(group.urn for one in stack.of_type(MODEL) for group in _groups_of(stack, one))


def _lets_in_retrieval_only(stack: Stack, group: Resource, store: Resource) -> Iterator[Outcome]:
    rules = stack.related(group, (INGRESS, EITHER_WAY), by="securityGroupId")
    yield from (Unclear("securityGroupId", group.urn),) if rules.is_unclear else ()
    for opening in _openings(group, rules.certain):
        given = any_of(*(opening.view.at(name).is_given() for name in _ADDRESSES))
        yield from forbid(given, "lets in addresses, whoever holds them", _named(opening.holder), store.urn)
        sources = [(name, one) for name in _SOURCES for one in opening.view.at(name).items()]
        truth = all_of(*(_is_retrieval(stack, opening, name, one, group) for name, one in sources))
        yield from demand(truth, "lets in what is not the retrieval tier", _named(opening.holder), store.urn)


def _openings(group: Resource, rules: tuple[Resource, ...]) -> Iterator[_Opening]:
    yield from (_Opening(one.props, one) for one in rules if one.at("type").equals("egress") is not Truth.YES)
    yield from (_Opening(one, group) for one in group.at("ingress").items())


def _is_retrieval(stack: Stack, opening: _Opening, name: str, source: View, group: Resource) -> Truth:
    """The group itself stands for the other nodes of the store."""
    sources = stack.find(GROUPS, _joined(opening, name, source), [source.text], _IDS)
    if not sources:
        return source.equals(*_setting(group, "retrieval_security_group_ids"))
    return all_of(*(any_of(Truth.of(one is group), _in_retrieval_tier(stack, one)) for one in sources))


def _joined(opening: _Opening, name: str, source: View) -> tuple[str, ...]:
    """Dependencies count where there is one source, or where the id is not known yet."""
    by = name if name in opening.holder.joined else "ingress"
    return opening.holder.joined.get(by, ()) if name in _ONE_SOURCE or source.is_unknown else ()


def _in_retrieval_tier(stack: Stack, group: Resource) -> Truth:
    tags = [group.at("tags").at(tag) for tag in map(str, _setting(group, "tier_tags"))]
    tier = next((one for one in tags if one.is_given() is not Truth.NO), View(MISSING))
    return all_of(tier.equals(*_setting(group, "retrieval_tiers")), negate(_holds_model(stack, group)))


def _setting(resource: Resource, name: str) -> list[object]:
    return [one.value for one in View(resource.settings[name]).items()]


def _stored(type_: str, path: str, groups: object, **props: object) -> Resource:
    """A store that names its groups at a path, joined to the group of stores."""
    name, _, inner = path.partition(".")
    content = {**props, name: {inner: groups} if inner else groups}
    return Resource.example(type_, content, "vectors", **{name: "store"})


_AURORA: Final = "aws:rds/cluster:Cluster"
_VECTORS = _stored(_AURORA, "vpcSecurityGroupIds", ["sg-store"], engine="aurora-postgresql")
_STORE = Resource.example(GROUP, {"id": "sg-store", "tags": {"tier": "data"}}, "store")
_RETRIEVAL = Resource.example(GROUP, {"id": "sg-retrieval", "tags": {"tier": "retrieval"}}, "retrieval")
_SERVER = Resource.example(GROUP, {"id": "sg-server", "tags": {"tier": "model"}}, "server")
_GUARDRAIL = Resource.example("aws:bedrock/guardrail:Guardrail", {}, "guardrail")


def _stack(*resources: Resource, store: Resource = _VECTORS, group: Resource = _STORE) -> tuple[Resource, ...]:
    return (_GUARDRAIL, store, group, _RETRIEVAL, _SERVER, *resources)


def _in(source: str, **props: object) -> Resource:
    """A rule of today, whose source is known by dependency only."""
    content = {"referencedSecurityGroupId": UNKNOWN, **props}
    return Resource.example(INGRESS, content, "in", securityGroupId="store", referencedSecurityGroupId=source)


def _older(**props: object) -> Resource:
    return Resource.example(EITHER_WAY, {"type": "ingress", "securityGroupId": "sg-store", **props}, "older")


def _inline(*rules: object) -> Resource:
    return Resource.example(GROUP, {"id": "sg-store", "ingress": rules}, "store")


def _inline_unknown(source: str) -> Resource:
    return Resource.example(
        GROUP, {"id": "sg-store", "ingress": [{"securityGroups": [UNKNOWN]}]}, "store", ingress=source
    )


def _tier(name: str, **tags: str) -> Resource:
    return Resource.example(GROUP, {"id": f"sg-{name}", "tags": tags}, name)


def _model(*groups: str) -> Resource:
    return Resource.example(MODEL, {"vpcConfig": {"securityGroupIds": groups}}, "model")


_OTHER_STORES = {
    "a database of its own": _stored("aws:rds/instance:Instance", "vpcSecurityGroupIds", [UNKNOWN], engine="postgres"),
    "a search domain": _stored("aws:opensearch/domain:Domain", "vpcOptions.securityGroupIds", [UNKNOWN]),
    "an older search domain": _stored("aws:elasticsearch/domain:Domain", "vpcOptions.securityGroupIds", [UNKNOWN]),
    "the endpoint of a collection": _stored(
        "aws:opensearch/serverlessVpcEndpoint:ServerlessVpcEndpoint", "securityGroupIds", [UNKNOWN]
    ),
    "a database of documents": _stored("aws:docdb/cluster:Cluster", "vpcSecurityGroupIds", [UNKNOWN]),
    "a database in memory": _stored("aws:memorydb/cluster:Cluster", "securityGroupIds", [UNKNOWN]),
    "a cache": _stored("aws:elasticache/serverlessCache:ServerlessCache", "securityGroupIds", [UNKNOWN]),
    "a group of caches": _stored("aws:elasticache/replicationGroup:ReplicationGroup", "securityGroupIds", [UNKNOWN]),
}

RETRIEVAL_ONLY = StackRule(
    name="vector-store-require-retrieval-tier",
    description="Beside models, only the retrieval tier reaches a store that holds vectors; a model never does.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.22", "A.8.3"),
        nist_800_53_r5=("AC-4", "SC-7(21)"),
        owasp_llm=("LLM09:2026", "LLM02:2026"),
        atlas=("AML.T0036", "AML.T0064", "AML.T0070"),
    ),
    remediation="Let in security groups of the retrieval tier only: name the tier by tag, as the settings say.",
    settings={
        "tier_tags": ("tier", "Tier", "Name"),
        "retrieval_tiers": ("retrieval", "gateway", "ingestion"),
        "retrieval_security_group_ids": (),
    },
    check=_reached_by_retrieval,
    obeys={
        "Aurora and its retrieval tier": _stack(_in("retrieval")),
        "a rule that names the group by id": _stack(
            Resource.example(
                INGRESS, {"securityGroupId": "sg-store", "referencedSecurityGroupId": "sg-retrieval"}, "in"
            )
        ),
        "an older rule": _stack(_older(sourceSecurityGroupId="sg-retrieval", cidrBlocks=[])),
        "a group that holds its rules": _stack(group=_inline({"securityGroups": ["sg-retrieval"]})),
        "nodes of the store among themselves": _stack(_in("retrieval"), _in("store")),
        "the way out is another matter": _stack(_older(type="egress", cidrBlocks=["10.0.0.0/8"])),
        "a store that nobody reaches yet": _stack(),
        "a group that holds its rules, before ids are known": _stack(group=_inline_unknown("retrieval")),
        "an id that is no more than known": _stack(_in("retrieval", referencedSecurityGroupId="sg-just-made")),
        "groups by name": _stack(
            Resource.example(INGRESS, {"securityGroupId": "stores", "referencedSecurityGroupId": "front"}, "in"),
            Resource.example(GROUP, {"name": "front", "tags": {"tier": "retrieval"}}, "front"),
            store=Resource.example(_AURORA, {"engine": "aurora-postgresql", "vpcSecurityGroupIds": ["stores"]}),
            group=Resource.example(GROUP, {"name": "stores"}, "store"),
        ),
        "the tier by another tag": _stack(_in("front"), _tier("front", Tier="gateway")),
        "the tier by name": _stack(_in("front"), _tier("front", Name="ingestion")),
        "beside a managed model": (_model("sg-server"), *_stack(_in("retrieval"))[1:]),
        **{sentence: _stack(_in("retrieval"), store=store) for sentence, store in _OTHER_STORES.items()},
    },
    breaks={
        "the model tier": _stack(_in("server")),
        "the model tier beside the retrieval tier": _stack(_in("retrieval"), _in("server")),
        "a tier that says nothing of itself": _stack(_in("front"), _tier("front")),
        "a name that another tag contradicts": _stack(_in("front"), _tier("front", tier="model", Name="gateway")),
        "a group that the settings do not name": _stack(
            Resource.example(INGRESS, {"securityGroupId": "sg-store", "referencedSecurityGroupId": "sg-9"}, "in")
        ),
        "addresses": _stack(_older(cidrBlocks=["10.0.0.0/16"])),
        "IPv6 addresses": _stack(_older(ipv6CidrBlocks=["fd00::/8"])),
        "lists of addresses": _stack(_older(prefixListIds=["pl-1"])),
        "addresses of today's rules": _stack(_in("retrieval", cidrIpv4="10.0.0.0/16")),
        "IPv6 addresses of today's rules": _stack(_in("retrieval", cidrIpv6="fd00::/8")),
        "a list of addresses of today's rules": _stack(_in("retrieval", prefixListId="pl-1")),
        "an older rule for the model": _stack(_older(sourceSecurityGroupId="sg-server")),
        "a group that holds a rule for the model": _stack(
            group=_inline({"securityGroups": ["sg-retrieval"]}, {"securityGroups": ["sg-retrieval", "sg-server"]})
        ),
        "a group that holds a rule for the model, before ids are known": _stack(group=_inline_unknown("server")),
        "a group of another program beside ours": _stack(
            group=Resource.example(
                GROUP, {"id": "sg-store", "ingress": [{"securityGroups": ["sg-9"]}]}, "store", ingress="retrieval"
            )
        ),
        "beside a managed model": (_model("sg-other"), *_stack(_in("server"))[1:]),
        "a model in the group of the store": (_model("sg-store"), *_stack(_in("retrieval"))),
        "a model in the group of the retrieval tier": (_model("sg-retrieval"), *_stack(_in("retrieval"))),
        "the default group of the VPC": _stack(store=Resource.example(_AURORA, {"engine": "aurora-postgresql"})),
        "the default group, for the model": _stack(
            _in("server"), group=Resource.example(DEFAULT_GROUP, {"id": "sg-store"}, "store")
        ),
        **{
            f"{sentence}, for the model": _stack(_in("server"), store=store)
            for sentence, store in _OTHER_STORES.items()
        },
    },
    neighbours={
        "no model": _stack(_in("server"))[1:],
        "MySQL holds no vectors": _stack(
            _in("server"), store=_stored(_AURORA, "vpcSecurityGroupIds", ["sg-store"], engine="aurora-mysql")
        ),
        "a model and no store": (_GUARDRAIL, _RETRIEVAL, _SERVER),
        "the model tier's own rules": _stack(
            Resource.example(INGRESS, {"securityGroupId": "sg-server", "cidrIpv4": "10.0.0.0/8"}, "elsewhere")
        ),
    },
)
