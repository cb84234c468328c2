"""Every wrong value in a cluster's settings is refused before anything exists, with the field and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from services.forecast.hours import Hours, as_yaml
from stacks.classification import DataClass
from stacks.cluster.kubeconfig import kubeconfig
from stacks.cluster.models import entrance_selector, gpus_of, require_promised
from stacks.cluster.settings import Cluster
from stacks.configuration import ConfigurationError
from tests.stacks.configurations import Values, changed, cluster_values

VERSION = "model.versions.0"
ZEROS = "0" * 64


def settings(**changes: Any) -> Cluster:
    return Cluster.load(changed(cluster_values("prod"), changes))


def two_versions() -> Values:
    values = cluster_values("prod")
    first = values["model"]["versions"][0]
    second = {**first, "version": "v2", "replicas_max": 2, "forecast": [{**first["forecast"][0], "replicas": 2}]}
    values["model"]["versions"] = [{**first, "replicas_max": 6}, second]
    return values


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_the_settings_of_every_cluster_are_read(stack: str) -> None:
    assert Cluster.load(cluster_values(stack)).environment.value == stack


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("environment", "qa", "environment: "),
        ("region", "mars-1", "region: "),
        ("account_id", "12", "account_id: must be an AWS account id: 12 digits"),
        ("owner", "Platform Team", "owner: must be a lower-case name"),
        ("cost_center", "", "cost_center: must be a lower-case name"),
        ("keda_version", "latest", "keda_version: must be a released version such as 2.20.2"),
        ("weights_signer", "-----BEGIN PRIVATE KEY-----", "weights_signer: must be the public key that signs weights"),
        ("s3_cidrs", [], "s3_cidrs: must not be empty"),
        ("s3_cidrs", ["0.0.0.0/0"], "s3_cidrs: must be public networks of S3, /14 or smaller"),
        ("s3_cidrs", ["10.0.0.0/16"], "s3_cidrs: must be public networks of S3"),
        ("s3_cidrs", ["x"], "s3_cidrs: must be IPv4 networks"),
        ("resolver", "8.8.8.8", "resolver: must be the network's own DNS"),
        ("images", {"vllm": f"sha256:{ZEROS}"}, "images: must give digests of exactly cluster-autoscaler, "),
        ("images.prometheus", "prom/prometheus:v3", "images.prometheus: must be an image digest"),
        ("gpus_per_node", {"other": 1}, "gpus_per_node must hold l4"),
        ("model.model", "Big Model", "model.model: must be a model id"),
        ("model.model", "assistant-staging", "of environment prod must not name environment staging"),
        ("model.live", "v7", "live and canary must be different versions out of v1"),
        ("model.canary", "v1", "live and canary must be different versions out of v1"),
        ("model.versions", [], "model.versions: must be one version, or two with different names"),
        ("model.data_classes", ["secret"], "model.data_classes.0: "),
        (f"{VERSION}.version", "latest", "version: must be a version such as v1"),
        (f"{VERSION}.image_digest", "v0.33.0", "image_digest: must be an image digest"),
        (f"{VERSION}.weights_source", "a b", "weights_source: must be a model such as organization/name"),
        (f"{VERSION}.revision", "main", "revision: must be a commit, in full"),
        (f"{VERSION}.weights_prefix", "../x", "weights_prefix: must be a prefix in the models bucket"),
        (f"{VERSION}.weights_prefix", "dev/x", "of environment prod must not name environment dev"),
        (f"{VERSION}.manifest_sha256", "abc", "manifest_sha256: must be a SHA-256 digest"),
        (f"{VERSION}.manifest_version_id", "", "manifest_version_id: must be the version id of the manifest"),
        (f"{VERSION}.gpus", 3, "gpus: "),
        (f"{VERSION}.memory", "24GB", "memory: must be an amount of memory such as 24Gi"),
        (f"{VERSION}.startup_s", 10, "startup_s: "),
        (f"{VERSION}.shutdown_s", 601, "shutdown_s: "),
        (f"{VERSION}.replicas_max", 0, "replicas_max: "),
        (f"{VERSION}.tool_parser", "a-b;", "tool_parser: must be a tool parser of vLLM"),
        (f"{VERSION}.forecast.0.start", "every day", "start: must be five fields of cron in UTC"),
        (f"{VERSION}.trust_remote_code", True, "trust_remote_code: unknown field"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(field: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings(**{field: value})
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("data_class", [DataClass.CONFIDENTIAL.value, DataClass.RESTRICTED.value])
def test_prompts_that_must_stay_apart_share_no_prefix_cache(data_class: str) -> None:
    """Time tells one tenant what another asked."""
    shared: dict[str, object] = {"model.prefix_cache": "shared", "model.data_classes": ["internal"]}

    assert settings(**shared).model.prefix_cache == "shared"
    with pytest.raises(ConfigurationError, match="prefix_cache must be off where prompts are confidential or restri"):
        settings(**{**shared, "model.data_classes": ["internal", data_class]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"account_id": "999999999999"}, "account_id must be the platform's 999999999999"),
        ({"region": "eu-west-1"}, "region must be the platform's eu-west-1"),
        ({"models": ["other"]}, "model.model must be a self-hosted model of the platform's catalogue: other"),
        ({"models": []}, "none is listed"),
    ],
)
def test_what_the_platform_does_not_promise_is_refused(changes: dict[str, object], sentence: str) -> None:
    promised = {"account_id": "333344445555", "region": "us-east-1", "models": ["assistant"]}

    require_promised(settings(), promised)
    with pytest.raises(ConfigurationError, match=sentence):
        require_promised(settings(), {**promised, **changes})


def test_two_versions_share_the_gpus_of_their_group() -> None:
    both = Cluster.load(two_versions())
    first, second = both.model.versions

    assert [gpus_of(both, one, {"l4": 8}) for one in (first, second)] == [6, 2]
    with pytest.raises(ConfigurationError, match="gpu_group must be one of the platform's GPU node groups a100"):
        gpus_of(both, first, {"a100": 8})


def test_the_live_version_answers_alone_until_a_canary_is_named() -> None:
    alone = entrance_selector(Cluster.load(two_versions()).model)
    shared = entrance_selector(Cluster.load(changed(two_versions(), {"model.canary": "v2"})).model)

    assert alone["llm-pipelines.io/model-version"] == "v1"
    assert "llm-pipelines.io/model-version" not in shared
    assert shared.items() <= alone.items()


def test_the_hours_of_a_forecast_are_read_as_they_are_written() -> None:
    """`make forecast` writes what a version's `forecast` takes."""
    written = yaml.safe_load(as_yaml([Hours("30 6 * * 1,2,3,4,5", "0 19 * * 1,2,3,4,5", 6)]))["forecast"]
    (hours,) = settings(**{f"{VERSION}.forecast": written}).model.versions[0].hours

    assert (hours.start, hours.end, hours.replicas) == ("30 6 * * 1,2,3,4,5", "0 19 * * 1,2,3,4,5", 6)


def test_the_way_to_the_cluster_holds_no_secret() -> None:
    written = json.loads(kubeconfig("c", "https://e", "QQ==", "arn:aws:iam::333344445555:role/deployer", "us-east-1"))
    (user,) = written["users"]

    assert set(user["user"]) == {"exec"}
    assert user["user"]["exec"]["args"][:2] == ["eks", "get-token"]
    assert "arn:aws:iam::333344445555:role/deployer" in user["user"]["exec"]["args"]
