"""The way to the rest of the company: a transit gateway, for callers to the edge and for the app to issuers.

Only named private networks are routed, each from one tier: callers answer from the edge, and the gateway
fetches the issuers' signing keys from the app tier. Nothing leads from models or data to anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


@dataclass(frozen=True, slots=True)
class HubRoute:
    """One private network that a route table reaches through the hub."""

    name: str
    route_table_id: pulumi.Output[str]
    cidr: str


class HubAttachmentArgs(TypedDict):
    transit_gateway_id: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    routes: Sequence[HubRoute]


class HubAttachment(Component):
    """Attachment and routes. Which attachments it may talk to is decided at the hub, not here."""

    def __init__(self, name: str, args: HubAttachmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        attachment = aws.ec2transitgateway.VpcAttachment(
            f"{name}-attachment",
            transit_gateway_id=args["transit_gateway_id"],
            vpc_id=args["vpc_id"],
            subnet_ids=list(args["subnet_ids"]),
            # The hub's default tables would connect every environment with every other.
            transit_gateway_default_route_table_association=False,
            transit_gateway_default_route_table_propagation=False,
            tags={"Name": name},
            opts=self.child(),
        )
        for route in args["routes"]:
            aws.ec2.Route(
                route.name,
                route_table_id=route.route_table_id,
                destination_cidr_block=route.cidr,
                transit_gateway_id=args["transit_gateway_id"],
                opts=self.child(depends_on=[attachment]),
            )
        self.register_outputs({"attachmentId": attachment.id})
