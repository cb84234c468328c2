"""Every flow of the network on record, with the encryption it had.

The fields are AWS's default ones and `encryption-status`: 0 none, 1 by the Nitro hardware, 2 by the application,
3 by both. https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.eventual_consistency import until_permissions_spread

FIELDS = (
    *("version", "account-id", "vpc-id", "subnet-id", "interface-id", "az-id", "flow-direction", "traffic-path"),
    *("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "tcp-flags", "packets", "bytes", "start", "end"),
    *("pkt-srcaddr", "pkt-dstaddr", "pkt-src-aws-service", "pkt-dst-aws-service"),
    *("action", "log-status", "reject-reason", "encryption-status"),
)
FORMAT = " ".join(f"${{{field}}}" for field in FIELDS)


class FlowLogArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    bucket_arn: pulumi.Input[str]
    bucket_ready: pulumi.Resource


class FlowLog(Component):
    """Everything, accepted or rejected, to the evidence bucket."""

    def __init__(self, name: str, args: FlowLogArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        aws.ec2.FlowLog(
            f"{name}-flow-log",
            vpc_id=args["vpc_id"],
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=args["bucket_arn"],
            log_format=FORMAT,
            max_aggregation_interval=60,
            destination_options={
                "file_format": "parquet",
                "hive_compatible_partitions": True,
                "per_hour_partition": True,
            },
            # The delivery service would otherwise write its own statements into the bucket policy.
            opts=self.child(depends_on=[args["bucket_ready"]], hooks=until_permissions_spread(name)),
        )
        self.register_outputs({})
