"""Who can reach whom inside the cluster: the network policies of the cluster program, judged on their own.

Pods share the security groups of their node, so the groups cannot tell them apart: only network policies can.
What they let pass is still cut down by the node's groups, ACLs and routes, which `promises.py` judges.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from stacks.local.reachability.network import Network
from stacks.local.reachability.promises import Breach
from stacks.local.reachability.reading import Captured, Unjudgeable

POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
NAMESPACE = "kubernetes:core/v1:Namespace"
MODEL_ROOM = "models"
# Made by Kubernetes itself.
SYSTEM_ROOM = "kube-system"
METADATA = IPv4Address("169.254.169.254")
POD_IDENTITY = (IPv4Network("169.254.170.23/32"), "TCP", 80)
_HTTPS = ("TCP", 443)
_NAME_LABEL = "kubernetes.io/metadata.name"
# Who may ask the pods that serve models, beside the load balancer in the model tier.
_MODEL_CALLERS = {"monitoring"}

Values = Mapping[str, Any]  # Any: plain JSON


@dataclass(frozen=True)
class _Rule:
    """One direction, one list of peers, one list of ports of one policy."""

    room: str
    policy: str
    outward: bool
    peers: tuple[Values, ...]
    ports: tuple[tuple[str, int], ...]

    @property
    def hop(self) -> str:
        ports = ", ".join(f"{protocol.lower()} {port}" for protocol, port in self.ports) or "every port"
        return f"network policy {self.policy}: {'out' if self.outward else 'in'}: {ports}"


def pod_breaches(resources: Iterable[Captured], network: Network) -> tuple[Breach, ...]:
    """Every way in which pods are more open than promised. `network` is the one their nodes lie in."""
    found = sorted(resources, key=lambda resource: resource.urn)
    policies = [resource for resource in found if resource.type == POLICY]
    rooms = {_name(resource) for resource in found if resource.type == NAMESPACE} | {SYSTEM_ROOM}
    rules = [rule for policy in policies for rule in _rules(policy)]
    return (
        *_open_rooms(rooms, policies),
        *(breach for rule in rules for breach in _too_wide(rule, network.cidr)),
        *(breach for rule in rules for breach in _models_open(rule, network)),
    )


def _open_rooms(rooms: Iterable[str], policies: Iterable[Captured]) -> Iterator[Breach]:
    closed = {_room(policy) for policy in policies if _denies_all(policy.inputs["spec"])}
    for room in sorted(set(rooms) - closed):
        path = (f"pods of {room}", "no network policy denies both directions", "anything their nodes reach")
        yield Breach("every namespace denies all connections that no policy allows", path)


def _denies_all(spec: Values) -> bool:
    both = set(spec.get("policyTypes") or ()) == {"Ingress", "Egress"}
    return both and spec.get("podSelector") == {} and not spec.get("ingress") and not spec.get("egress")


def _too_wide(rule: _Rule, vpc: IPv4Network) -> Iterator[Breach]:
    """Out of a pod: to named pods, networks of ours, and what is published outside on 443. Never to metadata."""
    for where, block in _targets(rule):
        if block is None or (block.prefixlen == 0 and rule.outward):
            yield _breach("no network policy names everything", rule, where)
        elif rule.outward and METADATA in block:
            yield _breach("no pod reaches the instance metadata of its node", rule, where)
        elif rule.outward and not block.subnet_of(vpc) and not _is_published(block, rule):
            yield _breach("out of the network pods reach 443 and the pod identity agent alone", rule, where)


def _is_published(block: IPv4Network, rule: _Rule) -> bool:
    return all((block, *port) == POD_IDENTITY or port == _HTTPS for port in rule.ports) and bool(rule.ports)


def _models_open(rule: _Rule, network: Network) -> Iterator[Breach]:
    if rule.outward or rule.room != MODEL_ROOM:
        return
    promise = "model servers are reached only through their load balancer, and by who reads their metrics"
    for peer in rule.peers:
        room = _peer_room(peer, rule)
        block = _block(peer)
        allowed = room in _MODEL_CALLERS if block is None else _in_model_tier(block, network)
        if not allowed:
            yield _breach(promise, rule, str(block) if block else f"pods of {room or 'every namespace'}")


def _in_model_tier(block: IPv4Network, network: Network) -> bool:
    tiers = {subnet.tier for subnet in network.subnets.values() if subnet.cidr.overlaps(block)}
    return block.subnet_of(network.cidr) and tiers == {"model"}


def _targets(rule: _Rule) -> Iterator[tuple[str, IPv4Network | None]]:
    """The peers that are networks, and None for a peer or a lack of peers that means everything."""
    if not rule.peers or not rule.ports:
        yield "everything", None
    for peer in rule.peers:
        block = _block(peer)
        if block is not None:
            yield str(block), block
        elif not _peer_room(peer, rule):
            yield "pods of every namespace", None


def _breach(promise: str, rule: _Rule, where: str) -> Breach:
    pods = f"pods of {rule.room}"
    return Breach(promise, (pods, rule.hop, where) if rule.outward else (where, rule.hop, pods))


def _block(peer: Values) -> IPv4Network | None:
    """Exceptions are not counted: a block has to be narrow without them."""
    block = peer.get("ipBlock")
    if not block:
        return None
    try:
        return IPv4Network(block["cidr"])
    except ValueError as error:
        raise Unjudgeable(f"ipBlock.cidr must be an IPv4 network (got {block['cidr']!r}: {error})") from None


def _peer_room(peer: Values, rule: _Rule) -> str:
    """The namespace that a peer names, its own where it names none; empty where it names all or several."""
    if "namespaceSelector" not in peer:
        return rule.room
    name: str = (peer["namespaceSelector"].get("matchLabels") or {}).get(_NAME_LABEL, "")
    return name


def _rules(policy: Captured) -> Iterator[_Rule]:
    spec = policy.inputs["spec"]
    for outward, key, side in ((True, "egress", "to"), (False, "ingress", "from")):
        for values in spec.get(key) or ():
            ports = tuple(_port(policy, port) for port in values.get("ports") or ())
            yield _Rule(_room(policy), policy.name, outward, tuple(values.get(side) or ()), ports)


def _port(policy: Captured, values: Values) -> tuple[str, int]:
    port = values.get("port")
    if not isinstance(port, int | float) or values.get("endPort"):
        raise Unjudgeable(f"{policy.name}: a port must be one number (got {dict(values)})")
    return values.get("protocol") or "TCP", int(port)


def _room(policy: Captured) -> str:
    return str(policy.inputs["metadata"].get("namespace") or "default")


def _name(namespace: Captured) -> str:
    return str(namespace.inputs["metadata"]["name"])
