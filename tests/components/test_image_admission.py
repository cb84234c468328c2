"""The admission policy decides as the API server would: its expressions are evaluated, not compared as text."""

from __future__ import annotations

from typing import Any

import cel
import pytest

from components.image_admission import admission_policy

REGISTRY = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
OURS = f"{REGISTRY}/llm-pipelines-prod-vllm@sha256:{'a' * 64}"
THEIRS = f"docker.io/vllm/vllm-openai@sha256:{'a' * 64}"
TAGGED = f"{REGISTRY}/llm-pipelines-prod-vllm:latest"
Pod = dict[str, Any]  # Any: Kubernetes JSON


def admitted(pod: Pod) -> bool:
    """As in https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/."""
    policy = admission_policy(REGISTRY)
    context: dict[str, Any] = {"object": {"spec": pod}}
    context["variables"] = {one["name"]: cel.evaluate(one["expression"], context) for one in policy["variables"]}
    return all(bool(cel.evaluate(one["expression"], context)) for one in policy["validations"])


def pod(**more: Any) -> Pod:
    return {"containers": [{"name": "c", "image": OURS}], **more}


@pytest.mark.parametrize(
    "given",
    [
        pod(),
        pod(initContainers=[{"image": OURS}], volumes=[{"name": "scratch", "emptyDir": {}}]),
        pod(volumes=[{"name": "weights", "image": {"reference": OURS}}]),
        pod(ephemeralContainers=[{"image": OURS}]),
    ],
)
def test_b_10_pods_of_our_images_by_digest_are_admitted(given: Pod) -> None:
    assert admitted(given)


@pytest.mark.parametrize("image", [THEIRS, TAGGED, "vllm", f"x/{OURS}", f"{OURS}a", ""])
@pytest.mark.parametrize("place", ["containers", "initContainers", "ephemeralContainers", "volumes"])
def test_b_10_one_other_image_anywhere_in_a_pod_is_refused(place: str, image: str) -> None:
    held = {"name": "x", "image": {"reference": image}} if place == "volumes" else {"name": "x", "image": image}

    assert not admitted({**pod(), place: [{"name": "own", "image": OURS}, held] if place != "volumes" else [held]})


def test_b_10_a_pod_that_cannot_be_judged_is_refused() -> None:
    policy = admission_policy(REGISTRY)
    (pods,) = policy["matchConstraints"]["resourceRules"]

    assert policy["failurePolicy"] == "Fail"
    assert set(pods["resources"]) == {"pods", "pods/ephemeralcontainers"}
    assert set(pods["operations"]) == {"CREATE", "UPDATE"}
