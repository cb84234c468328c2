"""What a pod may send and receive, as the specifications of Kubernetes network policies.

Everything is denied both ways; each allowance is one policy with a name that says what for. An address is always
a named peer or a network of ours: "anywhere" cannot be written here, nor the instance metadata service.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from components.cluster_layout import METADATA_ADDRESS, POD_IDENTITY_ADDRESS, POD_IDENTITY_PORT, Port, Room
from components.manifest import Manifest

Protocol = Literal["TCP", "UDP"]
ALL_PODS: Mapping[str, str] = {}
NETWORK_PREFIX_MIN = 8


@dataclass(frozen=True, slots=True)
class Peer:
    """Pods of a room, or networks."""

    room: Room | None = None
    pods: Mapping[str, str] = field(default_factory=dict)
    cidrs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.room is None) is not bool(self.cidrs):
            raise ValueError("a peer is either pods of a room or networks, never both and never everything")
        for cidr in self.cidrs:
            require_narrow(cidr)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One connection that pods of a room may make or take."""

    name: str
    direction: Literal["Ingress", "Egress"]
    pods: Mapping[str, str]
    peer: Peer
    ports: tuple[tuple[Protocol, int], ...]

    def specification(self) -> Manifest:
        """The `spec` of the network policy."""
        side = "to" if self.direction == "Egress" else "from"
        rule = {side: _peers(self.peer), "ports": [_port(*port) for port in self.ports]}
        return {
            "podSelector": _selector(self.pods),
            "policyTypes": [self.direction],
            self.direction.lower(): [rule],
        }


def require_narrow(cidr: str) -> str:
    """A network that is neither everything nor holds the instance metadata service."""
    network = ipaddress.IPv4Network(cidr)
    if network.prefixlen < NETWORK_PREFIX_MIN or ipaddress.IPv4Address(METADATA_ADDRESS) in network:
        raise ValueError(
            f"a network policy must name a network of /{NETWORK_PREFIX_MIN} or smaller without {METADATA_ADDRESS} "
            f"(got {cidr!r})"
        )
    return cidr


def nothing() -> Manifest:
    """The policy under all others: no pod of the room sends or receives."""
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def sends(name: str, to: Peer, *ports: int, pods: Mapping[str, str] = ALL_PODS) -> Allowance:
    return Allowance(name, "Egress", pods, to, tuple(("TCP", port) for port in ports))


def receives(name: str, peer: Peer, *ports: int, pods: Mapping[str, str] = ALL_PODS) -> Allowance:
    return Allowance(name, "Ingress", pods, peer, tuple(("TCP", port) for port in ports))


DNS_PODS = {"k8s-app": "kube-dns"}


def asks_for_names() -> Allowance:
    """Names from the cluster's own DNS, from nowhere else."""
    return Allowance("to-dns", "Egress", ALL_PODS, Peer(Room.SYSTEM, DNS_PODS), (("UDP", Port.DNS), ("TCP", Port.DNS)))


def takes_pod_identity(pods: Mapping[str, str] = ALL_PODS) -> Allowance:
    """Credentials of the pod's own role."""
    return sends("to-pod-identity", Peer(cidrs=(POD_IDENTITY_ADDRESS,)), POD_IDENTITY_PORT, pods=pods)


def _peers(peer: Peer) -> list[Manifest]:
    if peer.room is None:
        return [{"ipBlock": {"cidr": cidr}} for cidr in peer.cidrs]
    room = {"matchLabels": {"kubernetes.io/metadata.name": peer.room.value}}
    return [{"namespaceSelector": room, "podSelector": _selector(peer.pods)}]


def _selector(labels: Mapping[str, str]) -> Manifest:
    return {"matchLabels": dict(labels)} if labels else {}


def _port(protocol: str, port: int) -> Manifest:
    return {"protocol": protocol, "port": port}


def cidrs(networks: Sequence[str]) -> Peer:
    return Peer(cidrs=tuple(networks))
