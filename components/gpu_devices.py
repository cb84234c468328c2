"""What offers a node's GPUs to the scheduler, and what reads their health.

Both read sockets of the kubelet on the node's file system, which no restricted namespace allows: they are alone
in theirs. The node image brings driver and container toolkit, so neither needs a privileged container.
https://github.com/NVIDIA/k8s-device-plugin · https://github.com/NVIDIA/dcgm-exporter
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.gpu_scheduling import gpu_node_selector, toleration
from components.manifest import Manifest, metadata
from components.pod_hardening import resources, variables

DEVICE_PLUGIN, GPU_METRICS = "nvidia-device-plugin", "dcgm-exporter"
DEVICE_PLUGINS_PATH = "/var/lib/kubelet/device-plugins"
POD_RESOURCES_PATH = "/var/lib/kubelet/pod-resources"


class GpuDevicesArgs(TypedDict):
    device_plugin_image: pulumi.Input[str]
    gpu_metrics_image: pulumi.Input[str]


class GpuDevices(LateComponent):
    """Two daemons on every GPU node."""

    device_plugin: kubernetes.apps.v1.DaemonSet

    def __init__(self, name: str, args: GpuDevicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.device_plugin = self._daemon(
            DEVICE_PLUGIN, pulumi.Output.from_input(args["device_plugin_image"]).apply(device_plugin)
        )
        self._daemon(GPU_METRICS, pulumi.Output.from_input(args["gpu_metrics_image"]).apply(gpu_metrics))
        self.register_outputs({})

    def _daemon(self, name: str, specification: pulumi.Output[Manifest]) -> kubernetes.apps.v1.DaemonSet:
        return kubernetes.apps.v1.DaemonSet(
            name, metadata=metadata(name, Room.DEVICES, labels(name)), spec=specification, opts=self.child()
        )


def labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name}


def device_plugin(image: str) -> Manifest:
    """`spec` of the device plugin's daemon set."""
    container = {
        "name": "plugin",
        "image": image,
        "env": variables({"FAIL_ON_INIT_ERROR": "true", "DEVICE_LIST_STRATEGY": "envvar"}),
        "resources": resources("50m", "64Mi"),
    }
    return _daemon(DEVICE_PLUGIN, container, DEVICE_PLUGINS_PATH, read_only=False)


def gpu_metrics(image: str) -> Manifest:
    """`spec` of the exporter's daemon set: health and memory of GPUs by pod."""
    health = {"httpGet": {"path": "/health", "port": Port.GPU_METRICS}, "periodSeconds": 10}
    container = {
        "name": "exporter",
        "image": image,
        "env": variables({"DCGM_EXPORTER_LISTEN": f":{Port.GPU_METRICS}", "DCGM_EXPORTER_KUBERNETES": "true"}),
        "ports": [{"name": "metrics", "containerPort": Port.GPU_METRICS}],
        "readinessProbe": health,
        "livenessProbe": {**health, "failureThreshold": 6},
        "resources": resources("100m", "512Mi"),
    }
    return _daemon(GPU_METRICS, container, POD_RESOURCES_PATH, read_only=True)


def _daemon(name: str, container: Mapping[str, Manifest], path: str, *, read_only: bool) -> Manifest:
    security = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    mount = {"name": "kubelet", "mountPath": path, "readOnly": read_only}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": "system-node-critical",
        # Root, since the kubelet's sockets are root's; with no capability and no way to more.
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": gpu_node_selector(),
        "tolerations": [toleration()],
        "containers": [{**container, "securityContext": security, "volumeMounts": [mount]}],
        "volumes": [{"name": "kubelet", "hostPath": {"path": path, "type": "Directory"}}],
    }
    return {
        "selector": {"matchLabels": labels(name)},
        "updateStrategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": labels(name)}, "spec": pod},
    }
