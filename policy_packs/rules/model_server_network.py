"""Around model servers in a cluster: no way out to the world, no way in but a named one, a share of GPUs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from policy_packs.kubernetes_workload import (
    NETWORK_POLICY,
    WORKLOADS,
    Pod,
    deployment,
    guards,
    is_same_namespace,
    member,
    namespace_of,
    network_policy,
    selects,
)
from policy_packs.model_pod import devices, is_model_pod
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, Unclear, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View

SERVICE: Final = "kubernetes:core/v1:Service"
QUOTA: Final = "kubernetes:core/v1:ResourceQuota"
_PRIVATE: Final = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    *("fc00::/7", "fe80::/10"),
)
_SPEC: Final = View("", "spec")


Judge = Callable[[Stack, Resource], Iterator[Outcome]]


def _of_models(judge: Judge) -> Callable[[Stack], Iterator[Outcome]]:
    """A check of every workload that runs a model; one that may do so waits."""

    def check(stack: Stack) -> Iterator[Outcome]:
        found = [(one, is_model_pod(Pod.of(one))) for one in stack.of_type(*WORKLOADS)]
        if all(truth is Truth.NO for _, truth in found):
            yield NotApplicable("no model runs in a pod")
        for workload, truth in found:
            if truth is Truth.UNKNOWN:
                yield Unclear("spec", workload.urn)
            if truth is Truth.YES:
                yield from judge(stack, workload)

    return check


def is_about(policy: Resource, direction: str) -> Truth:
    """Whether it bounds this direction; left out, always Ingress, and Egress where a rule of that kind stands."""
    listed = policy.at("spec.policyTypes")
    if listed.value is not MISSING:
        return listed.any(lambda one: one.equals(direction))
    return Truth.YES if direction == "Ingress" else policy.at("spec.egress").is_given()


def _bounding(stack: Stack, workload: Resource, direction: str) -> list[tuple[Resource, Truth]]:
    """Policies that bound this direction for the workload's pods, or may."""
    judged = ((one, all_of(guards(one, workload), is_about(one, direction))) for one in stack.of_type(NETWORK_POLICY))
    return [(policy, truth) for policy, truth in judged if truth is not Truth.NO]


def _no_way_out(stack: Stack, model: Resource) -> Iterator[Outcome]:
    bounding = _bounding(stack, model, "Egress")
    is_bound = any_of(*(truth for _, truth in bounding))
    yield from demand(is_bound, "no network policy says where its pods may call", _SPEC, model.urn)
    for policy, truth in bounding:
        for rule in policy.at("spec.egress").items():
            opens = all_of(truth, _leads_out(rule, policy.settings))
            yield from forbid(opens, "pods with a model may call the internet", rule, policy.urn)


def _leads_out(rule: View, settings: Mapping[str, object]) -> Truth:
    """No `to` leads everywhere; neither does a public network wider than those of S3 stay at home."""
    to = rule.at("to")
    wide = to.any(lambda peer: _is_wide(peer.at("ipBlock.cidr"), settings, "public"))
    return any_of(negate(to.is_given()), wide)


def _is_wide(cidr: View, settings: Mapping[str, object], kind: str) -> Truth:
    """Whether the network is public and wider than this kind of peer may be; what is no network is."""
    if cidr.is_unknown or cidr.value is MISSING:
        return Truth.UNKNOWN if cidr.is_unknown else Truth.NO
    try:
        network = _network(cidr.text)
    except ValueError:
        return Truth.YES
    bits = settings[f"{kind}_prefix_bits_min" if network.version == 4 else f"{kind}_ipv6_prefix_bits_min"]
    is_narrow = network.prefixlen >= int(str(bits))
    return Truth.of(not is_narrow and not (kind == "public" and _is_private(network)))


@lru_cache(maxsize=1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _is_private(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    ours = map(_network, _PRIVATE)
    return any(one.version == network.version and network.subnet_of(one) for one in ours)  # type: ignore[arg-type]  # same version


_GPU: Final = {"limits": {"nvidia.com/gpu": "1"}}
_MODEL: Final = deployment({"containers": [{"name": "server", "resources": _GPU}]})


def _calls(*cidrs: str, **more: object) -> Resource:
    """A policy that lets every pod of the namespace call these networks."""
    to = [{"ipBlock": {"cidr": one}} for one in cidrs]
    return network_policy(policyTypes=["Egress"], egress=[{"to": to}], **more)


_NOWHERE: Final = network_policy(policyTypes=["Ingress", "Egress"])

NO_WAY_OUT = StackRule(
    name="kubernetes-model-disallow-internet",
    description="Network policies leave pods with a model no way to the internet.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.12", "A.8.22"),
        nist_800_53_r5=("SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM04:2026"),
        atlas=("AML.T0025", "AML.T0072", "AML.T0086"),
    ),
    remediation="Add a NetworkPolicy with Egress in policyTypes, and name every peer; S3 by its regional networks.",
    settings={"public_prefix_bits_min": 14, "public_ipv6_prefix_bits_min": 32},
    check=_of_models(_no_way_out),
    obeys={
        "nowhere": (_MODEL, _NOWHERE),
        "our own networks": (_MODEL, _calls("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")),
        "addresses of the link, of carriers": (_MODEL, _calls("169.254.170.23/32", "100.64.0.0/10", "fe80::/10")),
        "S3, as it announces itself": (_MODEL, _calls("52.216.0.0/14", "2600:1ff0::/32")),
        "pods by label": (_MODEL, network_policy(egress=[{"to": [{"podSelector": {"matchLabels": {"app": "dns"}}}]}])),
        "another policy opens another pod": (
            _MODEL,
            _NOWHERE,
            _calls("0.0.0.0/0", podSelector={"matchLabels": {"app": "other"}}),
        ),
        "a rule that does not count": (
            _MODEL,
            _NOWHERE,
            network_policy(policyTypes=["Ingress"], egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]),
        ),
    },
    breaks={
        "no policy": (_MODEL,),
        "only a way in is bounded": (_MODEL, network_policy(policyTypes=["Ingress"])),
        "left out, and only the way in is bounded": (_MODEL, network_policy()),
        "a policy of another namespace": (_MODEL, network_policy("others", policyTypes=["Egress"])),
        "everywhere": (_MODEL, _calls("0.0.0.0/0")),
        "everywhere, though types are left out": (
            _MODEL,
            network_policy(egress=[{"to": [{"ipBlock": {"cidr": "::/0"}}]}]),
        ),
        "everywhere in two halves": (_MODEL, _calls("0.0.0.0/1", "128.0.0.0/1")),
        "one of two networks": (_MODEL, _calls("10.0.0.0/8", "0.0.0.0/0")),
        "no peer": (_MODEL, network_policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 443.0}]}])),
        "an empty list of peers": (_MODEL, _calls()),
        "wider than S3": (_MODEL, _calls("52.216.0.0/13")),
        "wider than S3, version six": (_MODEL, _calls("2600::/31")),
        "our own networks and more": (_MODEL, _calls("8.0.0.0/5")),
        "what is no network": (_MODEL, _calls("everywhere")),
        "one of two policies": (_MODEL, _NOWHERE, _calls("0.0.0.0/0")),
        "one of two models": (
            _MODEL,
            _NOWHERE,
            deployment({"containers": [{"image": "ollama/ollama"}]}, namespace="x"),
        ),
    },
    neighbours={"no model, which may call": (deployment({"containers": [{"image": "nginx"}]}), _calls("0.0.0.0/0"))},
)


def _named_ways_in(stack: Stack, model: Resource) -> Iterator[Outcome]:
    bounding = _bounding(stack, model, "Ingress")
    is_bound = any_of(*(truth for _, truth in bounding))
    yield from demand(is_bound, "no network policy says who may call its pods", _SPEC, model.urn)
    for policy, truth in bounding:
        for rule in policy.at("spec.ingress").items():
            opens = all_of(truth, _lets_in(rule, policy.settings))
            yield from forbid(opens, "whoever calls is not named, or no port is", rule, policy.urn)
    for service in stack.of_type(SERVICE):
        yield from _inside(service, model)


def _lets_in(rule: View, settings: Mapping[str, object]) -> Truth:
    callers = rule.at("from")
    is_wide = callers.any(lambda peer: _is_anybody(peer, settings))
    return any_of(negate(callers.is_given()), negate(rule.at("ports").is_given()), is_wide)


def _is_anybody(peer: View, settings: Mapping[str, object]) -> Truth:
    """A wide network; or pods that nothing names: neither their own labels nor those of their namespace."""
    block, pods, namespaces = peer.at("ipBlock"), peer.at("podSelector"), peer.at("namespaceSelector")
    if block.value is not MISSING:
        return _is_wide(block.at("cidr"), settings, "caller")
    is_here = Truth.UNKNOWN if namespaces.is_unknown else Truth.of(namespaces.value is MISSING)
    return negate(any_of(_names(namespaces), all_of(is_here, _names(pods))))


def _names(selector: View) -> Truth:
    labels = selector.at("matchLabels")
    has_labels = Truth.UNKNOWN if labels.is_unknown else Truth.of(labels.value not in (MISSING, {}))
    return any_of(has_labels, selector.at("matchExpressions").is_given())


def _inside(service: Resource, model: Resource) -> Iterator[Outcome]:
    """A Service in front of a model makes no load balancer of its own, and takes no address from outside."""
    selector, kind, addresses = service.at("spec.selector"), service.at("spec.type"), service.at("spec.externalIPs")
    is_chosen = selects(View({"matchLabels": selector.value}), Pod.of(model).labels)
    is_empty = Truth.of(selector.value in (MISSING, {}))
    is_before = all_of(is_same_namespace(service, model), is_chosen, negate(is_empty))
    types = service.settings["service_types"]
    is_allowed = kind.equals(*(types if isinstance(types, list | tuple) else ()))
    yield from demand(any_of(negate(is_before), is_allowed), "it makes a way in of its own", kind, service.urn)
    outside = all_of(is_before, addresses.is_given())
    yield from forbid(outside, "it takes an address from outside", addresses, service.urn)


def _lets(*callers: dict[str, object], **more: object) -> Resource:
    """A policy that lets these call one port of every pod of the namespace."""
    ingress = [{"from": [*callers], "ports": [{"port": 8443.0}]}]
    return network_policy(policyTypes=["Ingress"], ingress=ingress, **more)


def _block(cidr: str) -> dict[str, object]:
    return {"ipBlock": {"cidr": cidr}}


def _service(selector: object = None, **spec: object) -> Resource:
    chosen = {"app": "example"} if selector is None else selector
    props = {"metadata": {"namespace": "examples"}, "spec": {"selector": chosen, **spec}}
    return Resource.example(SERVICE, props, "service")


_GATEWAY: Final[dict[str, object]] = {"podSelector": {"matchLabels": {"app": "gateway"}}}
_ROOM: Final[dict[str, object]] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}
_BALANCER: Final = {"type": "LoadBalancer"}

NAMED_WAYS_IN = StackRule(
    name="kubernetes-model-require-named-callers",
    description="Pods with a model are called on named ports by named callers; their Services stay inside.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.3", "A.8.22"),
        nist_800_53_r5=("AC-4", "SC-7(21)"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049", "AML.T0040", "AML.T0029"),
    ),
    remediation="Add a NetworkPolicy whose ingress names ports and the gateway's tier; make the Service a ClusterIP.",
    # A NodePort is what a load balancer made elsewhere calls: the network policy names its subnets.
    settings={
        "service_types": ["ClusterIP", "NodePort"],
        "caller_prefix_bits_min": 16,
        "caller_ipv6_prefix_bits_min": 56,
    },
    check=_of_models(_named_ways_in),
    obeys={
        "nobody": (_MODEL, network_policy(policyTypes=["Ingress"])),
        "nobody, types left out": (_MODEL, network_policy()),
        "pods of the same namespace": (_MODEL, _lets(_GATEWAY)),
        "a namespace": (_MODEL, _lets(_ROOM)),
        "pods of a namespace": (_MODEL, _lets({**_ROOM, **_GATEWAY})),
        "a namespace, expressed": (
            _MODEL,
            _lets({"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}),
        ),
        "subnets of a load balancer": (
            _MODEL,
            _lets(_block("10.1.0.0/16"), _block("fd00::/56")),
            _service(type="NodePort"),
        ),
        "a service that stays inside": (_MODEL, _NOWHERE, _service()),
        "a service that says so": (_MODEL, _NOWHERE, _service(type="ClusterIP", externalIPs=[])),
        "another policy opens another pod": (
            _MODEL,
            _NOWHERE,
            _lets(_block("0.0.0.0/0"), podSelector={"matchLabels": {"app": "other"}}),
        ),
        "a rule that does not count": (
            _MODEL,
            _NOWHERE,
            network_policy(policyTypes=["Egress"], ingress=[{"ports": [{"port": 1.0}]}]),
        ),
        "a way in for others": (_MODEL, _NOWHERE, _service({"app": "other"}, **_BALANCER, externalIPs=["192.0.2.1"])),
        "a way in of another namespace": (
            _MODEL,
            _NOWHERE,
            Resource.example(
                SERVICE,
                {"metadata": {"namespace": "others"}, "spec": {"selector": {"app": "example"}, **_BALANCER}},
            ),
        ),
        "a way in for nobody": (_MODEL, _NOWHERE, _service({}, **_BALANCER, externalIPs=["192.0.2.1"])),
    },
    breaks={
        "no policy": (_MODEL,),
        "only a way out is bounded": (_MODEL, network_policy(policyTypes=["Egress"])),
        "anybody": (_MODEL, network_policy(ingress=[{"ports": [{"port": 8443.0}]}])),
        "an empty list of callers": (_MODEL, _lets()),
        "every port": (_MODEL, network_policy(ingress=[{"from": [_GATEWAY]}])),
        "every pod beside it": (_MODEL, _lets({"podSelector": {}})),
        "every namespace": (_MODEL, _lets({"namespaceSelector": {}})),
        "a label that anybody may take": (_MODEL, _lets({"namespaceSelector": {"matchLabels": {}}, **_GATEWAY})),
        "everywhere": (_MODEL, _lets(_block("0.0.0.0/0"))),
        "the whole of a private range": (_MODEL, _lets(_block("10.0.0.0/15"))),
        "the whole of a private range, version six": (_MODEL, _lets(_block("fd00::/55"))),
        "one of two callers": (_MODEL, _lets(_GATEWAY, _block("0.0.0.0/0"))),
        "one of two policies": (_MODEL, _NOWHERE, _lets(_block("0.0.0.0/0"))),
        "a load balancer of its own": (_MODEL, _NOWHERE, _service(**_BALANCER)),
        "an address from outside": (_MODEL, _NOWHERE, _service(externalIPs=["192.0.2.1"])),
    },
    neighbours={
        "no model, which anybody may call": (
            deployment({"containers": [{"image": "nginx"}]}),
            _lets(_block("0.0.0.0/0")),
            _service(**_BALANCER),
        )
    },
)


def _share_of_devices(stack: Stack) -> Iterator[Outcome]:
    quotas = stack.of_type(QUOTA)
    asking = [(one, name) for one in stack.of_type(*WORKLOADS) for name in sorted({*devices(Pod.of(one))})]
    if not asking:
        yield NotApplicable("no pod takes a device")
    for workload, name in asking:
        bounded = (
            all_of(is_same_namespace(one, workload), member(one.at("spec.hard"), f"requests.{name}").is_given())
            for one in quotas
        )
        namespace = namespace_of(workload)
        yield from demand(any_of(*bounded), "no quota of the namespace bounds its devices", namespace, workload.urn)


def _quota(namespace: str = "examples", /, **hard: str) -> Resource:
    names = {key.replace("__", "/").replace("_", "."): amount for key, amount in hard.items()}
    return Resource.example(QUOTA, {"metadata": {"namespace": namespace}, "spec": {"hard": names}}, "quota")


_ONE_GPU: Final = {"requests_nvidia_com__gpu": "8"}

SHARE_OF_DEVICES = StackRule(
    name="kubernetes-model-require-device-quota",
    description="A namespace whose pods take GPUs or Neuron devices has a quota of them.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("A1.1",),
        iso27001_2022=("A.8.6",),
        nist_800_53_r5=("SC-5", "SC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0029", "AML.T0034", "AML.M0004"),
    ),
    remediation='Add a ResourceQuota whose spec.hard holds "requests.nvidia.com/gpu".',
    check=_share_of_devices,
    obeys={
        "bounded": (_MODEL, _quota(**_ONE_GPU)),
        "in the second quota": (_MODEL, _quota(pods="4"), _quota(**_ONE_GPU)),
        "Neuron": (
            deployment({"containers": [{"resources": {"requests": {"aws.amazon.com/neuron": "1"}}}]}),
            _quota(requests_aws_amazon_com__neuron="1"),
        ),
    },
    breaks={
        "no quota": (_MODEL,),
        "of something else": (_MODEL, _quota(pods="4")),
        "of another device": (_MODEL, _quota(requests_aws_amazon_com__neuron="1")),
        "of another namespace": (_MODEL, _quota("others", **_ONE_GPU)),
        "one of two workloads": (
            _MODEL,
            deployment({"containers": [{"resources": _GPU}]}, namespace="others"),
            _quota(**_ONE_GPU),
        ),
    },
    neighbours={
        "a model without a device": (deployment({"containers": [{"image": "ollama/ollama"}]}),),
        "no model": (deployment({"containers": [{"image": "nginx"}]}),),
    },
)
