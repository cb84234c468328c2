"""ElastiCache: what a cache holds is encrypted under our key, callers authenticate by IAM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

CLUSTER: Final = "aws:elasticache/cluster:Cluster"
GROUP: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
SERVERLESS: Final = "aws:elasticache/serverlessCache:ServerlessCache"
USER: Final = "aws:elasticache/user:User"
USER_GROUP: Final = "aws:elasticache/userGroup:UserGroup"
SUBNETS: Final = "aws:elasticache/subnetGroup:SubnetGroup"


def _encrypted(cache: Resource) -> Iterator[Outcome]:
    if cache.type == CLUSTER:  # a cluster takes everything from its group; alone it cannot have a key
        group = cache.at("replicationGroupId")
        yield from demand(group.is_given(), "a cluster outside a replication group cannot use a key of ours", group)
        return
    key = cache.at("kmsKeyId")
    yield from demand(is_customer_key(key), "no customer managed key", key)
    if cache.type == GROUP:  # a serverless cache is always encrypted, at rest and in transit
        yield from _group_encrypted(cache)


def _group_encrypted(group: Resource) -> Iterator[Outcome]:
    at_rest, in_transit = group.at("atRestEncryptionEnabled"), group.at("transitEncryptionEnabled")
    mode = group.at("transitEncryptionMode")
    yield from demand(any_of(at_rest.equals(True), _encrypts_by_default(group)), "not encrypted at rest", at_rest)
    yield from demand(in_transit.equals(True), "not encrypted in transit", in_transit)
    yield from demand(mode.equals("required"), "connections without TLS are accepted", mode)


def _encrypts_by_default(group: Resource) -> Truth:
    """Of a group that says nothing, Valkey is encrypted at rest and Redis is not."""
    left_out = negate(group.at("atRestEncryptionEnabled").is_given())
    return all_of(left_out, group.at("engine").equals("valkey"))


_ENCRYPTED = {"atRestEncryptionEnabled": True, "transitEncryptionEnabled": True, "kmsKeyId": OWN_KEY}

CACHE_ENCRYPTED = Rule(
    name="elasticache-cache-require-encryption",
    description="A cache is encrypted under a customer managed key at rest, and by TLS in transit.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.7"),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-8(1)", "SC-12"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_id; for a replication group also both encryption switches, and TLS mode required.",
    checkov=("CKV_AWS_29", "CKV_AWS_30", "CKV_AWS_191"),
    resource_types=(SERVERLESS, GROUP, CLUSTER),
    check=_encrypted,
    obeys={
        "a serverless cache with a key": Resource.example(SERVERLESS, {"kmsKeyId": OWN_KEY}),
        "a group that says all": Resource.example(GROUP, {**_ENCRYPTED, "transitEncryptionMode": "required"}),
        "Valkey is encrypted at rest by default": Resource.example(
            GROUP, {"engine": "valkey", "transitEncryptionEnabled": True, "kmsKeyId": OWN_KEY}
        ),
        "a cluster of a group": Resource.example(CLUSTER, {"replicationGroupId": "sessions"}),
    },
    breaks={
        "a serverless cache under AWS's key": Resource.example(SERVERLESS, {}),
        "a group under AWS's key": Resource.example(GROUP, {**_ENCRYPTED, "kmsKeyId": ""}),
        "Redis that says nothing: AWS's default": Resource.example(
            GROUP, {"transitEncryptionEnabled": True, "kmsKeyId": OWN_KEY}
        ),
        "Valkey turned off": Resource.example(
            GROUP, {**_ENCRYPTED, "engine": "valkey", "atRestEncryptionEnabled": False}
        ),
        "plain connections": Resource.example(GROUP, {**_ENCRYPTED, "transitEncryptionEnabled": False}),
        "plain connections accepted beside TLS": Resource.example(
            GROUP, {**_ENCRYPTED, "transitEncryptionMode": "preferred"}
        ),
        "a cluster of its own": Resource.example(CLUSTER, {"engine": "redis"}),
        "AWS's key by its name": Resource.example(GROUP, {**_ENCRYPTED, "kmsKeyId": "alias/aws/elasticache"}),
    },
    neighbours={"the subnets that caches may stand in": Resource.example(SUBNETS, {"subnetIds": ["subnet-0a1"]})},
)


def _fails_over(group: Resource) -> Iterator[Outcome]:
    failover = group.at("automaticFailoverEnabled")
    yield from demand(failover.equals(True), "the loss of one node stops writing", failover)


FAILOVER = Rule(
    name="elasticache-replication-group-require-failover",
    description="A replica takes over when the primary of a replication group fails.",
    severity=Severity.LOW,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.14",), nist_800_53_r5=("CP-10", "SC-5")),
    remediation="Set automatic_failover_enabled=True, with a replica in another zone.",
    checkov=("CKV2_AWS_50",),
    resource_types=(GROUP,),
    check=_fails_over,
    obeys={"on": Resource.example(GROUP, {"automaticFailoverEnabled": True})},
    breaks={
        "left out, and AWS's default is off": Resource.example(GROUP, {}),
        "off": Resource.example(GROUP, {"automaticFailoverEnabled": False}),
    },
    neighbours={"a serverless cache always stands in several zones": Resource.example(SERVERLESS, {})},
)


def _by_iam(resource: Resource) -> Iterator[Outcome]:
    if resource.type == USER:
        yield from _user_by_iam(resource)
    elif resource.type == CLUSTER:
        yield from _cluster_by_iam(resource.at("replicationGroupId"))
    else:
        users = resource.at("userGroupId" if resource.type == SERVERLESS else "userGroupIds")
        yield from demand(users.is_given(), "no user group: whoever reaches the cache may use it", users)


def _user_by_iam(user: Resource) -> Iterator[Outcome]:
    is_off = user.at("accessString").matches(r"off(?!.*\bon\b).*")
    if is_off is Truth.YES:
        yield NotApplicable("the user is turned off")
        return
    kind = user.at("authenticationMode.type")
    yield from demand(any_of(kind.equals("iam"), is_off), "the user does not authenticate by IAM", kind)


def _cluster_by_iam(group: View) -> Iterator[Outcome]:
    yield from demand(group.is_given(), "a cluster outside a replication group knows no IAM", group)


_USER = {"userName": "reader", "accessString": "on ~* -@all +@read"}

IAM_USERS = Rule(
    name="elasticache-user-require-iam",
    description="Callers of a cache authenticate by IAM: the cache has a user group, its users have no password.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.5"),
        nist_800_53_r5=("IA-2", "IA-5"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0019",),
    ),
    remediation='Give the cache a user group, and its users authentication_mode={"type": "iam"}.',
    checkov=("CKV_AWS_31",),
    resource_types=(USER, SERVERLESS, GROUP, CLUSTER),
    check=_by_iam,
    obeys={
        "a user by IAM": Resource.example(USER, {**_USER, "authenticationMode": {"type": "iam"}}),
        "a default user that is turned off": Resource.example(USER, {"accessString": "off -@all"}),
        "a serverless cache with a user group": Resource.example(SERVERLESS, {"userGroupId": "gateway"}),
        "a replication group with a user group": Resource.example(GROUP, {"userGroupIds": ["gateway"]}),
        "a cluster of a group": Resource.example(CLUSTER, {"replicationGroupId": "sessions"}),
    },
    breaks={
        "a user with a password": Resource.example(USER, {**_USER, "authenticationMode": {"type": "password"}}),
        "a user with no password at all": Resource.example(USER, {**_USER, "noPasswordRequired": True}),
        "off, and then on again": Resource.example(USER, {"accessString": "off nopass on ~* +@all"}),
        "a serverless cache for everybody": Resource.example(SERVERLESS, {}),
        "a group with one shared token": Resource.example(GROUP, {"authToken": "…"}),
        "a cluster of its own": Resource.example(CLUSTER, {}),
    },
    neighbours={"a user group only gathers users": Resource.example(USER_GROUP, {"userIds": ["reader"]})},
)
