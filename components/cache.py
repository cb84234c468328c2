"""The cache of limits: Valkey, serverless, encrypted, reached by one IAM user over TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

ENGINE = "valkey"
# Everything a rate limiter needs; nothing that reads other people's settings or empties the store.
ACCESS = "on ~* -@all +@read +@write +@connection +@scripting +@transaction -@dangerous +info +time"


class CacheArgs(TypedDict):
    cache_name: str
    user_name: str
    major_version: str
    data_gb_max: int
    ecpu_per_second_max: int
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    key_arn: pulumi.Input[str]


class Cache(Component):
    """Serverless cache, its user and user group."""

    address: pulumi.Output[str]
    arn: pulumi.Output[str]
    user_arn: pulumi.Output[str]

    def __init__(self, name: str, args: CacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        user = aws.elasticache.User(
            f"{name}-user",
            # IAM authentication wants both names to be the same.
            user_id=args["user_name"],
            user_name=args["user_name"],
            engine=ENGINE,
            access_string=ACCESS,
            authentication_mode={"type": "iam"},
            opts=self.child(),
        )
        group = aws.elasticache.UserGroup(
            f"{name}-users",
            user_group_id=f"{args['cache_name']}-users",
            engine=ENGINE,
            user_ids=[user.user_id],
            opts=self.child(),
        )
        cache = aws.elasticache.ServerlessCache(
            f"{name}-cache",
            name=args["cache_name"],
            engine=ENGINE,
            major_engine_version=args["major_version"],
            kms_key_id=args["key_arn"],
            subnet_ids=list(args["subnet_ids"]),
            security_group_ids=[args["security_group_id"]],
            user_group_id=group.user_group_id,
            cache_usage_limits={
                "data_storage": {"maximum": args["data_gb_max"], "unit": "GB"},
                "ecpu_per_seconds": [{"maximum": args["ecpu_per_second_max"]}],
            },
            opts=self.child(),
        )
        self.address = cache.endpoints.apply(lambda endpoints: f"{endpoints[0]['address']}:{endpoints[0]['port']}")
        self.arn = cache.arn
        self.user_arn = user.arn
        self.register_outputs({"address": self.address})
