"""How many replicas of a model version run: what waits, how long answers take, and what is expected next.

KEDA takes the largest of all triggers (https://keda.sh/docs/latest/concepts/scaling-deployments/). GPU utilisation is
none of them: it is high whenever a model works at all. At zero replicas vLLM reports nothing, so something else
must wake it: the hours of the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.manifest import Manifest, metadata

PROMETHEUS_URL = f"http://prometheus.{Room.MONITORING.value}.svc:{Port.PROMETHEUS}"
# A replica costs minutes to start: it does not go at the first quiet moment.
SCALE_DOWN_AFTER_S = 600
POLL_S = 15


class AutoscalingError(ValueError):
    """The bounds contradict each other. The message says what is allowed."""


@dataclass(frozen=True, slots=True)
class ForecastHours:
    """So many replicas from one hour to another, as the forecast has it."""

    start: str
    end: str
    """Both as cron expressions, in UTC."""
    replicas: int


@dataclass(frozen=True, slots=True)
class Scaling:
    replicas_min: int
    replicas_max: int
    gpus_per_replica: int
    gpus_max: int
    """GPUs that the node group can have."""
    waiting_per_replica: int
    p95_s: float
    """Above this end-to-end latency another replica is started, whatever waits."""
    forecast: tuple[ForecastHours, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.replicas_min <= self.replicas_max or self.replicas_max < 1:
            raise AutoscalingError(
                f"replicas_min must not exceed replicas_max (got {self.replicas_min}, {self.replicas_max})"
            )
        if self.replicas_max * self.gpus_per_replica > self.gpus_max:
            raise AutoscalingError(
                f"replicas_max × gpus must not exceed the {self.gpus_max} GPUs of the node group "
                f"(got {self.replicas_max} × {self.gpus_per_replica})"
            )
        if self.replicas_min == 0 and not self.forecast:
            raise AutoscalingError(
                "replicas_min must be at least 1 without forecast hours: nothing would wake the model"
            )
        if any(hours.replicas > self.replicas_max for hours in self.forecast):
            raise AutoscalingError(f"forecast replicas must not exceed replicas_max {self.replicas_max}")


class ModelAutoscalingArgs(TypedDict):
    deployment: str
    served_name: str
    version: str
    scaling: pulumi.Input[Scaling]


class ModelAutoscaling(LateComponent):
    """The scaled object of one model version."""

    def __init__(self, name: str, args: ModelAutoscalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        kubernetes.apiextensions.CustomResource(
            f"{name}-scaling",
            api_version="keda.sh/v1alpha1",
            kind="ScaledObject",
            metadata=metadata(args["deployment"], Room.MODELS),
            spec=pulumi.Output.from_input(args["scaling"]).apply(
                lambda scaling: scaled_object(args["deployment"], args["served_name"], args["version"], scaling)
            ),
            opts=self.child(),
        )
        self.register_outputs({})


def scaled_object(target: str, served_name: str, version: str, scaling: Scaling) -> Manifest:
    """`spec` of the scaled object: up at once, down slowly."""
    down = {
        "stabilizationWindowSeconds": SCALE_DOWN_AFTER_S,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": SCALE_DOWN_AFTER_S}],
    }
    up = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}]}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "pollingInterval": POLL_S,
        "cooldownPeriod": SCALE_DOWN_AFTER_S,
        "minReplicaCount": scaling.replicas_min,
        "maxReplicaCount": scaling.replicas_max,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": down, "scaleUp": up}}},
        "triggers": triggers(served_name, version, scaling),
    }


def triggers(served_name: str, version: str, scaling: Scaling) -> list[Manifest]:
    """Queue, latency guard, forecast."""
    of = f'model_name="{served_name}",version="{version}"'
    waiting = f"sum(vllm:num_requests_waiting{{{of}}})"
    seconds = f"sum by (le) (rate(vllm:e2e_request_latency_seconds_bucket{{{of}}}[2m]))"
    # Without requests the quantile is not a number, which no threshold can be compared with.
    p95 = f"(histogram_quantile(0.95, {seconds}) > 0) or vector(0)"
    return [
        _asked("queue", waiting, str(scaling.waiting_per_replica), "AverageValue"),
        _asked("latency-p95", p95, str(scaling.p95_s), "Value"),
        *_expected(scaling.forecast),
    ]


def _asked(name: str, query: str, threshold: str, kind: str) -> Manifest:
    # No answer is an error and not a zero: KEDA then changes nothing.
    asked = {"serverAddress": PROMETHEUS_URL, "query": query, "threshold": threshold, "ignoreNullValues": "false"}
    return {"type": "prometheus", "name": name, "metricType": kind, "metadata": asked}


def _expected(forecast: Sequence[ForecastHours]) -> list[Manifest]:
    return [
        {
            "type": "cron",
            "name": f"forecast-{number}",
            "metadata": {
                "timezone": "Etc/UTC",
                "start": hours.start,
                "end": hours.end,
                "desiredReplicas": str(hours.replicas),
            },
        }
        for number, hours in enumerate(forecast, 1)
    ]
