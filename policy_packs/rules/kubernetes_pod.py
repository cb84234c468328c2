"""Pods: apart from their node and from each other, with no identity that nobody chose."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from policy_packs.kubernetes_workload import (
    NETWORK_POLICY,
    POD,
    WORKLOADS,
    Pod,
    deployment,
    guards,
    namespace_of,
    network_policy,
)
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View

_SEPARATION: Final = Controls(
    soc2=("CC6.1", "CC6.6"),
    iso27001_2022=("A.8.2", "A.8.22"),
    nist_800_53_r5=("AC-6", "SC-39"),
    owasp_llm=("LLM03:2026",),
    atlas=("AML.T0105",),
)
_HOST_NAMESPACES: Final = ("hostNetwork", "hostPID", "hostIPC")


def _apart_from_host(workload: Resource) -> Iterator[Outcome]:
    for shared in (Pod.of(workload).at(name) for name in _HOST_NAMESPACES):
        yield from demand(shared.equals(False), "the pod shares it with its node", shared)


APART_FROM_HOST = Rule(
    name="kubernetes-pod-disallow-host-namespaces",
    description="A pod shares neither network nor processes nor memory with its node.",
    severity=Severity.HIGH,
    controls=_SEPARATION,
    remediation="Leave hostNetwork, hostPID and hostIPC out.",
    checkov=("CKV_K8S_17", "CKV_K8S_18", "CKV_K8S_19"),
    resource_types=WORKLOADS,
    check=_apart_from_host,
    obeys={
        "left out, and Kubernetes' default is apart": deployment({}),
        "said": deployment(dict.fromkeys(_HOST_NAMESPACES, False)),
    },
    breaks={f"shared: {name}": deployment({name: True}) for name in ("hostNetwork", "hostPID", "hostIPC")},
    neighbours={"the containers of the pod share processes": deployment({"shareProcessNamespace": True})},
)


_SOCKETS: Final = tuple(
    f"{run}/{socket}"
    for run in ("/run", "/var/run")
    for socket in ("docker.sock", "containerd/containerd.sock", "crio/crio.sock", "cri-dockerd.sock")
)


def _no_runtime_socket(workload: Resource) -> Iterator[Outcome]:
    for path in (volume.at("hostPath.path") for volume in Pod.of(workload).at("volumes").items()):
        yield from forbid(_holds_socket(path), "whoever has the runtime's socket has the node", path)


def _holds_socket(path: View) -> Truth:
    if path.is_unknown:
        return Truth.UNKNOWN
    # Two slashes at the beginning stay two in a normal path.
    folder = f"/{posixpath.normpath(path.text).strip('/')}".rstrip("/")
    return Truth.of(path.text != "" and any(f"{socket}/".startswith(f"{folder}/") for socket in _SOCKETS))


def _host_path(path: str) -> Resource:
    return deployment({"volumes": [{"name": "host", "hostPath": {"path": path}}]})


NO_RUNTIME_SOCKET = Rule(
    name="kubernetes-pod-disallow-runtime-socket",
    description="No pod mounts the socket of the node's container runtime, nor a folder that holds it.",
    severity=Severity.CRITICAL,
    controls=_SEPARATION,
    remediation="Take the hostPath volume away; build images outside of the cluster.",
    checkov=("CKV_K8S_27",),
    resource_types=WORKLOADS,
    check=_no_runtime_socket,
    obeys={"a folder of the kubelet": _host_path("/var/lib/kubelet/device-plugins")},
    breaks={
        "Docker's": _host_path("/var/run/docker.sock"),
        "containerd's": _host_path("/run/containerd/containerd.sock"),
        "CRI-O's": _host_path("/var/run/crio/crio.sock"),
        "Docker's behind the runtime interface": _host_path("/run/cri-dockerd.sock"),
        "its folder": _host_path("/run/containerd/"),
        "everything": _host_path("/"),
        "everything, spelt oddly": _host_path("//"),
        "a folder above, spelt oddly": _host_path("//var/lib/../run"),
        "the second of two": deployment({"volumes": [{"emptyDir": {}}, {"hostPath": {"path": "/run"}}]}),
    },
    neighbours={
        "a name that begins alike": _host_path("/var/run/docker.sock.d"),
        "a folder that begins alike": _host_path("/var/runner"),
        "no path of the node": deployment({"volumes": [{"emptyDir": {}}]}),
    },
)


def _token_on_purpose(workload: Resource) -> Iterator[Outcome]:
    pod = Pod.of(workload)
    mounted, account = pod.at("automountServiceAccountToken"), pod.at("serviceAccountName")
    is_named = all_of(account.is_given(), negate(account.equals("default")))
    on_purpose = all_of(mounted.equals(True), is_named)
    yield from demand(any_of(mounted.equals(False), on_purpose), "the pod gets a key to the cluster's API", mounted)


TOKEN_ON_PURPOSE = Rule(
    name="kubernetes-pod-disallow-unneeded-token",
    description="A pod gets a token of the cluster's API only where it says so and names an account of its own.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-6", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Set automountServiceAccountToken to false, or to true beside a serviceAccountName of its own.",
    checkov=("CKV_K8S_38",),
    resource_types=WORKLOADS,
    check=_token_on_purpose,
    obeys={
        "none": deployment({"automountServiceAccountToken": False}),
        "asked for": deployment({"automountServiceAccountToken": True, "serviceAccountName": "scraper"}),
    },
    breaks={
        "left out, and Kubernetes gives one": deployment({"serviceAccountName": "scraper"}),
        "asked for by nobody": deployment({"automountServiceAccountToken": True}),
        "of the default account": deployment({"automountServiceAccountToken": True, "serviceAccountName": "default"}),
        "of an account without a name": deployment({"automountServiceAccountToken": True, "serviceAccountName": ""}),
    },
    neighbours={
        "none, in an account of its own": deployment(
            {"automountServiceAccountToken": False, "serviceAccountName": "scraper"}
        )
    },
)

_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"
_SERVICE: Final = "kubernetes:core/v1:Service"
_NAMESPACED: Final = (
    *WORKLOADS,
    _SERVICE,
    _ACCOUNT,
    "kubernetes:core/v1:Secret",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:networking.k8s.io/v1:Ingress",
    "kubernetes:rbac.authorization.k8s.io/v1:Role",
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
)
_KUBERNETES_OWN: Final = {_ACCOUNT: "default", _SERVICE: "kubernetes"}


def _own_namespace(thing: Resource) -> Iterator[Outcome]:
    is_its_own = thing.at("metadata.name").equals(_KUBERNETES_OWN.get(thing.type, MISSING))
    if is_its_own is Truth.YES:
        yield NotApplicable("Kubernetes makes it itself, in the default namespace")
        return
    namespace = namespace_of(thing)
    stands_in_default = all_of(namespace.equals("default"), negate(is_its_own))
    yield from forbid(stands_in_default, "it stands where quotas, walls and rights are nobody's", namespace)


def _named(kind: str, name: str, **metadata: str) -> Resource:
    return Resource.example(kind, {"metadata": {"name": name, **metadata}})


OWN_NAMESPACE = Rule(
    name="kubernetes-disallow-default-namespace",
    description="What runs in a cluster stands in a namespace made for it.",
    severity=Severity.LOW,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.22", "A.8.31"), nist_800_53_r5=("AC-4", "SC-2"), owasp_llm=("LLM03:2026",)
    ),
    remediation="Set metadata.namespace to a namespace of its own.",
    checkov=("CKV_K8S_21",),
    resource_types=_NAMESPACED,
    check=_own_namespace,
    obeys={"a namespace": _named(POD, "app", namespace="apps")},
    breaks={
        "left out, and Kubernetes' default is the default one": _named(POD, "app"),
        "said": _named("kubernetes:core/v1:Secret", "app", namespace="default"),
        "no metadata": Resource.example(_SERVICE, {"spec": {}}),
        "an account": _named(_ACCOUNT, "kubernetes"),
        "a service": _named(_SERVICE, "default"),
        "a config map of a known name": _named("kubernetes:core/v1:ConfigMap", "default"),
    },
    neighbours={
        "Kubernetes' own account": _named(_ACCOUNT, "default"),
        "Kubernetes' own service": _named(_SERVICE, "kubernetes", namespace="default"),
    },
)


def _every_pod_guarded(stack: Stack) -> Iterator[Outcome]:
    policies = stack.of_type(NETWORK_POLICY)
    workloads = stack.of_type(*WORKLOADS)
    if not workloads:
        yield NotApplicable("no pod")
    for workload in workloads:
        found = any_of(*(guards(policy, workload) for policy in policies))
        yield from demand(found, "no network policy selects its pods", View("", "spec"), workload.urn)


def _expression(operator: str, *values: str, key: str = "app") -> dict[str, object]:
    listed = {"values": [*values]} if values else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **listed}]}


_APP: Final = deployment({"containers": [{"name": "main"}]})

EVERY_POD_GUARDED = StackRule(
    name="kubernetes-pod-require-network-policy",
    description="Every pod is selected by a network policy of its namespace.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Add a NetworkPolicy to the namespace; an empty podSelector selects every pod.",
    checkov=("CKV2_K8S_6",),
    check=_every_pod_guarded,
    obeys={
        "all pods of the namespace": (_APP, network_policy()),
        "by label": (_APP, network_policy(podSelector={"matchLabels": {"app": "example"}})),
        "by one of several": (_APP, network_policy(podSelector=_expression("In", "other", "example"))),
        "by none of several": (_APP, network_policy(podSelector=_expression("NotIn", "other"))),
        "by having the label": (_APP, network_policy(podSelector=_expression("Exists"))),
        "by lacking one": (_APP, network_policy(podSelector=_expression("DoesNotExist", key="tier"))),
        "a bare pod": (
            Resource.example(POD, {"metadata": {"namespace": "examples", "labels": {"app": "example"}}, "spec": {}}),
            network_policy(podSelector={"matchLabels": {"app": "example"}}),
        ),
        "the second of two": (_APP, network_policy("others"), network_policy()),
        "both in the default namespace": (deployment({}, namespace="default"), network_policy("default")),
    },
    breaks={
        "none": (_APP,),
        "of another namespace": (_APP, network_policy("others")),
        "for others": (_APP, network_policy(podSelector={"matchLabels": {"app": "other"}})),
        "for some of them": (_APP, network_policy(podSelector={"matchLabels": {"app": "example", "tier": "web"}})),
        "by another of several": (_APP, network_policy(podSelector=_expression("In", "other"))),
        "by none of several": (_APP, network_policy(podSelector=_expression("NotIn", "example"))),
        "by having another label": (_APP, network_policy(podSelector=_expression("Exists", key="tier"))),
        "by lacking the label": (_APP, network_policy(podSelector=_expression("DoesNotExist"))),
        "by an operator that is none": (_APP, network_policy(podSelector=_expression("Near", "example"))),
        "one of two workloads": (_APP, deployment({}, namespace="others"), network_policy()),
    },
    neighbours={"no pod": (network_policy(),)},
)
