"""Entries of network ACLs: what may enter and leave a subnet, judged packet by packet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi_aws as aws

ANYWHERE = "0.0.0.0/0"
EPHEMERAL = (1024, 65535)
HTTPS = (443, 443)


@dataclass(frozen=True, slots=True)
class Rule:
    """One stateless rule: to or from where, which ports."""

    cidr: str
    ports: tuple[int, int]
    protocol: str = "tcp"


def entries(rules: Sequence[Rule]) -> list[aws.ec2.NetworkAclIngressArgsDict]:
    """In order, with room between the numbers; whatever no entry allows is denied."""
    return [
        {
            "rule_no": number * 100,
            "action": "allow",
            "protocol": rule.protocol,
            "cidr_block": rule.cidr,
            "from_port": rule.ports[0],
            "to_port": rule.ports[1],
        }
        for number, rule in enumerate(rules, 1)
    ]
