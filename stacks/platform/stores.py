"""Stores: the vector store with ledger and audit chain, and the cache of limits."""

from __future__ import annotations

from dataclasses import dataclass

from components.address_plan import Tier
from components.cache import Cache
from components.log_group import LogGroup
from components.segmentation import Segment
from components.vector_store import VectorStore
from stacks.environment import Environment
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose

DATABASE_NAME = "llm"
CACHE_USER = "gateway"
CACHE_VERSION = "8"


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the gateway keeps what it knows."""

    database: VectorStore
    cache: Cache


def deploy_stores(environment: Environment, foundation: Foundation, placement: Placement) -> Stores:
    return Stores(_database(environment, foundation, placement), _cache(environment, foundation, placement))


def _database(environment: Environment, foundation: Foundation, placement: Placement) -> VectorStore:
    database = environment.database
    logs = LogGroup(
        "database-logs",
        {
            "log_group_name": foundation.names.database_log_group,
            "key_arn": foundation.key_arn(Purpose.LOGS),
            "retention_days": environment.retention.log_days,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )
    return VectorStore(
        "database",
        {
            "cluster_name": foundation.names.named("database"),
            "database_name": DATABASE_NAME,
            "engine_version": database.engine_version,
            "tls_min": database.tls_min,
            "capacity_min": database.capacity_min,
            "capacity_max": database.capacity_max,
            "instances": database.instances,
            "backup_days": database.backup_days,
            "deletion_protection": environment.deletion_protection,
            "subnet_ids": foundation.subnet_ids(Tier.DATA),
            "security_group_id": foundation.group_id(Segment.DATABASE),
            "key_arn": foundation.key_arn(Purpose.DATABASE),
            "secret_key_arn": foundation.key_arn(Purpose.SECRETS),
            "log_group": logs,
        },
        placement.lasting(),
    )


def _cache(environment: Environment, foundation: Foundation, placement: Placement) -> Cache:
    return Cache(
        "cache",
        {
            "cache_name": foundation.names.named("limits"),
            "user_name": CACHE_USER,
            "major_version": CACHE_VERSION,
            "data_gb_max": environment.cache.data_gb_max,
            "ecpu_per_second_max": environment.cache.ecpu_per_second_max,
            "subnet_ids": foundation.subnet_ids(Tier.DATA),
            "security_group_id": foundation.group_id(Segment.CACHE),
            "key_arn": foundation.key_arn(Purpose.CACHE),
        },
        placement.replaceable(),
    )
