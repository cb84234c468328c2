"""What runs in a cluster: the pod of a workload and its containers, wherever its kind keeps them.

A pod says some things for all of its containers; what a container says itself goes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policy_packs.aws_defaults import default_of
from policy_packs.resource import Resource
from policy_packs.tristate import Truth, all_of, negate
from policy_packs.view import MISSING, UNKNOWN, View

POD: Final = "kubernetes:core/v1:Pod"
DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
DAEMON_SET: Final = "kubernetes:apps/v1:DaemonSet"
JOB: Final = "kubernetes:batch/v1:Job"
CRON_JOB: Final = "kubernetes:batch/v1:CronJob"
# Older versions of a kind are mapped onto these: policy_packs/resource_type.py.
LONG_RUNNING: Final = (
    POD,
    DEPLOYMENT,
    DAEMON_SET,
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1:ReplicaSet",
    "kubernetes:core/v1:ReplicationController",
)
WORKLOADS: Final = (*LONG_RUNNING, JOB, CRON_JOB)
NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
_KINDS_OF_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")


def template_of(workload: Resource) -> View:
    """What holds the pod's `metadata` and `spec`."""
    if workload.type == POD:
        return workload.props
    return workload.at("spec.jobTemplate.spec.template" if workload.type == CRON_JOB else "spec.template")


def member(container: View, name: str) -> View:
    """One entry of a mapping whose keys hold dots: labels, annotations, amounts of devices."""
    path = f"{container.path}[{name}]".lstrip(".")
    if container.is_unknown:
        return View(UNKNOWN, path)
    value = container.value.get(name) if isinstance(container.value, Mapping) else None
    return View(MISSING if value is None else value, path)


@dataclass(frozen=True)
class Container:
    """One container of a pod; `kind` is the list it stands in."""

    kind: str
    content: View
    pod: Pod

    def at(self, path: str) -> View:
        """The container's own property, or Kubernetes' documented default."""
        return self.content.at(path, default_of("kubernetes:container", path))

    def secured(self, path: str) -> View:
        """A property of its security context: its own, else its pod's, else Kubernetes' default."""
        own = self.content.at(f"securityContext.{path}")
        return self.pod.at(f"securityContext.{path}") if own.value is MISSING else own


@dataclass(frozen=True)
class Pod:
    """The pod that a workload runs."""

    content: View  # metadata and spec

    @classmethod
    def of(cls, workload: Resource) -> Pod:
        return cls(template_of(workload))

    @property
    def labels(self) -> View:
        return self.content.at("metadata.labels")

    def at(self, path: str) -> View:
        """A property of the pod's `spec`, or Kubernetes' documented default."""
        return self.content.at(f"spec.{path}", default_of("kubernetes:pod", path))

    def containers(self, *kinds: str) -> tuple[Container, ...]:
        """All of them, or those of some lists."""
        listed = ((kind, one) for kind in kinds or _KINDS_OF_CONTAINERS for one in self.at(kind).items())
        return tuple(Container(kind, one, self) for kind, one in listed)


def namespace_of(resource: Resource) -> View:
    path = "metadata.namespace"
    return resource.at(path, default_of("kubernetes:object", path))


def is_same_namespace(one: Resource, other: Resource) -> Truth:
    """By name, or, while names are not known, by the Namespace they came from."""
    here, there = namespace_of(one), namespace_of(other)
    if here.is_unknown or there.is_unknown:
        shared = set(one.joined.get("metadata", ())) & set(other.joined.get("metadata", ()))
        return Truth.YES if shared else Truth.UNKNOWN
    return here.equals(there.value)


def selects(selector: View, labels: View) -> Truth:
    """Whether a label selector holds for these labels; an empty one holds for all."""
    wanted = selector.at("matchLabels")
    if selector.is_unknown or wanted.is_unknown:
        return Truth.UNKNOWN
    pairs = wanted.value if isinstance(wanted.value, Mapping) else {}
    equal = (_has(labels, key, View(value)) for key, value in pairs.items())
    return all_of(*equal, selector.at("matchExpressions").every(lambda one: _expressed(one, labels)))


def _has(labels: View, key: str, wanted: View) -> Truth:
    found = member(labels, key)
    return Truth.UNKNOWN if wanted.is_unknown else found.equals(wanted.value)


def _expressed(expression: View, labels: View) -> Truth:
    operator, key = expression.at("operator"), expression.at("key")
    if operator.is_unknown or key.is_unknown:
        return Truth.UNKNOWN
    label = member(labels, key.text)
    exists = Truth.UNKNOWN if label.is_unknown else Truth.of(label.value is not MISSING)
    listed = expression.at("values").any(lambda value: _has(labels, key.text, value))
    answers = {
        "Exists": exists,
        "DoesNotExist": negate(exists),
        "In": listed,
        "NotIn": negate(listed),
    }
    return answers.get(operator.text, Truth.NO)


def guards(policy: Resource, workload: Resource) -> Truth:
    """Whether the policy is about the workload's pods."""
    is_beside = is_same_namespace(policy, workload)
    if is_beside is Truth.NO:
        return is_beside
    return all_of(is_beside, selects(policy.at("spec.podSelector"), Pod.of(workload).labels))


def deployment(pod: Mapping[str, object], /, **metadata: object) -> Resource:
    """An example: a deployment of this pod."""
    spec = {"template": {"metadata": {"labels": {"app": "example"}}, "spec": pod}}
    return Resource.example(DEPLOYMENT, {"metadata": {"namespace": "examples", **metadata}, "spec": spec})


def of_one(**container: object) -> Resource:
    """An example: a deployment of one container."""
    return deployment({"containers": [{"name": "main", **container}]})


def network_policy(namespace: str = "examples", /, **spec: object) -> Resource:
    """An example: a policy for every pod of a namespace, or for those that a podSelector names."""
    return Resource.example(
        NETWORK_POLICY, {"metadata": {"namespace": namespace}, "spec": {"podSelector": {}, **spec}}, "policy"
    )
