"""The Prometheus that autoscaling asks: a day of metrics of model servers and GPUs, and no prompt among them.

It finds pods through the Kubernetes API and may look at pods of those two namespaces only.
"""

from __future__ import annotations

import json
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_account import rule
from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.gpu_scheduling import system_node_selector
from components.manifest import Manifest, metadata
from components.pod_hardening import container_security, pod_security, resources, scratch

NAME = "prometheus"
LABELS = {"app.kubernetes.io/name": NAME}
SCRAPED = (Room.MODELS, Room.DEVICES)
_POD = "__meta_kubernetes_pod_"
# Pods are asked by address, and their certificate names the host behind the load balancer: who answers is settled
# by the network policy, and what they answer are counters.
_BEHIND_TLS = {"scheme": "https", "tls_config": {"min_version": "TLS13", "insecure_skip_verify": True}}


class ServingMetricsArgs(TypedDict):
    image: pulumi.Input[str]
    service_account: str


class ServingMetrics(LateComponent):
    """Configuration, deployment, service."""

    def __init__(self, name: str, args: ServingMetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        configuration = kubernetes.core.v1.ConfigMap(
            "prometheus-configuration",
            metadata=metadata(NAME, Room.MONITORING),
            immutable=False,
            data={"prometheus.yml": json.dumps(scraping(), indent=2)},
            opts=self.child(),
        )
        kubernetes.apps.v1.Deployment(
            NAME,
            metadata=metadata(NAME, Room.MONITORING, LABELS),
            spec=pulumi.Output.from_input(args["image"]).apply(
                lambda image: deployment(image, args["service_account"])
            ),
            opts=self.child(depends_on=[configuration]),
        )
        ports = [{"name": "http", "port": Port.PROMETHEUS, "targetPort": Port.PROMETHEUS}]
        service: Manifest = {"type": "ClusterIP", "selector": LABELS, "ports": ports}
        kubernetes.core.v1.Service(
            NAME, metadata=metadata(NAME, Room.MONITORING, LABELS), spec=service, opts=self.child()
        )
        self.register_outputs({})


def reading_rules() -> dict[Room, list[Manifest]]:
    """It looks for pods where it scrapes, and nowhere else."""
    return {room: [rule("", ["pods"], "get", "list", "watch")] for room in SCRAPED}


def scraping() -> Manifest:
    """Prometheus' own configuration; JSON is YAML."""
    models, gpus = (Room.MODELS, Port.MODEL_PROXY_HEALTH), (Room.DEVICES, Port.GPU_METRICS)
    jobs = [
        {**_job("model-servers", *models), **_BEHIND_TLS, "metrics_path": "/model-metrics"},
        {**_job("model-proxies", *models), **_BEHIND_TLS},
        _job("gpus", *gpus),
    ]
    return {"global": {"scrape_interval": "15s", "scrape_timeout": "10s"}, "scrape_configs": jobs}


def _job(name: str, room: Room, port: int) -> Manifest:
    """Pods of a room that announce this port, labelled by the version they serve."""
    relabel = [
        {"source_labels": [f"{_POD}container_port_number"], "action": "keep", "regex": str(port)},
        {"source_labels": [f"{_POD}label_llm_pipelines_io_model_version"], "target_label": "version"},
        {"source_labels": [f"{_POD}name"], "target_label": "pod"},
    ]
    found = [{"role": "pod", "namespaces": {"names": [room.value]}}]
    return {"job_name": name, "kubernetes_sd_configs": found, "relabel_configs": relabel}


def deployment(image: str, service_account: str) -> Manifest:
    """`spec` of the deployment: one replica, since a lost day of metrics costs one slow quarter of an hour."""
    pod = {
        "serviceAccountName": service_account,
        # The only pod of ours besides the node autoscaler that asks the Kubernetes API.
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "nodeSelector": system_node_selector(),
        "containers": [_container(image)],
        "volumes": [
            {"name": "configuration", "configMap": {"name": NAME}},
            scratch("data", "10Gi"),
        ],
    }
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
    }


def _container(image: str) -> Manifest:
    ready = {"httpGet": {"path": "/-/ready", "port": Port.PROMETHEUS}, "periodSeconds": 10}
    return {
        "name": NAME,
        "image": image,
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/data",
            "--storage.tsdb.retention.time=24h",
            f"--web.listen-address=:{Port.PROMETHEUS}",
        ],
        "ports": [{"name": "http", "containerPort": Port.PROMETHEUS}],
        "readinessProbe": ready,
        "livenessProbe": {**ready, "httpGet": {"path": "/-/healthy", "port": Port.PROMETHEUS}, "failureThreshold": 6},
        "resources": resources("500m", "2Gi"),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/prometheus", "readOnly": True},
            {"name": "data", "mountPath": "/data"},
        ],
    }
