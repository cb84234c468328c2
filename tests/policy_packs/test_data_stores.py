"""Databases, caches, search, containers: what is not known waits, and the shape of a value breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest

from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement
from policy_packs.rules import ecs, elasticache, opensearch, opensearch_serverless, rds, vector_store
from policy_packs.view import UNKNOWN

CLUSTER, INSTANCE = rds.CLUSTER, rds.INSTANCE
GUARDRAIL = Resource.example("aws:bedrock/guardrail:Guardrail", {}, "guardrail")
STORE = Resource.example(vector_store.GROUP, {"id": "sg-store"}, "store")
VECTORS = Resource.example(CLUSTER, {"engine": "aurora-postgresql", "vpcSecurityGroupIds": ["sg-store"]}, "vectors")


def judge(rule: AnyRule, example: Any) -> Judgement:  # Any: of the rule's own kind
    return rule.judge(example)


def ingress(source: str, **props: object) -> Resource:
    content = {"securityGroupId": "sg-store", "referencedSecurityGroupId": source, **props}
    return Resource.example(vector_store.INGRESS, content, "in")


WAITS: dict[str, tuple[AnyRule, Any]] = {
    "an instance that may take its key from a source": (
        rds.CUSTOMER_KEY,
        Resource.example(INSTANCE, {"replicateSourceDb": UNKNOWN}),
    ),
    "an engine that may know no IAM": (
        rds.IAM_AUTHENTICATION,
        Resource.example(INSTANCE, {"engine": UNKNOWN, "iamDatabaseAuthenticationEnabled": False}),
    ),
    "an instance that may be a replica": (
        rds.BACKUPS,
        Resource.example(INSTANCE, {"replicateSourceDb": UNKNOWN, "backupRetentionPeriod": 0.0}),
    ),
    "a database whose environment is not known": (
        rds.DELETION_PROTECTION,
        Resource.example(CLUSTER, {"tags": UNKNOWN, "deletionProtection": False}),
    ),
    "a tag whose value is not known": (
        rds.DELETION_PROTECTION,
        Resource.example(CLUSTER, {"tagsAll": {"env": UNKNOWN}, "deletionProtection": False}),
    ),
    "an engine that may be Db2": (rds.PERFORMANCE_INSIGHTS, Resource.example(INSTANCE, {"engine": UNKNOWN})),
    "insights that may be off": (
        rds.INSIGHTS_CUSTOMER_KEY,
        Resource.example(INSTANCE, {"performanceInsightsEnabled": UNKNOWN}),
    ),
    "an engine that may be MySQL": (rds.STATEMENT_LOG, (Resource.example(CLUSTER, {"engine": UNKNOWN}),)),
    "parameters of another program": (
        rds.STATEMENT_LOG,
        (Resource.example(CLUSTER, {"engine": "aurora-postgresql", "dbClusterParameterGroupName": "elsewhere"}),),
    ),
    "parameters of an engine that is not known": (
        rds.TLS_ONLY,
        Resource.example(rds.INSTANCE_PARAMETERS, {"family": UNKNOWN, "parameters": []}),
    ),
    "a parameter whose name is not known": (
        rds.TLS_ONLY,
        Resource.example(
            rds.INSTANCE_PARAMETERS, {"family": "postgres14", "parameters": [{"name": UNKNOWN, "value": "1"}]}
        ),
    ),
    "a user that may be turned off": (
        elasticache.IAM_USERS,
        Resource.example(elasticache.USER, {"accessString": UNKNOWN, "authenticationMode": {"type": "password"}}),
    ),
    "an engine that may be Valkey": (
        elasticache.CACHE_ENCRYPTED,
        Resource.example(
            elasticache.GROUP,
            {"engine": UNKNOWN, "transitEncryptionEnabled": True, "kmsKeyId": "arn:aws:kms:eu-west-1:1:key/a"},
        ),
    ),
    "a service that may run on hosts of ours": (
        ecs.CURRENT_PLATFORM,
        Resource.example(ecs.SERVICE, {"launchType": UNKNOWN, "platformVersion": "1.3.0"}),
    ),
    "two roles of which one is not known": (
        ecs.SEPARATE_ROLES,
        Resource.example(ecs.TASK_DEFINITION, {"executionRoleArn": UNKNOWN, "taskRoleArn": "arn:aws:iam::1:role/a"}),
    ),
    "the other of two roles": (
        ecs.SEPARATE_ROLES,
        Resource.example(ecs.TASK_DEFINITION, {"executionRoleArn": "arn:aws:iam::1:role/a", "taskRoleArn": UNKNOWN}),
    ),
    "one audit log of two": (
        opensearch.AUDIT_LOG,
        Resource.example(opensearch.DOMAIN, {"logPublishingOptions": [{"logType": "INDEX_SLOW_LOGS"}, UNKNOWN]}),
    ),
    "a policy of a kind that is not known": (
        opensearch_serverless.PRIVATE_NETWORK,
        Resource.example(opensearch_serverless.SECURITY_POLICY, {"type": UNKNOWN, "policy": "["}),
    ),
    "the same for its key": (
        opensearch_serverless.CUSTOMER_KEY,
        Resource.example(opensearch_serverless.SECURITY_POLICY, {"type": UNKNOWN, "policy": "{}"}),
    ),
    "a policy text that is not known": (
        opensearch_serverless.PRIVATE_NETWORK,
        Resource.example(opensearch_serverless.SECURITY_POLICY, {"type": "network", "policy": UNKNOWN}),
    ),
    "a database that may hold no vectors": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, Resource.example(CLUSTER, {"engine": UNKNOWN})),
    ),
    "a database that takes over its engine": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, Resource.example(INSTANCE, {"snapshotIdentifier": "vectors-2026"})),
    ),
    "a group of another program": (vector_store.RETRIEVAL_ONLY, (GUARDRAIL, VECTORS)),
    "a second group of another program": (
        vector_store.RETRIEVAL_ONLY,
        (
            GUARDRAIL,
            STORE,
            Resource.example(CLUSTER, {"engine": "aurora-postgresql", "vpcSecurityGroupIds": ["sg-store", "sg-9"]}),
        ),
    ),
    "a group that is not known": (
        vector_store.RETRIEVAL_ONLY,
        (
            GUARDRAIL,
            STORE,
            Resource.example(CLUSTER, {"engine": "aurora-postgresql", "vpcSecurityGroupIds": [UNKNOWN]}),
        ),
    ),
    "a rule that may be of this group": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, VECTORS, STORE, ingress("sg-9", securityGroupId=UNKNOWN)),
    ),
    "a source that is not known": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, VECTORS, STORE, ingress("", referencedSecurityGroupId=UNKNOWN)),
    ),
    "a tier that is not known": (
        vector_store.RETRIEVAL_ONLY,
        (
            GUARDRAIL,
            VECTORS,
            STORE,
            ingress("sg-front"),
            Resource.example(vector_store.GROUP, {"id": "sg-front", "tags": UNKNOWN}, "front"),
        ),
    ),
}


@pytest.mark.parametrize(("rule", "example"), WAITS.values(), ids=WAITS.keys())
def test_what_decides_and_is_not_known_waits(rule: AnyRule, example: Any) -> None:
    judgement = judge(rule, example)

    assert judgement.unclear
    assert not judgement.violations


CERTAIN: dict[str, tuple[AnyRule, Any]] = {
    "a public entry beside one that is not known": (
        opensearch_serverless.PRIVATE_NETWORK,
        Resource.example(
            opensearch_serverless.SECURITY_POLICY, {"type": "network", "policy": '[{"AllowFromPublic": true}]'}
        ),
    ),
    "a mode of the host beside one that is not known": (
        ecs.NO_HOST_NAMESPACES,
        Resource.example(ecs.TASK_DEFINITION, {"pidMode": UNKNOWN, "ipcMode": "host"}),
    ),
    "addresses beside a group that is not known": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, VECTORS, STORE, ingress("", referencedSecurityGroupId=UNKNOWN, cidrIpv4="10.0.0.0/8")),
    ),
    "the model tier beside a rule that is not known": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, VECTORS, STORE, ingress("sg-9"), ingress("", referencedSecurityGroupId=UNKNOWN)),
    ),
}


@pytest.mark.parametrize(("rule", "example"), CERTAIN.values(), ids=CERTAIN.keys())
def test_what_is_certain_is_said_whatever_is_not_known_beside_it(rule: AnyRule, example: Any) -> None:
    assert judge(rule, example).violations


def test_numbers_come_as_floats() -> None:
    month = Resource.example(CLUSTER, {"backupRetentionPeriod": 30.0})

    assert rds.BACKUPS.judge(month, {"backup_days_min": 30}).is_compliant
    assert rds.BACKUPS.judge(month, {"backup_days_min": 30.0}).is_compliant
    assert rds.BACKUPS.judge(month, {"backup_days_min": 31.0}).violations


def test_the_environments_that_may_be_taken_down_are_the_programs_own() -> None:
    sandbox = Resource.example(CLUSTER, {"tags": {"stage": "sandbox"}})
    settings = {"environment_tag": "stage", "disposable_environments": ["sandbox"]}

    assert rds.DELETION_PROTECTION.judge(sandbox).violations
    assert rds.DELETION_PROTECTION.judge(sandbox, settings).not_applicable


def test_a_group_of_the_retrieval_tier_that_another_program_made_is_named_by_id() -> None:
    graph = (GUARDRAIL, VECTORS, STORE, ingress("sg-9"))

    assert vector_store.RETRIEVAL_ONLY.judge(graph).violations
    assert vector_store.RETRIEVAL_ONLY.judge(graph, {"retrieval_security_group_ids": ["sg-9"]}).is_compliant


def test_tiers_may_have_other_names() -> None:
    search = Resource.example(vector_store.GROUP, {"id": "sg-9", "tags": {"layer": "search"}}, "search")
    graph = (GUARDRAIL, VECTORS, STORE, search, ingress("sg-9"))
    settings = {"tier_tags": ["layer"], "retrieval_tiers": ["search"]}

    assert vector_store.RETRIEVAL_ONLY.judge(graph).violations
    assert vector_store.RETRIEVAL_ONLY.judge(graph, settings).is_compliant


NULLS: dict[str, tuple[AnyRule, Any]] = {
    "no volumes": (ecs.EFS_ENCRYPTED, Resource.example(ecs.TASK_DEFINITION, {"volumes": None})),
    "a volume of no kind": (ecs.EFS_ENCRYPTED, Resource.example(ecs.TASK_DEFINITION, {"volumes": [None]})),
    "no host": (ecs.NO_HOST_NAMESPACES, Resource.example(ecs.TASK_DEFINITION, {"pidMode": None, "ipcMode": None})),
    "no network": (ecs.NO_PUBLIC_ADDRESS, Resource.example(ecs.SERVICE, {"networkConfiguration": None})),
    "no public address": (rds.NO_PUBLIC_ADDRESS, Resource.example(INSTANCE, {"publiclyAccessible": None})),
    "no backups said": (rds.BACKUPS, Resource.example(CLUSTER, {"backupRetentionPeriod": None})),
    "no key of its own": (
        opensearch_serverless.CUSTOMER_KEY,
        Resource.example(opensearch_serverless.COLLECTION, {"encryptionConfigs": None}),
    ),
    "no rules": (
        vector_store.RETRIEVAL_ONLY,
        (GUARDRAIL, VECTORS, Resource.example(vector_store.GROUP, {"id": "sg-store", "ingress": None, "tags": None})),
    ),
}


@pytest.mark.parametrize(("rule", "example"), NULLS.values(), ids=NULLS.keys())
def test_null_is_left_out(rule: AnyRule, example: Any) -> None:
    assert judge(rule, example).is_compliant


@pytest.mark.parametrize("odd", ["text", 1.0, True, [None], [[]], {"a": None}, [{"a": 1.0}]])
@pytest.mark.parametrize(
    ("rule", "resource_type", "key"),
    [
        (ecs.EFS_ENCRYPTED, ecs.TASK_DEFINITION, "volumes"),
        (ecs.CONTAINER_INSIGHTS, ecs.CLUSTER, "settings"),
        (ecs.SESSIONS_ENCRYPTED, ecs.CLUSTER, "configuration"),
        (ecs.HARDENED_CONTAINERS, ecs.TASK_DEFINITION, "containerDefinitions"),
        (opensearch.AUDIT_LOG, opensearch.DOMAIN, "logPublishingOptions"),
        (opensearch.IN_VPC, opensearch.DOMAIN, "vpcOptions"),
        (opensearch.SURVIVES_A_ZONE, opensearch.DOMAIN, "clusterConfig"),
        (opensearch_serverless.CUSTOMER_KEY, opensearch_serverless.COLLECTION, "encryptionConfigs"),
        (rds.DELETION_PROTECTION, rds.CLUSTER, "tags"),
    ],
)
def test_values_of_another_shape_break_no_rule(rule: AnyRule, resource_type: str, key: str, odd: object) -> None:
    judgement = judge(rule, Resource.example(resource_type, {key: odd}))

    assert not any("could not be judged" in one.message for one in judgement.violations)


@pytest.mark.parametrize(
    "text", ["null", "1", '"text"', "[]", "[1]", "[null]", '{"Rules": null}', '[{"SourceVPCEs": 1}]']
)
@pytest.mark.parametrize("rule", [opensearch_serverless.PRIVATE_NETWORK, opensearch_serverless.CUSTOMER_KEY])
def test_a_policy_of_another_shape_is_never_compliant(rule: AnyRule, text: str) -> None:
    kind = "network" if rule is opensearch_serverless.PRIVATE_NETWORK else "encryption"
    policy = Resource.example(opensearch_serverless.SECURITY_POLICY, {"type": kind, "policy": text})
    judgement = judge(rule, policy)

    assert judgement.violations
    assert not any("could not be judged" in one.message for one in judgement.violations)
