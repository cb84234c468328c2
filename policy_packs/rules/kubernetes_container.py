"""Containers in a cluster: no way to more privileges, a named image, bounded resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.kubernetes_workload import (
    CRON_JOB,
    DAEMON_SET,
    JOB,
    LONG_RUNNING,
    POD,
    WORKLOADS,
    Pod,
    deployment,
    namespace_of,
    of_one,
)
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate

_HARDENING: Final = Controls(
    soc2=("CC6.1", "CC6.8"),
    iso27001_2022=("A.8.2", "A.8.9"),
    nist_800_53_r5=("AC-6", "CM-6", "CM-7"),
    owasp_llm=("LLM03:2026",),
    atlas=("AML.T0105", "AML.M0019"),
)
_SECURED: Final = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_INIT: Final = {"name": "prepare", "securityContext": _SECURED}


def _secured(**changes: object) -> Resource:
    """A deployment of one container with this security context; None takes a property away."""
    return of_one(securityContext={key: value for key, value in {**_SECURED, **changes}.items() if value is not None})


def _not_privileged(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        privileged = container.at("securityContext.privileged")
        yield from demand(privileged.equals(False), "the container is the node's root", privileged)


NOT_PRIVILEGED = Rule(
    name="kubernetes-container-disallow-privileged",
    description="No container is privileged.",
    severity=Severity.CRITICAL,
    controls=_HARDENING,
    remediation="Leave securityContext.privileged out, or set it to false.",
    checkov=("CKV_K8S_16",),
    resource_types=WORKLOADS,
    check=_not_privileged,
    obeys={
        "said": _secured(),
        "left out, and Kubernetes' default is off": of_one(),
        "a job that runs by the clock": Resource.example(
            CRON_JOB, {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}}}
        ),
    },
    breaks={
        "privileged": _secured(privileged=True),
        "before the others start": deployment({"initContainers": [{"securityContext": {"privileged": True}}]}),
        "to look at the others": Resource.example(
            POD, {"spec": {"ephemeralContainers": [{"securityContext": {"privileged": True}}]}}
        ),
        "by the clock": Resource.example(
            CRON_JOB,
            {
                "spec": {
                    "jobTemplate": {
                        "spec": {"template": {"spec": {"containers": [{"securityContext": {"privileged": True}}]}}}
                    }
                }
            },
        ),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _no_escalation(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        allowed = container.at("securityContext.allowPrivilegeEscalation")
        yield from demand(allowed.equals(False), "a process may gain more than its parent has", allowed)


NO_ESCALATION = Rule(
    name="kubernetes-container-disallow-privilege-escalation",
    description="No process of a container gains more privileges than its parent.",
    severity=Severity.HIGH,
    controls=_HARDENING,
    remediation="Set securityContext.allowPrivilegeEscalation to false in every container.",
    checkov=("CKV_K8S_20", "CKV_K8S_30"),
    resource_types=WORKLOADS,
    check=_no_escalation,
    obeys={"said": _secured()},
    breaks={
        "left out, and Kubernetes' default is on": of_one(securityContext={"privileged": False}),
        "no security context": of_one(),
        "said for the pod, where it means nothing": deployment(
            {"securityContext": {"allowPrivilegeEscalation": False}, "containers": [{"name": "main"}]}
        ),
        "before the others start": deployment(
            {"initContainers": [{"name": "prepare"}], "containers": [{"securityContext": _SECURED}]}
        ),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _no_capabilities(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        dropped, added = (container.at(f"securityContext.capabilities.{kind}") for kind in ("drop", "add"))
        yield from demand(dropped.any(lambda one: one.equals("ALL")), "the runtime's capabilities stay", dropped)
        yield from forbid(added.is_given(), "a capability is added", added)


NO_CAPABILITIES = Rule(
    name="kubernetes-container-disallow-capabilities",
    description="Containers drop every Linux capability and add none.",
    severity=Severity.HIGH,
    controls=_HARDENING,
    remediation='Set securityContext.capabilities.drop to ["ALL"] in every container, and add nothing.',
    checkov=("CKV_K8S_25", "CKV_K8S_28", "CKV_K8S_37", "CKV_K8S_39"),
    resource_types=WORKLOADS,
    check=_no_capabilities,
    obeys={
        "all dropped": _secured(),
        "all, and one again": _secured(capabilities={"drop": ["NET_RAW", "ALL"], "add": []}),
    },
    breaks={
        "left out, and the runtime leaves fourteen": _secured(capabilities=None),
        "one dropped": _secured(capabilities={"drop": ["NET_RAW"]}),
        "one added": _secured(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "in one of two": deployment({"initContainers": [_INIT], "containers": [{"name": "main"}]}),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _read_only_root(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        read_only = container.at("securityContext.readOnlyRootFilesystem")
        yield from demand(read_only.equals(True), "whoever gets in may change what runs", read_only)


READ_ONLY_ROOT = Rule(
    name="kubernetes-container-require-read-only-root",
    description="Containers write to their volumes only.",
    severity=Severity.MEDIUM,
    controls=_HARDENING,
    remediation="Set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where files are written.",
    checkov=("CKV_K8S_22",),
    resource_types=WORKLOADS,
    check=_read_only_root,
    obeys={"said": _secured()},
    breaks={
        "left out, and Kubernetes' default is writable": of_one(),
        "writable": _secured(readOnlyRootFilesystem=False),
        "before the others start": deployment(
            {"initContainers": [{"name": "prepare"}], "containers": [{"securityContext": _SECURED}]}
        ),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _is_node_agent(workload: Resource) -> Truth:
    """What runs on every node to serve the node: it has to own what the kubelet owns."""
    agents = workload.settings["namespaces_of_node_agents"]
    namespaces = agents if isinstance(agents, list | tuple) else ()
    return all_of(Truth.of(workload.type == DAEMON_SET), namespace_of(workload).equals(*namespaces))


_NODE_AGENTS: Final = {"namespaces_of_node_agents": ["kube-system", "gpu-devices"]}
_NOT_ASKED: Final = "an agent of the node: the kubelet's sockets are root's"


def _agent(namespace: str, kind: str = DAEMON_SET) -> Resource:
    pod = {"securityContext": {"runAsUser": 0}, "containers": [{"name": "agent"}]}
    return Resource.example(kind, {"metadata": {"namespace": namespace}, "spec": {"template": {"spec": pod}}})


def _as_user(pod: dict[str, object], **container: object) -> Resource:
    """A deployment whose pod and container say who they run as."""
    return deployment({"securityContext": pod, "containers": [{"name": "main", "securityContext": container}]})


def _not_root(workload: Resource) -> Iterator[Outcome]:
    is_agent = _is_node_agent(workload)
    if is_agent is Truth.YES:
        yield NotApplicable(_NOT_ASKED)
    for container in Pod.of(workload).containers():
        refused, user = container.secured("runAsNonRoot"), container.secured("runAsUser")
        yield from demand(
            any_of(is_agent, refused.equals(True), user.at_least(1)), "the container may run as root", refused
        )


NOT_ROOT = Rule(
    name="kubernetes-container-disallow-root-user",
    description="No container runs as root; what a container says goes before what its pod says.",
    severity=Severity.HIGH,
    controls=_HARDENING,
    remediation="Set securityContext.runAsNonRoot to true for the pod, and take no container out of it.",
    settings=_NODE_AGENTS,
    checkov=("CKV_K8S_23", "CKV_K8S_29"),
    resource_types=WORKLOADS,
    check=_not_root,
    obeys={
        "said for the pod": _as_user({"runAsNonRoot": True}),
        "said for the container": _as_user({"runAsNonRoot": False}, runAsNonRoot=True),
        "by a user of its own": _as_user({}, runAsUser=1.0),
        "by a user of the pod's": _as_user({"runAsUser": 10001.0}),
    },
    breaks={
        "left out, and the image says who": _as_user({}),
        "the container goes its own way": _as_user({"runAsNonRoot": True}, runAsNonRoot=False),
        "root by number": _as_user({"runAsUser": 10001.0}, runAsUser=0.0),
        "a daemon set of nobody's": _agent("examples"),
        "an agent's namespace, and no agent": _agent("kube-system", "kubernetes:apps/v1:StatefulSet"),
    },
    neighbours={"an agent of the node": _agent("gpu-devices"), "another": _agent("kube-system")},
)


def _high_user(workload: Resource) -> Iterator[Outcome]:
    is_agent = _is_node_agent(workload)
    if is_agent is Truth.YES:
        yield NotApplicable(_NOT_ASKED)
    pod, minimum = Pod.of(workload), float(str(workload.settings["user_id_min"]))
    is_apart = pod.at("hostUsers").equals(False)
    for user in (container.secured("runAsUser") for container in pod.containers()):
        yield from demand(any_of(is_agent, is_apart, user.at_least(minimum)), "the node may know this user", user)


HIGH_USER = Rule(
    name="kubernetes-container-require-high-user-id",
    description="Containers run as a user that no node knows: a high number, or a user namespace of their own.",
    severity=Severity.LOW,
    controls=_HARDENING,
    remediation="Set securityContext.runAsUser to 10000 or more for the pod, or hostUsers to false.",
    settings={**_NODE_AGENTS, "user_id_min": 10000},
    checkov=("CKV_K8S_40",),
    resource_types=WORKLOADS,
    check=_high_user,
    obeys={
        "the pod's": _as_user({"runAsUser": 10000.0}),
        "the container's": _as_user({"runAsUser": 1.0}, runAsUser=10001.0),
        "users of its own": deployment({"hostUsers": False, "containers": [{"name": "main"}]}),
    },
    breaks={
        "left out": _as_user({}),
        "low": _as_user({"runAsUser": 9999.0}),
        "low in the container": _as_user({"runAsUser": 10000.0}, runAsUser=1000.0),
        "users of the node": deployment({"hostUsers": True, "containers": [{"name": "main"}]}),
        "a daemon set of nobody's": _agent("examples"),
    },
    neighbours={"an agent of the node": _agent("gpu-devices")},
)


def _seccomp(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        kind = container.secured("seccompProfile.type")
        yield from demand(kind.equals("RuntimeDefault", "Localhost"), "every system call is allowed", kind)


SECCOMP = Rule(
    name="kubernetes-container-require-seccomp",
    description="System calls of every container are filtered.",
    severity=Severity.MEDIUM,
    controls=_HARDENING,
    remediation="Set securityContext.seccompProfile.type to RuntimeDefault for the pod.",
    checkov=("CKV_K8S_31", "CKV_K8S_29"),
    resource_types=WORKLOADS,
    check=_seccomp,
    obeys={
        "the runtime's": _as_user({"seccompProfile": {"type": "RuntimeDefault"}}),
        "a profile of our own": _as_user({}, seccompProfile={"type": "Localhost", "localhostProfile": "p.json"}),
        "the container's goes first": _as_user(
            {"seccompProfile": {"type": "Unconfined"}}, seccompProfile={"type": "RuntimeDefault"}
        ),
    },
    breaks={
        "left out, and Kubernetes' default is none": of_one(),
        "none": _as_user({"seccompProfile": {"type": "Unconfined"}}),
        "the container's goes first": _as_user(
            {"seccompProfile": {"type": "RuntimeDefault"}}, seccompProfile={"type": "Unconfined"}
        ),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _no_host_port(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        for port in (one.at("hostPort") for one in container.at("ports").items()):
            yield from forbid(all_of(port.is_given(), negate(port.equals(0))), "the node's own port is taken", port)


NO_HOST_PORT = Rule(
    name="kubernetes-container-disallow-host-port",
    description="Containers take no port of their node: nothing walls it off.",
    severity=Severity.MEDIUM,
    controls=_HARDENING,
    remediation="Leave hostPort out; reach the pod through a Service.",
    checkov=("CKV_K8S_26",),
    resource_types=WORKLOADS,
    check=_no_host_port,
    obeys={
        "a port of its own": of_one(ports=[{"containerPort": 8080.0}]),
        "zero, which is none": of_one(ports=[{"containerPort": 8080.0, "hostPort": 0.0}]),
    },
    breaks={
        "the node's": of_one(ports=[{"containerPort": 8080.0, "hostPort": 80.0}]),
        "the second": of_one(ports=[{"containerPort": 8080.0}, {"containerPort": 1.0, "hostPort": 1.0}]),
    },
    neighbours={"no port": of_one()},
)


def _by_digest(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        image = container.at("image")
        by_digest = image.matches(r".+@sha256:[0-9a-f]{64}")
        yield from demand(by_digest, "a tag may name another image tomorrow", image)


_DIGEST: Final = "registry.example/app@sha256:" + "0" * 64

IMAGE_BY_DIGEST = Rule(
    name="kubernetes-container-require-image-digest",
    description="Every container's image is named by digest.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("SI-7", "CM-14", "SR-11"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010.001", "AML.M0014"),
    ),
    remediation="Name every image as repository@sha256:….",
    checkov=("CKV_K8S_14", "CKV_K8S_43"),
    resource_types=WORKLOADS,
    check=_by_digest,
    obeys={"by digest": of_one(image=_DIGEST), "by both": of_one(image=_DIGEST.replace("@", ":1.2@"))},
    breaks={
        "by tag": of_one(image="registry.example/app:1.2"),
        "by nothing": of_one(image="registry.example/app"),
        "no image": of_one(),
        "a digest cut short": of_one(image=_DIGEST[:-1]),
        "before the others start": deployment(
            {"initContainers": [{"image": "busybox"}], "containers": [{"image": _DIGEST}]}
        ),
    },
    neighbours={"a pod without a container yet": deployment({"containers": []})},
)


def _bounded(workload: Resource) -> Iterator[Outcome]:
    pod = Pod.of(workload)
    # Whoever looks into a running pod gets no resources of its own.
    for container in pod.containers("containers", "initContainers"):
        for path in (f"resources.{kind}.{what}" for kind in ("requests", "limits") for what in ("cpu", "memory")):
            own = container.at(path)
            yield from demand(any_of(own.is_given(), pod.at(path).is_given()), "no amount is named", own)


_AMOUNTS: Final = {"cpu": "1", "memory": "1Gi"}
_BOUNDS: Final = {"requests": _AMOUNTS, "limits": _AMOUNTS}

BOUNDED = Rule(
    name="kubernetes-container-require-resources",
    description="Every container names how much processor and memory it asks for and may take.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("A1.1",),
        iso27001_2022=("A.8.6",),
        nist_800_53_r5=("SC-5", "SC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0029",),
    ),
    remediation="Set cpu and memory in resources.requests and resources.limits of every container.",
    checkov=("CKV_K8S_10", "CKV_K8S_11", "CKV_K8S_12", "CKV_K8S_13"),
    resource_types=WORKLOADS,
    check=_bounded,
    obeys={
        "all four": of_one(resources=_BOUNDS),
        "for the pod as a whole": deployment({"resources": _BOUNDS, "containers": [{"name": "main"}]}),
    },
    breaks={
        "left out": of_one(),
        **{
            f"no {what} in {kind}": of_one(
                resources={**_BOUNDS, kind: {key: amount for key, amount in _AMOUNTS.items() if key != what}}
            )
            for kind in _BOUNDS
            for what in _AMOUNTS
        },
        "before the others start": deployment(
            {"initContainers": [{"name": "prepare"}], "containers": [{"resources": _BOUNDS}]}
        ),
    },
    neighbours={
        "a container to look at the others, which may have none": Resource.example(
            POD, {"spec": {"containers": [{"resources": _BOUNDS}], "ephemeralContainers": [{"name": "debugger"}]}}
        )
    },
)


def _probed(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers("containers"):
        is_asked = container.at("ports").is_given()
        for probe in (container.at("livenessProbe"), container.at("readinessProbe")):
            yield from demand(any_of(negate(is_asked), probe.is_given()), "nobody asks how it is", probe)


_PORTS: Final = [{"containerPort": 8080.0}]
_PROBE: Final = {"httpGet": {"path": "/", "port": 8080.0}}

PROBED = Rule(
    name="kubernetes-container-require-probes",
    description="A container that offers a port is asked whether it lives and whether it is ready.",
    severity=Severity.LOW,
    controls=Controls(
        soc2=("A1.2", "CC7.2"), iso27001_2022=("A.8.14", "A.8.16"), nist_800_53_r5=("CP-10", "SI-13"), owasp_llm=()
    ),
    remediation="Set livenessProbe and readinessProbe of every container that offers a port.",
    checkov=("CKV_K8S_8", "CKV_K8S_9"),
    resource_types=LONG_RUNNING,
    check=_probed,
    obeys={"both": of_one(ports=_PORTS, livenessProbe=_PROBE, readinessProbe=_PROBE)},
    breaks={
        "neither": of_one(ports=_PORTS),
        "no liveness": of_one(ports=_PORTS, readinessProbe=_PROBE),
        "no readiness": of_one(ports=_PORTS, livenessProbe=_PROBE),
    },
    neighbours={
        "an agent that offers no port": of_one(),
        "what ends before the others start": deployment({"initContainers": [{"ports": _PORTS}]}),
        "a job, which ends": Resource.example(
            JOB, {"spec": {"template": {"spec": {"containers": [{"ports": _PORTS}]}}}}
        ),
    },
)


def _no_secret_variables(workload: Resource) -> Iterator[Outcome]:
    for container in Pod.of(workload).containers():
        named = (one.at("valueFrom.secretKeyRef") for one in container.at("env").items())
        whole = (one.at("secretRef") for one in container.at("envFrom").items())
        for secret in (*named, *whole):
            yield from forbid(secret.is_given(), "every child process and crash report gets the secret", secret)


NO_SECRET_VARIABLES = Rule(
    name="kubernetes-container-disallow-secrets-in-variables",
    description="Secrets reach containers as files, never as environment variables.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.12"),
        nist_800_53_r5=("IA-5", "SC-28"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0055",),
    ),
    remediation="Mount the secret as a volume, and give the program the path.",
    checkov=("CKV_K8S_35",),
    resource_types=WORKLOADS,
    check=_no_secret_variables,
    obeys={
        "a plain value": of_one(env=[{"name": "MODE", "value": "quiet"}]),
        "from a config map": of_one(
            env=[{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "mode"}}}],
            envFrom=[{"configMapRef": {"name": "m"}}],
        ),
        "a file": deployment(
            {"volumes": [{"secret": {"secretName": "s"}}], "containers": [{"volumeMounts": [{"mountPath": "/s"}]}]}
        ),
    },
    breaks={
        "one": of_one(env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]),
        "all of a secret": of_one(envFrom=[{"secretRef": {"name": "s"}}]),
        "the second": of_one(env=[{"name": "A"}, {"valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]),
    },
    neighbours={"no variable": of_one()},
)
