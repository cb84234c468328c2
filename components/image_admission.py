"""The API server itself refuses images that are not ours, by digest: also those of charts, which no preview shows.

A ValidatingAdmissionPolicy runs inside the API server, so there is no webhook to be down or to be deceived:
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import OWN_IMAGES
from components.component import Component
from components.manifest import Manifest

NAME = "own-images-by-digest"
# Volumes may be images too, since Kubernetes 1.33.
_IMAGES = (
    "object.spec.containers.map(c, c.image)",
    "(has(object.spec.initContainers) ? object.spec.initContainers.map(c, c.image) : [])",
    "(has(object.spec.ephemeralContainers) ? object.spec.ephemeralContainers.map(c, c.image) : [])",
    "(has(object.spec.volumes) ? object.spec.volumes.filter(v, has(v.image)).map(v, v.image.reference) : [])",
)


class ImageAdmissionArgs(TypedDict):
    registry: pulumi.Input[str]
    """Such as 111122223333.dkr.ecr.us-east-1.amazonaws.com."""


class ImageAdmission(Component):
    """The policy, and that it holds in every namespace of ours."""

    def __init__(self, name: str, args: ImageAdmissionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        policy = kubernetes.admissionregistration.v1.ValidatingAdmissionPolicy(
            "policy",
            metadata={"name": NAME},
            spec=pulumi.Output.from_input(args["registry"]).apply(admission_policy),
            opts=self.child(),
        )
        kubernetes.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
            "binding",
            metadata={"name": NAME},
            spec={
                "policy_name": NAME,
                "validation_actions": ["Deny"],
                "match_resources": {"namespace_selector": {"match_labels": OWN_IMAGES}},
            },
            opts=self.child(depends_on=[policy]),
        )
        self.register_outputs({})


def admission_policy(registry: str) -> Manifest:
    """`spec` of the policy. A pod that it cannot judge is refused."""
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{**pods, "resources": ["pods", "pods/ephemeralcontainers"]}]},
        "variables": [{"name": "images", "expression": " + ".join(_IMAGES)}],
        "validations": [
            {
                "expression": f"variables.images.all(image, image.matches('{image_pattern(registry)}'))",
                "message": f"images must come from {registry} and be named by digest",
            }
        ],
    }


def image_pattern(registry: str) -> str:
    """RE2, as CEL reads it; a dot as a class, since a backslash would be read twice.

    A tag may stand beside the digest, which alone decides.
    """
    host = registry.replace(".", "[.]")
    return f"^{host}/[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._-]+)?@sha256:[0-9a-f]{{64}}$"
