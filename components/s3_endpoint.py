"""S3 inside the network: a gateway endpoint in the route tables of those who may use it.

A security group names it by its prefix list; its policy says whose buckets are reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class S3EndpointArgs(TypedDict):
    region: str
    vpc_id: pulumi.Input[str]
    route_table_ids: Sequence[pulumi.Input[str]]
    policy: pulumi.Input[str]


class S3Endpoint(Component):
    """The gateway endpoint of S3."""

    prefix_list_id: pulumi.Output[str]

    def __init__(self, name: str, args: S3EndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        endpoint = aws.ec2.VpcEndpoint(
            f"{name}-s3-endpoint",
            vpc_id=args["vpc_id"],
            service_name=f"com.amazonaws.{args['region']}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(args["route_table_ids"]),
            policy=args["policy"],
            tags={"Name": "s3"},
            opts=self.child(),
        )
        self.prefix_list_id = endpoint.prefix_list_id
        self.register_outputs({"prefixListId": self.prefix_list_id})
