"""How GPU nodes are marked and how pods ask for them: one constant for both sides.

The platform program taints and labels nodes, the cluster program tolerates and selects. Written twice, the two
would drift, and a model server would wait for ever, or a small job sit on a GPU.
"""

from __future__ import annotations

GPU_RESOURCE = "nvidia.com/gpu"
TAINT_KEY = GPU_RESOURCE
TAINT_VALUE = "true"
# The EKS API and Kubernetes spell the same effect differently.
TAINT_EFFECT_EKS = "NO_SCHEDULE"
TAINT_EFFECT_KUBERNETES = "NoSchedule"

ROLE_LABEL = "llm-pipelines.io/node-role"
GROUP_LABEL = "llm-pipelines.io/node-group"
GPU_ROLE = "gpu"
SYSTEM_ROLE = "system"

# The images for these carry driver and container toolkit, so that no privileged driver pod is needed.
NVIDIA_IMAGE = "AL2023_x86_64_NVIDIA"
STANDARD_IMAGE = "AL2023_x86_64_STANDARD"


def node_labels(role: str, group: str) -> dict[str, str]:
    """Labels of the nodes of one group."""
    return {ROLE_LABEL: role, GROUP_LABEL: group}


def toleration() -> dict[str, str]:
    """What a pod needs to be placed on a GPU node, as Kubernetes takes it."""
    return {"key": TAINT_KEY, "operator": "Equal", "value": TAINT_VALUE, "effect": TAINT_EFFECT_KUBERNETES}


def gpu_node_selector(group: str = "") -> dict[str, str]:
    """Any GPU node, or those of one group."""
    return {ROLE_LABEL: GPU_ROLE, **({GROUP_LABEL: group} if group else {})}


def system_node_selector() -> dict[str, str]:
    return {ROLE_LABEL: SYSTEM_ROLE}
