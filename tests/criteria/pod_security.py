"""The restricted pod security standard in Python, control by control, for pod specifications of Linux.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ at version 1.36. Restricted includes baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Manifest = Any  # Kubernetes JSON

VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected")
) | {"secret"}
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    )
)
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
PROFILES = ("RuntimeDefault", "Localhost")
HANDLERS = ("httpGet", "tcpSocket")


def breaches(pod: Manifest) -> list[str]:
    """What the API server would refuse in a restricted namespace; empty when nothing."""
    found = [sentence for control in _POD for sentence in control(pod)]
    for container in _containers(pod):
        found += [f"{container['name']}: {text}" for control in _CONTAINER for text in control(container, pod)]
    return found


def _containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


def _security(holder: Manifest) -> Manifest:
    return holder.get("securityContext") or {}


def _host_namespaces(pod: Manifest) -> Iterator[str]:
    yield from (f"{key} is true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))


def _volumes(pod: Manifest) -> Iterator[str]:
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is of type {kind}"


def _sysctls(pod: Manifest) -> Iterator[str]:
    for setting in _security(pod).get("sysctls", []):
        if setting["name"] not in SYSCTLS:
            yield f"sysctl {setting['name']} is unsafe"


def _pod_user(pod: Manifest) -> Iterator[str]:
    if _security(pod).get("runAsUser") == 0:
        yield "runAsUser is 0"


def _pod_host_process(pod: Manifest) -> Iterator[str]:
    if _security(pod).get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess is true"


def _privileged(container: Manifest, pod: Manifest) -> Iterator[str]:
    if _security(container).get("privileged"):
        yield "privileged is true"
    if _security(container).get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess is true"


def _escalation(container: Manifest, pod: Manifest) -> Iterator[str]:
    if _security(container).get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"


def _user(container: Manifest, pod: Manifest) -> Iterator[str]:
    """The container's own word counts; without one the pod's does."""
    non_root = _security(container).get("runAsNonRoot", _security(pod).get("runAsNonRoot"))
    if non_root is not True:
        yield "runAsNonRoot is not true"
    if _security(container).get("runAsUser") == 0:
        yield "runAsUser is 0"


def _seccomp(container: Manifest, pod: Manifest) -> Iterator[str]:
    profile = _security(container).get("seccompProfile") or _security(pod).get("seccompProfile") or {}
    if profile.get("type") not in PROFILES:
        yield f"seccompProfile is {profile.get('type', 'not set')}"


def _capabilities(container: Manifest, pod: Manifest) -> Iterator[str]:
    capabilities = _security(container).get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities do not drop ALL"
    for added in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"capability {added} is added"


def _host_ports(container: Manifest, pod: Manifest) -> Iterator[str]:
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"


def _proc_mount(container: Manifest, pod: Manifest) -> Iterator[str]:
    if _security(container).get("procMount", "Default") != "Default":
        yield "procMount is not Default"


def _selinux(container: Manifest, pod: Manifest) -> Iterator[str]:
    for options in (_security(container).get("seLinuxOptions", {}), _security(pod).get("seLinuxOptions", {})):
        if options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"):
            yield "seLinuxOptions leave the container's types"


def _apparmor(container: Manifest, pod: Manifest) -> Iterator[str]:
    for holder in (container, pod):
        if _security(holder).get("appArmorProfile", {}).get("type") == "Unconfined":
            yield "appArmorProfile is Unconfined"


def _probe_hosts(container: Manifest, pod: Manifest) -> Iterator[str]:
    """Since 1.34: a probe of another host makes the kubelet a client of whatever it names."""
    lifecycle = container.get("lifecycle", {})
    handlers = {key: container.get(key) or {} for key in ("livenessProbe", "readinessProbe", "startupProbe")}
    handlers |= {key: lifecycle.get(key) or {} for key in ("preStop", "postStart")}
    for name, handler in handlers.items():
        if any(handler.get(kind, {}).get("host") for kind in HANDLERS):
            yield f"{name} names a host"


_POD: tuple[Callable[[Manifest], Iterator[str]], ...] = (
    _host_namespaces,
    _volumes,
    _sysctls,
    _pod_user,
    _pod_host_process,
)
_CONTAINER: tuple[Callable[[Manifest, Manifest], Iterator[str]], ...] = (
    _privileged,
    _escalation,
    _user,
    _seccomp,
    _capabilities,
    _host_ports,
    _proc_mount,
    _selinux,
    _apparmor,
    _probe_hosts,
)
