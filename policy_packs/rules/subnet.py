"""Subnets: whoever starts in one gets no address on the internet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand

SUBNET: Final = "aws:ec2/subnet:Subnet"
DEFAULT_SUBNET: Final = "aws:ec2/defaultSubnet:DefaultSubnet"


def _gives_no_public_ip(subnet: Resource) -> Iterator[Outcome]:
    public = subnet.at("mapPublicIpOnLaunch")
    yield from demand(public.equals(False), "whatever starts here gets a public address", public)


NO_PUBLIC_IP = Rule(
    name="ec2-subnet-disallow-public-ip",
    description="No subnet gives a public address to whatever starts in it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Set map_public_ip_on_launch=False; a default subnet has it on unless told otherwise.",
    checkov=("CKV_AWS_130",),
    resource_types=(SUBNET, DEFAULT_SUBNET),
    check=_gives_no_public_ip,
    obeys={
        "turned off": Resource.example(SUBNET, {"mapPublicIpOnLaunch": False}),
        "left out, and AWS's default is off": Resource.example(SUBNET, {"cidrBlock": "10.0.0.0/24"}),
        "a default subnet, turned off": Resource.example(DEFAULT_SUBNET, {"mapPublicIpOnLaunch": False}),
    },
    breaks={
        "turned on": Resource.example(SUBNET, {"mapPublicIpOnLaunch": True}),
        "a default subnet has it on": Resource.example(DEFAULT_SUBNET, {"availabilityZone": "eu-central-1a"}),
        "an address of the owner's own premises is beside the point": Resource.example(
            SUBNET, {"mapPublicIpOnLaunch": True, "mapCustomerOwnedIpOnLaunch": False}
        ),
    },
    neighbours={
        "an IPv6 address leads nowhere without a gateway": Resource.example(
            SUBNET, {"assignIpv6AddressOnCreation": True, "ipv6CidrBlock": "2001:db8::/64"}
        ),
        "public names for private addresses": Resource.example(
            SUBNET, {"mapPublicIpOnLaunch": False, "enableResourceNameDnsARecordOnLaunch": True}
        ),
    },
)
