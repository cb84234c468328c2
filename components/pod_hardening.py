"""How every pod of ours runs: as the restricted pod security standard demands, and with a read-only root.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Mapping

from components.manifest import Manifest

USER_ID = 10001


def pod_security() -> Manifest:
    """For a pod: no root user, files of volumes belong to our group, system calls filtered."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """For a container: no capability, no way to more privileges, nothing written outside its volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(cpu: str, memory: str, **more: str) -> Manifest:
    """Memory is never overcommitted; `more` are devices and ephemeral storage."""
    amounts = {"memory": memory, **more}
    return {"requests": {"cpu": cpu, **amounts}, "limits": {"cpu": cpu, **amounts}}


def variables(values: Mapping[str, str]) -> list[Manifest]:
    """`env` of a container."""
    return [{"name": name, "value": value} for name, value in values.items()]


def scratch(name: str, size: str, *, in_memory: bool = False) -> Manifest:
    """An empty volume that dies with the pod."""
    return {"name": name, "emptyDir": {"sizeLimit": size, **({"medium": "Memory"} if in_memory else {})}}
