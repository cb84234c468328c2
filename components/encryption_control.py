"""Encryption in transit as a property of the network: reported, or enforced.

Under `enforce` what speaks plain text inside the VPC is dropped, and resources whose traffic cannot be encrypted
cannot be made. A way to the internet leaves the encrypted world by nature: where there is one, its two gateways
are excluded by name, and nothing else ever is. A VPC that exists already has to pass `monitor` first.
https://docs.aws.amazon.com/vpc/latest/userguide/vpc-encryption-controls.html
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class EncryptionMode(StrEnum):
    MONITOR = "monitor"
    ENFORCE = "enforce"


class EncryptionControlArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    mode: EncryptionMode
    way_out: bool
    """True where there are an internet gateway and NAT gateways."""


class EncryptionControl(Component):
    """The control of one VPC."""

    def __init__(self, name: str, args: EncryptionControlArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        # Exclusions are accepted under enforce only.
        excluded = "enable" if args["way_out"] and args["mode"] is EncryptionMode.ENFORCE else None
        aws.ec2.VpcEncryptionControl(
            f"{name}-encryption",
            vpc_id=args["vpc_id"],
            mode=args["mode"].value,
            internet_gateway_exclusion=excluded,
            nat_gateway_exclusion=excluded,
            tags={"Name": name},
            opts=self.child(),
        )
        self.register_outputs({})
