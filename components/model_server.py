"""One version of one model: a pod that fetches and verifies weights, serves them, and lets only the proxy be called.

In the pod, in this order: weights are fetched and checked against the signed manifest; a key is made; the proxy
starts and stays (it outlives the server, so that answers under way still leave); the server loads the model.
A new version is a new object with a name of its own, beside the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.gpu_scheduling import GPU_RESOURCE, gpu_node_selector, toleration
from components.manifest import Manifest, metadata
from components.model_server_arguments import (
    API_KEY_FILE,
    API_KEY_PATH,
    HOME_PATH,
    SEQUENCES_MAX,
    WEIGHTS_PATH,
    Serving,
    arguments,
    command,
    environment,
)
from components.pod_hardening import container_security, pod_security, resources, scratch, variables

CERTIFICATE_PATH = "/run/certificate"
# Whose signature counts comes with the deployment, never from the bucket of the weights.
SIGNER_PATH, SIGNER_FILE, SIGNER = "/run/weights-signer", "public-key.pem", "weights-signer"
# Until every node has heard that the pod takes no new connections.
LEAVE_S = 15
PROBE_PERIOD_S = 10
# Answers may take until the server's own time-out; then the proxy closes what is left.
PROXY_MARGIN_S = 10
REQUEST_BYTES_MAX = 4 << 20

MANIFEST_ANNOTATION = "llm-pipelines.io/weights-manifest-sha256"
WEIGHTS_ANNOTATION = "llm-pipelines.io/weights"
MODEL_LABEL, VERSION_LABEL = "llm-pipelines.io/model", "llm-pipelines.io/model-version"
APP = {"app.kubernetes.io/name": "model-server"}


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights lie and which manifest, by its digest, vouches for them."""

    bucket: str
    region: str
    prefix: str
    manifest_version_id: str
    manifest_sha256: str
    source: str
    """Organization and name of the model, as its manifest has them."""
    revision: str
    size_gib: int


@dataclass(frozen=True, slots=True)
class Images:
    """By digest, from our own registry."""

    server: str
    proxy: str
    weights: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One deployment of one model."""

    name: str
    """Model and version with the beginning of the image's digest."""
    model: str
    version: str
    serving: Serving
    images: Images
    weights: Weights
    node_group: str
    cpu: str
    memory: str
    replicas: int
    startup_s: int
    """How long the slowest start may take: fetch, verify, load."""

    @property
    def labels(self) -> dict[str, str]:
        return {**APP, MODEL_LABEL: self.model, VERSION_LABEL: self.version}

    @property
    def grace_s(self) -> int:
        """After this the kubelet kills: longer than leaving, draining and closing together."""
        return LEAVE_S + self.serving.shutdown_s + 2 * PROXY_MARGIN_S


class ModelServerArgs(TypedDict):
    version: pulumi.Input[ModelVersion]
    name: str
    labels: dict[str, str]
    certificate_secret: str


class ModelServer(LateComponent):
    """Deployment and disruption budget of one version."""

    deployment: kubernetes.apps.v1.Deployment

    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        version = pulumi.Output.from_input(args["version"])
        self.deployment = kubernetes.apps.v1.Deployment(
            name,
            metadata=version.apply(lambda known: metadata(known.name, Room.MODELS, known.labels, provenance(known))),
            spec=version.apply(lambda known: deployment(known, args["certificate_secret"])),
            # How many run is the autoscaler's to say after the first moment.
            opts=self.child(ignore_changes=["spec.replicas"]),
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata=metadata(args["name"], Room.MODELS, args["labels"]),
            spec={"max_unavailable": 1, "selector": {"match_labels": args["labels"]}},
            opts=self.child(),
        )
        self.register_outputs({"deployment": self.deployment.metadata["name"]})


def version_name(model: str, version: str, image: str) -> str:
    """The digest is in the name: another image is another deployment, never a change of a running one."""
    digest = image.rpartition("sha256:")[2]
    return f"{model}-{version}-{digest[:10]}"


def provenance(version: ModelVersion) -> dict[str, str]:
    """What this version serves, for whoever looks at the cluster."""
    weights = version.weights
    return {
        MANIFEST_ANNOTATION: weights.manifest_sha256,
        WEIGHTS_ANNOTATION: f"s3://{weights.bucket}/{weights.prefix}/?manifest={weights.manifest_version_id}",
    }


def deployment(version: ModelVersion, certificate_secret: str) -> Manifest:
    """`spec` of the deployment. A replaced pod goes before its successor comes: there is no spare GPU to wait for."""
    template = {
        "metadata": {"labels": version.labels, "annotations": provenance(version)},
        "spec": pod(version, certificate_secret),
    }
    return {
        "replicas": version.replicas,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": version.startup_s + 300,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "selector": {"matchLabels": version.labels},
        "template": template,
    }


def pod(version: ModelVersion, certificate_secret: str) -> Manifest:
    return {
        "serviceAccountName": SERVICE_ACCOUNTS[ClusterIdentity.MODEL_SERVER].name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": version.grace_s,
        "nodeSelector": gpu_node_selector(version.node_group),
        "tolerations": [toleration()],
        "topologySpreadConstraints": _spread(version),
        "initContainers": [_fetch(version), _verify(version), _key(version), _proxy(version)],
        "containers": [_server(version)],
        "volumes": _volumes(version, certificate_secret),
    }


def _spread(version: ModelVersion) -> list[Manifest]:
    """Over zones and nodes where there are any; never rather unscheduled than uneven."""
    keys = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    selector = {"matchLabels": version.labels}
    return [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
        for key in keys
    ]


def _fetch(version: ModelVersion) -> Manifest:
    weights = version.weights
    given = {
        "bucket": weights.bucket,
        "region": weights.region,
        "prefix": weights.prefix,
        "manifest-version": weights.manifest_version_id,
        "manifest-sha256": weights.manifest_sha256,
        "bundle": WEIGHTS_PATH,
    }
    return _contained(
        "fetch-weights",
        version.images.weights,
        args=["fetch", *(f"--{flag}={value}" for flag, value in given.items())],
        env=variables({"HOME": "/tmp"}),  # noqa: S108 - a volume of the pod's own
        resources=resources("2", "2Gi"),
        volumeMounts=[_mount("weights", WEIGHTS_PATH), _mount("scratch", "/tmp")],  # noqa: S108 - as above
    )


def _verify(version: ModelVersion) -> Manifest:
    """Before anything reads the weights, every byte is compared with the signed manifest."""
    weights = version.weights
    expected = {
        "bundle": WEIGHTS_PATH,
        "public-key": f"{SIGNER_PATH}/{SIGNER_FILE}",
        "manifest-sha256": weights.manifest_sha256,
        "model": weights.source,
        "revision": weights.revision,
    }
    return _contained(
        "verify-weights",
        version.images.weights,
        args=["verify", *(f"--{flag}={value}" for flag, value in expected.items())],
        resources=resources("2", "2Gi"),
        volumeMounts=[_mount("weights", WEIGHTS_PATH, read_only=True), _mount("signer", SIGNER_PATH, read_only=True)],
    )


def _key(version: ModelVersion) -> Manifest:
    """A key for this pod alone; it is gone with the pod."""
    made = f"import secrets, pathlib; pathlib.Path('{API_KEY_FILE}').write_text(secrets.token_urlsafe(32))"
    return _contained(
        "make-key",
        version.images.weights,
        command=["python", "-c", made],
        resources=resources("100m", "64Mi"),
        volumeMounts=[_mount("key", API_KEY_PATH)],
    )


def _proxy(version: ModelVersion) -> Manifest:
    """An init container that stays: it starts before the server and ends after it."""
    alive = _asked("/healthz")
    return _contained(
        "proxy",
        version.images.proxy,
        args=["serve"],
        restartPolicy="Always",
        env=variables(proxy_environment(version)),
        ports=[
            {"name": "https", "containerPort": Port.MODEL_PROXY},
            {"name": "health", "containerPort": Port.MODEL_PROXY_HEALTH},
        ],
        resources=resources("500m", "512Mi"),
        startupProbe={**alive, "periodSeconds": 2, "failureThreshold": 30},
        livenessProbe={**alive, "failureThreshold": 3, "timeoutSeconds": 5},
        volumeMounts=[
            _mount("certificate", CERTIFICATE_PATH, read_only=True),
            _mount("key", API_KEY_PATH, read_only=True),
        ],
    )


def proxy_environment(version: ModelVersion) -> dict[str, str]:
    """What the model proxy reads at its start; a test starts its settings from these."""
    return {
        "MODEL_PROXY_UPSTREAM": f"http://127.0.0.1:{Port.MODEL_SERVER}",
        "MODEL_PROXY_LISTEN": f"0.0.0.0:{Port.MODEL_PROXY}",
        "MODEL_PROXY_HEALTH_LISTEN": f"0.0.0.0:{Port.MODEL_PROXY_HEALTH}",
        "MODEL_PROXY_CERTIFICATE": f"{CERTIFICATE_PATH}/tls.crt",
        "MODEL_PROXY_PRIVATE_KEY": f"{CERTIFICATE_PATH}/tls.key",
        "MODEL_PROXY_API_KEY_FILE": API_KEY_FILE,
        "MODEL_PROXY_N_MAX": str(SEQUENCES_MAX),
        "MODEL_PROXY_BODY_BYTES_MAX": str(REQUEST_BYTES_MAX),
        "MODEL_PROXY_DRAIN_S": str(PROXY_MARGIN_S),
    }


def _asked(path: str) -> Manifest:
    """A probe of the proxy's own listener; the model server listens on the loopback, where no kubelet comes."""
    request = {"path": path, "port": Port.MODEL_PROXY_HEALTH, "scheme": "HTTPS"}
    return {"httpGet": request, "periodSeconds": PROBE_PERIOD_S}


def _server(version: ModelVersion) -> Manifest:
    health = _asked("/readyz")
    return _contained(
        "server",
        version.images.server,
        command=command(),
        args=arguments(version.serving),
        env=variables(environment()),
        resources=resources(version.cpu, version.memory, **{GPU_RESOURCE: str(version.serving.gpus)}),
        startupProbe={**health, "failureThreshold": -(-version.startup_s // PROBE_PERIOD_S)},
        readinessProbe={**health, "failureThreshold": 3, "timeoutSeconds": 5},
        # Looser than readiness: a busy server is not a dead one, and loading a model again takes minutes.
        livenessProbe={**health, "failureThreshold": 18, "timeoutSeconds": 10},
        lifecycle={"preStop": {"sleep": {"seconds": LEAVE_S}}},
        volumeMounts=[
            _mount("weights", WEIGHTS_PATH, read_only=True),
            _mount("key", API_KEY_PATH, read_only=True),
            _mount("home", HOME_PATH),
            _mount("scratch", "/tmp"),  # noqa: S108 - a volume of the pod's own
            _mount("shared-memory", "/dev/shm"),  # noqa: S108 - as above; tensor parallelism needs it
        ],
    )


def _contained(name: str, image: str, **rest: Manifest) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **rest,
    }


def _mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _volumes(version: ModelVersion, certificate_secret: str) -> list[Manifest]:
    return [
        scratch("weights", f"{version.weights.size_gib}Gi"),
        scratch("home", "20Gi"),
        scratch("scratch", "2Gi"),
        scratch("shared-memory", "8Gi", in_memory=True),
        scratch("key", "1Mi", in_memory=True),
        {"name": "signer", "configMap": {"name": SIGNER}},
        {"name": "certificate", "secret": {"secretName": certificate_secret, "defaultMode": 0o440}},
    ]
