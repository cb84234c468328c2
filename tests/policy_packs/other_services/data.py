"""Databases and search domains, as the rules ask for them."""

from __future__ import annotations

import json

import pulumi_aws as aws

KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
VPC_ID, SUBNET_IDS = "vpc-0a1", ["subnet-0a1", "subnet-0b2", "subnet-0c3"]
DIGEST = "0" * 64


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    store = _store_of_retrieval_tier()
    _search(store)
    _caches(store)
    _collections(store)
    _containers()
    aws.rds.Snapshot(
        "orders",
        db_instance_identifier="orders",
        db_snapshot_identifier="orders-2026",
        shared_accounts=["111122223333"],
    )


def _store_of_retrieval_tier() -> aws.ec2.SecurityGroup:
    retrieval = aws.ec2.SecurityGroup("retrieval", vpc_id=VPC_ID, description="Retrieval", tags={"tier": "retrieval"})
    store = aws.ec2.SecurityGroup("store", vpc_id=VPC_ID, description="Vector stores", tags={"tier": "data"})
    aws.vpc.SecurityGroupIngressRule(
        "retrieval-to-store",
        description="retrieval",
        security_group_id=store.id,
        referenced_security_group_id=retrieval.id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
    )
    return store


def _search(store: aws.ec2.SecurityGroup) -> None:
    aws.opensearch.Domain(
        "search",
        engine_version="OpenSearch_2.19",
        cluster_config={
            "instance_count": 3,
            "dedicated_master_enabled": True,
            "dedicated_master_count": 3,
            "zone_awareness_enabled": True,
            "zone_awareness_config": {"availability_zone_count": 3},
        },
        encrypt_at_rest={"enabled": True, "kms_key_id": KEY_ARN},
        node_to_node_encryption={"enabled": True},
        domain_endpoint_options={"enforce_https": True, "tls_security_policy": "Policy-Min-TLS-1-2-PFS-2023-10"},
        advanced_security_options={"enabled": True},
        log_publishing_options=[
            {
                "log_type": "AUDIT_LOGS",
                "cloudwatch_log_group_arn": "arn:aws:logs:eu-central-1:111122223333:log-group:search-audit",
            }
        ],
        vpc_options={"subnet_ids": SUBNET_IDS, "security_group_ids": [store.id]},
    )


def _caches(store: aws.ec2.SecurityGroup) -> None:
    aws.elasticache.ReplicationGroup(
        "answers",
        description="Answers that may be given again",
        engine="valkey",
        node_type="cache.r7g.large",
        num_cache_clusters=2,
        automatic_failover_enabled=True,
        at_rest_encryption_enabled=True,
        transit_encryption_enabled=True,
        kms_key_id=KEY_ARN,
        user_group_ids=["retrieval"],
        security_group_ids=[store.id],
    )


def _collections(store: aws.ec2.SecurityGroup) -> None:
    endpoint = aws.opensearch.ServerlessVpcEndpoint(
        "collections", vpc_id=VPC_ID, subnet_ids=SUBNET_IDS, security_group_ids=[store.id]
    )
    rules = [{"ResourceType": "collection", "Resource": ["collection/vectors"]}]
    aws.opensearch.ServerlessSecurityPolicy(
        "collections-key",
        type="encryption",
        policy=json.dumps({"Rules": rules, "AWSOwnedKey": False, "KmsARN": KEY_ARN}),
    )
    aws.opensearch.ServerlessSecurityPolicy(
        "collections-network",
        type="network",
        policy=endpoint.id.apply(
            lambda id_: json.dumps([{"Rules": rules, "AllowFromPublic": False, "SourceVPCEs": [id_]}])
        ),
    )


def _containers() -> None:
    aws.ecs.Cluster(
        "batch",
        settings=[{"name": "containerInsights", "value": "enhanced"}],
        configuration={
            "execute_command_configuration": {
                "kms_key_id": KEY_ARN,
                "logging": "OVERRIDE",
                "log_configuration": {"cloud_watch_encryption_enabled": True, "cloud_watch_log_group_name": "sessions"},
            }
        },
    )
    image = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/batch@sha256:{DIGEST}"
    aws.ecs.TaskDefinition(
        "batch",
        family="batch",
        network_mode="awsvpc",
        container_definitions=json.dumps(
            [{"name": "batch", "image": image, "user": "10001", "readonlyRootFilesystem": True}]
        ),
        volumes=[
            {
                "name": "models",
                "efs_volume_configuration": {"file_system_id": "fs-0a1", "transit_encryption": "ENABLED"},
            }
        ],
    )
