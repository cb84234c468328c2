"""Which pod may open a connection to which: one table for every namespace of the cluster.

What is not here cannot happen, in either direction; a connection between two pods stands twice, once where it
leaves and once where it arrives. Health checks of the kubelet come from the pod's own node and need no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components import model_server, serving_metrics
from components.cluster_layout import IDENTITY_ROOMS, Port, Room
from components.manifest import Manifest
from components.network_allowance import (
    ALL_PODS,
    DNS_PODS,
    Allowance,
    Peer,
    asks_for_names,
    cidrs,
    receives,
    sends,
    takes_pod_identity,
)

MODEL_SERVERS = Peer(Room.MODELS, model_server.APP)
PROMETHEUS = Peer(Room.MONITORING, serving_metrics.LABELS)
KEDA_OPERATOR = {"app": "keda-operator"}
KEDA_ADAPTER = {"app": "keda-operator-metrics-apiserver"}
KEDA_WEBHOOKS = {"app": "keda-admission-webhooks"}
CERTIFICATE_WEBHOOK = {"app.kubernetes.io/name": "webhook"}
# Pods of these speak to their node only.
NAMELESS = (Room.DEVICES,)
METRICS_SERVER = {"app.kubernetes.io/name": "metrics-server"}


@dataclass(frozen=True, slots=True)
class Networks:
    """Addresses outside the pods."""

    endpoints: Sequence[str]
    """Interface endpoints of AWS services."""
    nodes: Sequence[str]
    """The subnets of nodes, of the load balancer and of the control plane's network interfaces."""
    s3: Sequence[str]
    resolver: str
    """The network's own DNS, which the cluster's forwards to."""


def connections(networks: Networks) -> Mapping[Room, tuple[Allowance, ...]]:
    """Allowances by namespace; a namespace without a row would have none."""
    api = cidrs(networks.nodes)
    rows = {
        Room.MODELS: _models(networks),
        Room.NODES: (*_asks_the_api(api), sends("to-aws", cidrs(networks.endpoints), Port.HTTPS)),
        Room.REPLICAS: _replicas(api),
        Room.MONITORING: _monitoring(api),
        Room.DEVICES: (receives("from-prometheus", PROMETHEUS, Port.GPU_METRICS),),
        Room.CERTIFICATES: _certificates(api),
        Room.ISSUER: (*_asks_the_api(api), sends("to-aws", cidrs(networks.endpoints), Port.HTTPS)),
        Room.SYSTEM: _system(networks),
    }
    return {room: (*allowed, *_identity(room)) for room, allowed in rows.items()}


def policy_names() -> dict[Room, tuple[str, ...]]:
    """The names of all policies: they do not depend on any address."""
    anywhere = ("10.0.0.0/8",)
    rows = connections(Networks(anywhere, anywhere, anywhere, "10.0.0.2/32"))
    return {room: tuple(allowance.name for allowance in allowed) for room, allowed in rows.items()}


def specification(room: Room, name: str, networks: Networks) -> Manifest:
    """`spec` of one policy, once addresses are known."""
    found = [allowance for allowance in connections(networks)[room] if allowance.name == name]
    return found[0].specification()


def _identity(room: Room) -> tuple[Allowance, ...]:
    """Credentials exactly where a service account holds a role."""
    return (takes_pod_identity(),) if room in IDENTITY_ROOMS else ()


def _asks_the_api(api: Peer, pods: Mapping[str, str] = ALL_PODS) -> tuple[Allowance, ...]:
    return asks_for_names(), sends("to-kubernetes-api", api, Port.HTTPS, pods=pods)


def _models(networks: Networks) -> tuple[Allowance, ...]:
    """In through the proxy; metrics to Prometheus; out to S3 for weights and to AWS for keys, and nowhere else."""
    return (
        receives("from-load-balancer", cidrs(networks.nodes), Port.MODEL_PROXY, pods=model_server.APP),
        receives("from-prometheus", PROMETHEUS, Port.MODEL_PROXY_HEALTH, pods=model_server.APP),
        asks_for_names(),
        sends("to-aws", cidrs(networks.endpoints), Port.HTTPS),
        sends("to-s3", cidrs(networks.s3), Port.HTTPS),
    )


def _replicas(api: Peer) -> tuple[Allowance, ...]:
    operator, adapter = Peer(Room.REPLICAS, KEDA_OPERATOR), Peer(Room.REPLICAS, KEDA_ADAPTER)
    return (
        *_asks_the_api(api),
        sends("to-prometheus", PROMETHEUS, Port.PROMETHEUS, pods=KEDA_OPERATOR),
        sends("to-operator", operator, Port.KEDA_OPERATOR, pods=KEDA_ADAPTER),
        receives("from-adapter", adapter, Port.KEDA_OPERATOR, pods=KEDA_OPERATOR),
        receives("metrics-from-kubernetes-api", api, Port.KEDA_METRICS_ADAPTER, pods=KEDA_ADAPTER),
        receives("webhooks-from-kubernetes-api", api, Port.KEDA_WEBHOOK, pods=KEDA_WEBHOOKS),
    )


def _monitoring(api: Peer) -> tuple[Allowance, ...]:
    return (
        *_asks_the_api(api),
        sends("to-model-servers", MODEL_SERVERS, Port.MODEL_PROXY_HEALTH),
        sends("to-gpu-metrics", Peer(Room.DEVICES), Port.GPU_METRICS),
        receives("from-keda", Peer(Room.REPLICAS, KEDA_OPERATOR), Port.PROMETHEUS, pods=serving_metrics.LABELS),
    )


def _certificates(api: Peer) -> tuple[Allowance, ...]:
    return (
        *_asks_the_api(api),
        receives("webhook-from-kubernetes-api", api, Port.CERTIFICATE_WEBHOOK, pods=CERTIFICATE_WEBHOOK),
    )


def _system(networks: Networks) -> tuple[Allowance, ...]:
    """What starts before everything else: without these rows a strict cluster never becomes healthy."""
    nodes = cidrs(networks.nodes)
    everybody = [receives_names(room) for room in Room if room not in NAMELESS]
    resolver = Peer(cidrs=(networks.resolver,))
    return (
        *everybody,
        Allowance("dns-to-resolver", "Egress", DNS_PODS, resolver, (("UDP", Port.DNS), ("TCP", Port.DNS))),
        sends("dns-to-kubernetes-api", nodes, Port.HTTPS, pods=DNS_PODS),
        sends("metrics-to-kubernetes-api", nodes, Port.HTTPS, Port.KUBELET, pods=METRICS_SERVER),
        receives("metrics-from-kubernetes-api", nodes, Port.METRICS_SERVER, pods=METRICS_SERVER),
        Allowance(
            "metrics-to-dns",
            "Egress",
            METRICS_SERVER,
            Peer(Room.SYSTEM, DNS_PODS),
            (("UDP", Port.DNS), ("TCP", Port.DNS)),
        ),
    )


def receives_names(room: Room) -> Allowance:
    """The cluster's DNS answers pods of this namespace."""
    return Allowance(f"dns-from-{room.value}", "Ingress", DNS_PODS, Peer(room), (("UDP", Port.DNS), ("TCP", Port.DNS)))
