"""Inspected egress: the gateway's one way to the internet, open for named hosts only.

It exists where a public model API is offered, and nowhere else. Of each zone: the app subnet's default route
leads to the firewall's endpoint in that zone, from there to the zone's NAT gateway, from there out; answers
come back through the same endpoint, so that the firewall sees both directions of every connection.

The firewall reads the host name in the TLS greeting and drops every connection whose name is not listed, and
whatever is no TLS. It does not decrypt: a caller could greet with a listed name and speak to another address.
The name has to be resolved first, though, and the DNS firewall resolves the listed names alone.
https://docs.aws.amazon.com/network-firewall/latest/developerguide/stateful-rule-groups-domain-names.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.address_plan import Tier, WayOut, WayOutSubnet, plan_way_out, tier_cidr
from components.component import Component
from components.egress_hosts import RULE_CAPACITY, EgressError, refuse_open_hosts
from components.network_acl import ANYWHERE, EPHEMERAL, HTTPS, Rule, entries

LOG_TYPES = ("ALERT", "FLOW")


class AppSubnet(TypedDict):
    """Where the gateway runs in one zone."""

    cidr: str
    route_table_id: pulumi.Input[str]


class InspectedEgressArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    cidr: str
    zones: Sequence[str]
    hosts: Sequence[str]
    app_subnets: Mapping[str, AppSubnet]
    """By zone. They alone get a default route."""
    key_arn: pulumi.Input[str]
    log_bucket_name: pulumi.Input[str]
    log_bucket_ready: pulumi.Resource
    delete_protection: bool


class InspectedEgress(Component):
    """Firewall and NAT subnets, internet gateway, NAT gateways, firewall, routes both ways."""

    firewall_arn: pulumi.Output[str]

    def __init__(self, name: str, args: InspectedEgressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        refuse_open_hosts(args["hosts"])
        planned = plan_way_out(args["cidr"], args["zones"])
        self._subnets = {subnet.name: self._subnet(subnet, args["vpc_id"]) for subnet in planned}
        self._tables = {subnet.name: self._table(subnet, args["vpc_id"]) for subnet in planned}
        for part in WayOut:
            self._network_acl(part, [one.name for one in planned if one.part is part], args)
        gateway = aws.ec2.InternetGateway(f"{name}-gateway", vpc_id=args["vpc_id"], opts=self.child())
        firewall = self._firewall(name, args)
        self._record(name, firewall, args)
        for zone in args["zones"]:
            endpoint_id = endpoint_in(self._subnets[f"firewall-{zone[-1]}"].id, firewall)
            self._lead_out(zone, args["app_subnets"][zone], endpoint_id, self._nat(zone, gateway), gateway)
        self.firewall_arn = firewall.arn
        self.register_outputs({"firewallArn": self.firewall_arn})

    def _subnet(self, planned: WayOutSubnet, vpc_id: pulumi.Input[str]) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            planned.name,
            vpc_id=vpc_id,
            cidr_block=planned.cidr,
            availability_zone=planned.zone,
            map_public_ip_on_launch=False,
            tags={"Name": planned.name, "tier": planned.part.value},
            opts=self.child(),
        )

    def _table(self, planned: WayOutSubnet, vpc_id: pulumi.Input[str]) -> aws.ec2.RouteTable:
        tags = {"Name": planned.name, "tier": planned.part.value}
        table = aws.ec2.RouteTable(f"{planned.name}-routes", vpc_id=vpc_id, tags=tags, opts=self.child())
        aws.ec2.RouteTableAssociation(
            f"{planned.name}-routes",
            route_table_id=table.id,
            subnet_id=self._subnets[planned.name].id,
            opts=self.child(),
        )
        return table

    def _network_acl(self, part: WayOut, names: Sequence[str], args: InspectedEgressArgs) -> None:
        """What passes: the app tier's connections to port 443, and their answers."""
        app = tier_cidr(args["cidr"], Tier.APP)
        aws.ec2.NetworkAcl(
            f"{part.value}-network-acl",
            vpc_id=args["vpc_id"],
            subnet_ids=[self._subnets[name].id for name in names],
            ingress=entries([Rule(app, HTTPS), Rule(ANYWHERE, EPHEMERAL)]),
            egress=entries([Rule(ANYWHERE, HTTPS), Rule(app, EPHEMERAL)]),
            tags={"Name": part.value, "tier": part.value},
            opts=self.child(),
        )

    def _nat(self, zone: str, gateway: aws.ec2.InternetGateway) -> aws.ec2.NatGateway:
        """The account blocks public access; this one subnet of the zone may be left by, never entered."""
        subnet = self._subnets[f"nat-{zone[-1]}"]
        exclusion = aws.ec2.VpcBlockPublicAccessExclusion(
            f"nat-{zone[-1]}-exclusion",
            subnet_id=subnet.id,
            internet_gateway_exclusion_mode="allow-egress",
            opts=self.child(),
        )
        address = aws.ec2.Eip(f"nat-{zone[-1]}-address", domain="vpc", opts=self.child(depends_on=[gateway]))
        return aws.ec2.NatGateway(
            f"nat-{zone[-1]}",
            subnet_id=subnet.id,
            allocation_id=address.id,
            tags={"Name": f"nat-{zone[-1]}"},
            opts=self.child(depends_on=[gateway, exclusion]),
        )

    def _lead_out(
        self,
        zone: str,
        app: AppSubnet,
        endpoint_id: pulumi.Output[str],
        nat: aws.ec2.NatGateway,
        gateway: aws.ec2.InternetGateway,
    ) -> None:
        """Out by the firewall of the own zone, and back by the same: a connection seen half is dropped."""
        letter = zone[-1]
        firewall, outside = self._tables[f"firewall-{letter}"].id, self._tables[f"nat-{letter}"].id
        self._route(f"app-{letter}-to-firewall", app["route_table_id"], ANYWHERE, vpc_endpoint_id=endpoint_id)
        self._route(f"firewall-{letter}-to-nat", firewall, ANYWHERE, nat_gateway_id=nat.id)
        self._route(f"nat-{letter}-to-internet", outside, ANYWHERE, gateway_id=gateway.id)
        self._route(f"nat-{letter}-back-to-firewall", outside, app["cidr"], vpc_endpoint_id=endpoint_id)

    def _route(
        self, name: str, table_id: pulumi.Input[str], destination: str, **target: pulumi.Input[str]
    ) -> aws.ec2.Route:
        return aws.ec2.Route(
            name,
            route_table_id=table_id,
            destination_cidr_block=destination,
            vpc_endpoint_id=target.get("vpc_endpoint_id"),
            nat_gateway_id=target.get("nat_gateway_id"),
            gateway_id=target.get("gateway_id"),
            opts=self.child(),
        )

    def _firewall(self, name: str, args: InspectedEgressArgs) -> aws.networkfirewall.Firewall:
        """Subnets and policy cannot be exchanged by mistake: a new zone is added in two deliberate steps."""
        policy = self._policy(name, self._allowed_hosts(name, args), args["key_arn"])
        return aws.networkfirewall.Firewall(
            f"{name}-firewall",
            vpc_id=args["vpc_id"],
            firewall_policy_arn=policy.arn,
            subnet_mappings=[{"subnet_id": self._subnets[f"firewall-{zone[-1]}"].id} for zone in args["zones"]],
            delete_protection=args["delete_protection"],
            subnet_change_protection=True,
            firewall_policy_change_protection=True,
            encryption_configuration=_encryption(args["key_arn"]),
            opts=self.child(),
        )

    def _allowed_hosts(self, name: str, args: InspectedEgressArgs) -> aws.networkfirewall.RuleGroup:
        return aws.networkfirewall.RuleGroup(
            f"{name}-allowed-hosts",
            type="STATEFUL",
            capacity=RULE_CAPACITY,
            description="Hosts of public model APIs",
            rule_group={
                "rules_source": {
                    "rules_source_list": {
                        "generated_rules_type": "ALLOWLIST",
                        "target_types": ["TLS_SNI"],
                        "targets": sorted(args["hosts"]),
                    }
                },
                "stateful_rule_options": {"rule_order": "STRICT_ORDER"},
            },
            encryption_configuration=_encryption(args["key_arn"]),
            opts=self.child(),
        )

    def _policy(
        self, name: str, hosts: aws.networkfirewall.RuleGroup, key_arn: pulumi.Input[str]
    ) -> aws.networkfirewall.FirewallPolicy:
        """Everything is judged with its connection; what no rule passes is dropped and told."""
        return aws.networkfirewall.FirewallPolicy(
            f"{name}-policy",
            firewall_policy={
                "stateless_default_actions": ["aws:forward_to_sfe"],
                "stateless_fragment_default_actions": ["aws:drop"],
                "stateful_engine_options": {"rule_order": "STRICT_ORDER", "stream_exception_policy": "DROP"},
                "stateful_rule_group_references": [{"resource_arn": hosts.arn, "priority": 100}],
                # Before the greeting there is no name to judge: the handshake of TCP has to pass.
                "stateful_default_actions": ["aws:drop_established", "aws:alert_established"],
            },
            encryption_configuration=_encryption(key_arn),
            opts=self.child(),
        )

    def _record(self, name: str, firewall: aws.networkfirewall.Firewall, args: InspectedEgressArgs) -> None:
        aws.networkfirewall.LoggingConfiguration(
            f"{name}-logs",
            firewall_arn=firewall.arn,
            logging_configuration={
                "log_destination_configs": [
                    {
                        "log_type": kind,
                        "log_destination_type": "S3",
                        "log_destination": {"bucketName": args["log_bucket_name"]},
                    }
                    for kind in LOG_TYPES
                ]
            },
            # The delivery service would otherwise write its own statements into the bucket policy.
            opts=self.child(depends_on=[args["log_bucket_ready"]]),
        )


def endpoint_in(subnet_id: pulumi.Input[str], firewall: aws.networkfirewall.Firewall) -> pulumi.Output[str]:
    """The firewall's endpoint in one subnet, hence in its zone: AWS lists them in any order."""
    known = pulumi.Output.from_input(subnet_id)
    return firewall.firewall_statuses.apply(lambda statuses: known.apply(lambda one: endpoint_of(one, statuses)))


def endpoint_of(subnet_id: str, statuses: Sequence[aws.networkfirewall.outputs.FirewallFirewallStatus]) -> str:
    attachments = (
        attachment
        for status in statuses
        for state in status.sync_states or ()
        for attachment in state.attachments or ()
    )
    for attachment in attachments:
        if attachment.subnet_id == subnet_id and attachment.endpoint_id:
            return attachment.endpoint_id
    raise EgressError(f"the firewall has no endpoint in subnet {subnet_id}: its zone would be without a way out")


def _encryption(key_arn: pulumi.Input[str]) -> aws.networkfirewall.FirewallEncryptionConfigurationArgsDict:
    return {"type": "CUSTOMER_KMS", "key_id": key_arn}
