"""What the cluster runs in one environment: images by digest and the versions of the model that is served.

Judged before any resource exists; a refusal names the field and what is allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from components.model_autoscaling import ForecastHours, Scaling
from components.model_server_arguments import SEQUENCES_MAX
from components.model_serving import DRAIN_S
from stacks.classification import DataClass, strictest
from stacks.configuration import AccountId, ImageDigest, Name, Section, load, text_like
from stacks.environment import EnvironmentName, ModelId, Region
from stacks.environment.fields import WeightsPrefix

Sha256 = Annotated[str, AfterValidator(text_like(r"[0-9a-f]{64}", "a SHA-256 digest: 64 hexadecimal digits"))]
ModelSource = Annotated[
    str, AfterValidator(text_like(r"[A-Za-z0-9._-]{1,96}(/[A-Za-z0-9._-]{1,96})?", "a model such as organization/name"))
]
Revision = Annotated[str, AfterValidator(text_like(r"[0-9a-f]{40}|[0-9a-f]{64}", "a commit, in full"))]
ObjectVersion = Annotated[
    str, AfterValidator(text_like(r"[A-Za-z0-9._-]{1,1024}", "the version id of the manifest in the models bucket"))
]
ResolverAddress = Annotated[
    str, AfterValidator(text_like(r"10(\.\d{1,3}){2}\.2", "the network's own DNS: its base address plus two, 10.x.y.2"))
]
VersionName = Annotated[str, AfterValidator(text_like(r"v[0-9]{1,4}", "a version such as v1"))]
Cron = Annotated[
    str, AfterValidator(text_like(r"([0-9*/,-]+ ){4}[0-9*/,-]+", 'five fields of cron in UTC, such as "0 8 * * 1-5"'))
]
Memory = Annotated[str, AfterValidator(text_like(r"[1-9][0-9]{0,3}Gi", "an amount of memory such as 24Gi"))]
ChartVersion = Annotated[str, AfterValidator(text_like(r"\d+\.\d+\.\d+", "a released version such as 2.20.2"))]
PublicKey = Annotated[
    str,
    AfterValidator(
        text_like(
            r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END PUBLIC KEY-----\n?",
            "the public key that signs weights, as PEM",
        )
    ),
]
# S3 announces networks no larger than this.
S3_PREFIX_MIN = 14
# Everything that our pods run, besides the add-ons of AWS: the repositories that the platform made.
IMAGES = (
    "cluster-autoscaler",
    "dcgm-exporter",
    "keda-metrics-adapter",
    "keda-operator",
    "keda-webhooks",
    "model-proxy",
    "model-verifier",
    "nvidia-device-plugin",
    "prometheus",
)


class ExpectedHours(Section):
    """Replicas for hours of the week, as `make forecast` proposes them."""

    start: Cron
    end: Cron
    replicas: Annotated[int, Field(ge=1, le=64)]


class ServedVersion(Section):
    """One version of the model: weights and the server that serves them."""

    version: VersionName
    image_digest: ImageDigest
    """Of vLLM, in the release that components/model_server_versions.py names."""
    weights_source: ModelSource
    """Organization and name, as whoever published the model wrote them."""
    revision: Revision
    weights_prefix: WeightsPrefix
    manifest_version_id: ObjectVersion
    manifest_sha256: Sha256
    weights_gib: Annotated[int, Field(ge=1, le=2000)]
    gpu_group: Name
    gpus: Literal[1, 2, 4, 8]
    cpu: Annotated[int, Field(ge=1, le=192)]
    memory: Memory
    context_tokens_max: Annotated[int, Field(ge=1024, le=2_000_000)]
    sequences_max: Annotated[int, Field(ge=1, le=SEQUENCES_MAX * 16)]
    startup_s: Annotated[int, Field(ge=60, le=7200)]
    """Fetch, verify, load: the slowest start that was measured, with room."""
    shutdown_s: Annotated[int, Field(ge=30, le=DRAIN_S)]
    """How long answers under way may take; no longer than the load balancer keeps a connection."""
    replicas_min: Annotated[int, Field(ge=0, le=64)]
    replicas_max: Annotated[int, Field(ge=1, le=64)]
    waiting_per_replica: Annotated[int, Field(ge=1, le=1000)]
    p95_s: Annotated[float, Field(gt=0, le=600)]
    forecast: tuple[ExpectedHours, ...]
    tool_parser: Annotated[str, AfterValidator(text_like(r"[a-z0-9_]{0,40}", "a tool parser of vLLM, or empty"))] = ""

    @property
    def hours(self) -> tuple[ForecastHours, ...]:
        return tuple(ForecastHours(hours.start, hours.end, hours.replicas) for hours in self.forecast)

    def scaling(self, gpus_max: int) -> Scaling:
        return Scaling(
            replicas_min=self.replicas_min,
            replicas_max=self.replicas_max,
            gpus_per_replica=self.gpus,
            gpus_max=gpus_max,
            waiting_per_replica=self.waiting_per_replica,
            p95_s=self.p95_s,
            forecast=self.hours,
        )


class HostedModel(Section):
    """The model behind the models' host name: the version that answers, and those that stay warm."""

    model: ModelId
    """The name under which the gateway asks for it."""
    data_classes: tuple[DataClass, ...]
    """What its prompts may hold; never looser than the platform's own."""
    prefix_cache: Literal["off", "shared"]
    """Shared beginnings of prompts answer faster, and the time tells whether somebody else asked the same."""
    versions: tuple[ServedVersion, ...]
    live: VersionName
    canary: VersionName | Literal[""] = ""
    """A second version that answers too; each gets requests by its number of replicas."""

    @field_validator("versions")
    @classmethod
    def _at_most_two(cls, value: tuple[ServedVersion, ...]) -> tuple[ServedVersion, ...]:
        names = [version.version for version in value]
        if not 1 <= len(set(names)) == len(names) <= 2:
            raise ValueError(f"must be one version, or two with different names: the new and the last (got {names})")
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = {version.version for version in self.versions}
        wrong = {name for name in (self.live, self.canary) if name} - names
        if wrong or self.live == self.canary:
            raise ValueError(
                f"live and canary must be different versions out of {', '.join(sorted(names))} "
                f"(got {self.live!r}, {self.canary!r})"
            )
        return self

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """Response times of a shared cache tell one tenant of another's prompts."""
        if self.prefix_cache == "shared" and strictest(self.data_classes) in _UNSHARED:
            unshared = " or ".join(data_class.value for data_class in _UNSHARED)
            raise ValueError(f"prefix_cache must be off where prompts are {unshared} (got {self.prefix_cache!r})")
        return self


_UNSHARED = (DataClass.CONFIDENTIAL, DataClass.RESTRICTED)


class Cluster(Section):
    environment: EnvironmentName
    region: Region
    account_id: AccountId
    owner: Name
    cost_center: Name
    images: dict[str, ImageDigest]
    """By repository; all of them, or nothing starts."""
    keda_version: ChartVersion
    weights_signer: PublicKey
    s3_cidrs: tuple[str, ...]
    """Addresses of S3 in this region, reached through the gateway endpoint: docs/cluster.md says where from."""
    resolver: ResolverAddress
    gpus_per_node: dict[Name, Annotated[int, Field(ge=1, le=16)]]
    """By node group of the platform."""
    model: HostedModel

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Cluster:
        """Reads and judges the configuration of one stack; raises ConfigurationError."""
        return load(cls, values, "cluster")

    @property
    def tags(self) -> dict[str, str]:
        return {
            "project": "llm-pipelines",
            "env": self.environment.value,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "data-class": strictest(self.model.data_classes).value,
        }

    @field_validator("images")
    @classmethod
    def _complete(cls, value: dict[str, str]) -> dict[str, str]:
        if set(value) != set(IMAGES):
            raise ValueError(f"must give digests of exactly {', '.join(IMAGES)} (got {', '.join(sorted(value))})")
        return value

    @field_validator("s3_cidrs")
    @classmethod
    def _public_and_narrow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for cidr in value:
            _require_public(cidr)
        if not value:
            raise ValueError("must not be empty: weights and image layers come from there (got none)")
        return value

    @model_validator(mode="after")
    def _groups_counted(self) -> Self:
        missing = {version.gpu_group for version in self.model.versions} - set(self.gpus_per_node)
        if missing:
            raise ValueError(f"gpus_per_node must hold {', '.join(sorted(missing))} (got {sorted(self.gpus_per_node)})")
        return self

    @model_validator(mode="after")
    def _own_environment_only(self) -> Self:
        """No prefix, name or image may come from another environment."""
        others = {name.value for name in EnvironmentName} - {self.environment.value}
        for text in (self.model.model, *(version.weights_prefix for version in self.model.versions)):
            for named in others.intersection(re.split(r"[^a-z0-9]+", text.lower())):
                raise ValueError(f"{text!r} of environment {self.environment.value} must not name environment {named}")
        return self


def _require_public(cidr: str) -> None:
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"must be IPv4 networks (got {cidr!r}: {error})") from None
    if not network.is_global or network.prefixlen < S3_PREFIX_MIN:
        raise ValueError(f"must be public networks of S3, /{S3_PREFIX_MIN} or smaller (got {cidr!r})")
