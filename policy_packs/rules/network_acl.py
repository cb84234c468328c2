"""Network ACLs: from the internet nobody reaches a port for administration, nor every port.

An ACL has no state: what is asked outside comes back to a port of the ephemeral range, 1024 to 65535, which
AWS's own NAT gateways and load balancers use as a whole. That range, exactly, is no open door for 3389.
https://docs.aws.amazon.com/vpc/latest/userguide/custom-network-acl.html#nacl-ephemeral-ports
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, forbid
from policy_packs.rules.ec2 import is_the_world
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

ACL: Final = "aws:ec2/networkAcl:NetworkAcl"
DEFAULT_ACL: Final = "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"
ACL_RULE: Final = "aws:ec2/networkAclRule:NetworkAclRule"
_ADMIN_PORTS: Final = (22, 3389)
_TCP: Final = ("tcp", "6", 6)
_EVERY_PROTOCOL: Final = ("-1", "all", -1)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry that admits the world, whichever of the two forms it was written in."""

    view: View
    admits_world: Truth

    def is_for(self, *protocols: object) -> Truth:
        return self.view.at("protocol").equals(*protocols)

    def covers(self, port: int) -> Truth:
        in_range = all_of(_at_most(self.view.at("fromPort"), port), self.view.at("toPort").at_least(port))
        of_tcp = all_of(self.is_for(*_TCP), in_range, negate(self._is_ephemeral()))
        return any_of(self.is_for(*_EVERY_PROTOCOL), of_tcp)

    def _is_ephemeral(self) -> Truth:
        return all_of(self.view.at("fromPort").equals(1024), self.view.at("toPort").equals(65535))

    def covers_every_port(self) -> Truth:
        whole = all_of(_at_most(self.view.at("fromPort"), 1), self.view.at("toPort").at_least(65535))
        return any_of(self.is_for(*_EVERY_PROTOCOL), whole)


def _at_most(port: View, limit: int) -> Truth:
    is_number = port.at_least(0)
    return all_of(is_number, negate(port.at_least(limit + 1)))


def _entries(resource: Resource) -> Iterator[_Entry]:
    if resource.type == ACL_RULE:
        inward = negate(resource.at("egress").equals(True))
        yield _Entry(resource.props, all_of(inward, _admits_world(resource.props, "ruleAction")))
        return
    for inline in resource.at("ingress").items():
        yield _Entry(inline, _admits_world(inline, "action"))


def _admits_world(entry: View, action: str) -> Truth:
    world = any_of(is_the_world(entry.at("cidrBlock")), is_the_world(entry.at("ipv6CidrBlock")))
    return all_of(world, entry.at(action).matches("(?i)allow"))


def _no_admin_port(resource: Resource) -> Iterator[Outcome]:
    for entry in _entries(resource):
        for port in _ADMIN_PORTS:
            reached = all_of(entry.admits_world, entry.covers(port))
            yield from forbid(reached, f"the whole internet reaches port {port}", entry.view)


def _not_every_port(resource: Resource) -> Iterator[Outcome]:
    for entry in _entries(resource):
        reached = all_of(entry.admits_world, entry.covers_every_port())
        yield from forbid(reached, "the whole internet reaches every port", entry.view)


_WORLD: Final = "0.0.0.0/0"


def _ports(first: float, last: float, **changes: object) -> dict[str, object]:
    return {"action": "allow", "protocol": "tcp", "cidrBlock": _WORLD, "fromPort": first, "toPort": last, **changes}


def _inline(*entries: dict[str, object], type_: str = ACL) -> Resource:
    return Resource.example(type_, {"ingress": list(entries)})


def _rule(first: float, last: float, **changes: object) -> Resource:
    entry = {**_ports(first, last), "egress": False, "ruleAction": "allow", **changes}
    return Resource.example(ACL_RULE, {key: value for key, value in entry.items() if key != "action"})


_EVERYTHING: Final[dict[str, object]] = {"action": "allow", "protocol": "-1", "cidrBlock": _WORLD}

NO_ADMIN_PORT = Rule(
    name="ec2-network-acl-disallow-open-admin-ports",
    description="No network ACL admits the whole internet to the ports of SSH and remote desktops.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)", "AC-17"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Admit the port from a range of ours, or reach instances through Session Manager.",
    checkov=("CKV_AWS_231", "CKV_AWS_232"),
    resource_types=(ACL, DEFAULT_ACL, ACL_RULE),
    check=_no_admin_port,
    obeys={
        "HTTPS from everywhere": _inline(_ports(443.0, 443.0)),
        "SSH from a range of ours": _inline(_ports(22.0, 22.0, cidrBlock="10.0.0.0/16")),
        "every protocol from a range of ours": _inline({**_EVERYTHING, "cidrBlock": "10.0.0.0/16"}),
        "a rule for HTTPS": _rule(443.0, 443.0),
        "below SSH": _rule(1.0, 21.0),
        "between the two": _rule(23.0, 3388.0),
        "above remote desktops": _rule(3390.0, 65535.0),
    },
    breaks={
        "SSH": _inline(_ports(22.0, 22.0)),
        "remote desktops": _inline(_ports(3389.0, 3389.0)),
        "a range that ends with SSH": _rule(20.0, 22.0),
        "a range that begins with SSH": _rule(22.0, 30.0),
        "a range from zero": _rule(0.0, 3000.0),
        "SSH by the protocol's number": _rule(22.0, 22.0, protocol="6"),
        "SSH by IPv6": _inline(_ports(22.0, 22.0, cidrBlock=None, ipv6CidrBlock="::/0")),
        "in capitals": _inline(_ports(22.0, 22.0, action="ALLOW")),
        "every protocol": _inline(_EVERYTHING),
        "every protocol, by name, in a default ACL": _inline({**_EVERYTHING, "protocol": "all"}, type_=DEFAULT_ACL),
        "every protocol, as a number": _inline({**_EVERYTHING, "protocol": -1.0}),
        "TCP, as a number": _inline(_ports(22.0, 22.0, protocol=6.0)),
        "more than the ephemeral range, below": _rule(1023.0, 65535.0),
        "less than the ephemeral range": _rule(1024.0, 65534.0),
        "a rule that does not say which way comes in": Resource.example(
            ACL_RULE, {**_EVERYTHING, "ruleAction": "allow"}
        ),
    },
    neighbours={
        "answers, which an ACL without state has to admit": _inline(_ports(1024.0, 65535.0)),
        "SSH denied": _inline(_ports(22.0, 22.0, action="deny")),
        "another protocol's port 22": _inline(_ports(22.0, 22.0, protocol="udp")),
        "SSH outward": _rule(22.0, 22.0, egress=True),
        "SSH outward, inline": Resource.example(ACL, {"egress": [_ports(22.0, 22.0)]}),
        "an ACL without entries": Resource.example(DEFAULT_ACL, {"ingress": []}),
    },
)

NOT_EVERY_PORT = Rule(
    name="ec2-network-acl-disallow-every-port",
    description="No network ACL admits the whole internet to every port.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)", "CM-7"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Name the ports that the subnet serves, and the ephemeral range for answers.",
    checkov=("CKV_AWS_352",),
    resource_types=(ACL, DEFAULT_ACL, ACL_RULE),
    check=_not_every_port,
    obeys={
        "one port": _rule(443.0, 443.0),
        "one port, inline": _inline(_ports(443.0, 443.0)),
        "every port to a range of ours": _rule(0.0, 65535.0, cidrBlock="10.0.0.0/16"),
        "from the third port on": _rule(2.0, 65535.0),
        "all but the last": _rule(0.0, 65534.0),
    },
    breaks={
        "every port": _rule(0.0, 65535.0),
        "every port but the one that nobody uses": _rule(1.0, 65535.0),
        "every port of UDP": _inline(_ports(0.0, 65535.0, protocol="udp")),
        "every protocol": _inline(_EVERYTHING),
        "every protocol, in a default ACL": _inline(_EVERYTHING, type_=DEFAULT_ACL),
    },
    neighbours={
        "answers, which an ACL without state has to admit": _inline(_ports(1024.0, 65535.0)),
        "every port outward": _rule(0.0, 65535.0, egress=True),
        "every port denied": _inline({**_EVERYTHING, "action": "deny"}),
    },
)
