"""Data stores, the service in front of them, and how it grows: encrypted, without passwords, behind one door."""

from __future__ import annotations

import copy
import fnmatch
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stacks.local import engine
from tests.contracts.programs import captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
Inputs = dict[str, Any]  # Any: a resource's inputs, as JSON
Plant = Callable[[Inputs], None]

TLS_1_3_ONLY = {
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09",
}


def with_hole(deployment: engine.Deployment, kind: str, plant: Plant) -> engine.Deployment:
    """The same deployment with one change to every resource of a kind."""

    def planted(resource: engine.Resource) -> engine.Resource:
        if resource.type.rpartition(":")[2] != kind:
            return resource
        inputs = copy.deepcopy(resource.inputs)
        plant(inputs)
        return replace(resource, inputs=inputs)

    return replace(deployment, resources=tuple(planted(resource) for resource in deployment.resources))


# --- Aurora ---------------------------------------------------------------------------------------


def database_faults(deployment: engine.Deployment) -> list[str]:
    """Everything about the cluster, its parameters and its instances that the criterion forbids."""
    cluster = only(deployment, "Cluster", "database-cluster")
    wanted = {
        "storageEncrypted": True,
        "iamDatabaseAuthenticationEnabled": True,
        "manageMasterUserPassword": True,
    }
    faults = [key for key, value in wanted.items() if cluster.inputs.get(key) is not value]
    faults += [key for key in ("masterPassword", "availabilityZones", "snapshotIdentifier") if key in cluster.inputs]
    keys = ("kmsKeyId", "masterUserSecretKmsKeyId")
    faults += [key for key in keys if not str(cluster.inputs.get(key, "")).startswith("arn:aws:kms:")]
    faults += _parameter_faults(deployment) + _instance_faults(deployment)
    if cluster.protect and (cluster.inputs.get("skipFinalSnapshot") or not cluster.inputs.get("deletionProtection")):
        faults.append("skipFinalSnapshot")
    return faults


def _parameter_faults(deployment: engine.Deployment) -> list[str]:
    group = only(deployment, "ClusterParameterGroup").inputs
    parameters = {one["name"]: one["value"] for one in group["parameters"]}
    faults = [] if parameters.get("rds.force_ssl") == "1" else ["rds.force_ssl"]
    faults += [] if parameters.get("ssl_min_protocol_version") in ("TLSv1.2", "TLSv1.3") else ["tls"]
    # "all" would write prompts and embeddings into the log.
    return faults + ([] if parameters.get("log_statement") == "ddl" else ["log_statement"])


def _instance_faults(deployment: engine.Deployment) -> list[str]:
    instances = of_type(deployment, "ClusterInstance")
    faults = [] if instances else ["no instance: no endpoint"]
    faults += ["publiclyAccessible" for one in instances if one.inputs.get("publiclyAccessible") is not False]
    return faults + ["insights key" for one in instances if not one.inputs.get("performanceInsightsKmsKeyId")]


@EVERY_ENVIRONMENT
def test_graph_25_aurora_encrypted_managed_secret_iam_ssl_protect(stack: str) -> None:
    deployment = captured("platform", stack)

    assert database_faults(deployment) == []
    assert only(deployment, "Cluster", "database-cluster").protect is (stack == "prod")


HOLES: dict[str, tuple[str, Plant]] = {
    "storageEncrypted": ("Cluster", lambda inputs: inputs.update(storageEncrypted=False)),
    "iamDatabaseAuthenticationEnabled": ("Cluster", lambda i: i.update(iamDatabaseAuthenticationEnabled=False)),
    "masterPassword": ("Cluster", lambda inputs: inputs.update(masterPassword="in state")),
    "availabilityZones": ("Cluster", lambda inputs: inputs.update(availabilityZones=["us-east-1a"])),
    "kmsKeyId": ("Cluster", lambda inputs: inputs.pop("kmsKeyId", None)),
    "skipFinalSnapshot": ("Cluster", lambda inputs: inputs.update(skipFinalSnapshot=True)),
    "rds.force_ssl": ("ClusterParameterGroup", lambda i: i.update(parameters=i["parameters"][1:])),
    "publiclyAccessible": ("ClusterInstance", lambda inputs: inputs.update(publiclyAccessible=True)),
}


@pytest.mark.parametrize("fault", HOLES)
def test_graph_25_a_planted_hole_in_the_database_is_found(fault: str) -> None:
    kind, plant = HOLES[fault]

    assert fault in database_faults(with_hole(captured("platform", "prod"), kind, plant))


@EVERY_ENVIRONMENT
def test_b_21_the_database_spans_zones_and_logs_into_a_group_that_was_there_before(stack: str) -> None:
    """T-D1, T-D4: RDS picks the zones from the subnets; a log group that it makes itself is not encrypted."""
    deployment = captured("platform", stack)
    cluster = only(deployment, "Cluster", "database-cluster")

    assert len(only(deployment, "SubnetGroup").inputs["subnetIds"]) >= 2
    assert any("database-logs" in urn for urn in cluster.dependencies)
    assert cluster.inputs["finalSnapshotIdentifier"].startswith(cluster.inputs["clusterIdentifier"])


@EVERY_ENVIRONMENT
def test_b_21_every_service_connects_as_itself_and_migration_alone_as_the_owner(stack: str) -> None:
    """T-D2: `rds-db:connect` names one user of one cluster; who has the password has no such permission."""
    deployment = captured("platform", stack)
    granted: dict[str, set[str]] = {}
    for policy in of_type(deployment, "RolePolicy"):
        for statement in json.loads(policy.inputs["policy"])["Statement"]:
            if "rds-db:connect" in statement["Action"]:
                granted.setdefault(policy.name, set()).add(str(statement["Resource"]))
    users = {name: {arn.rpartition("/")[2] for arn in arns} for name, arns in granted.items()}

    assert users["gateway-permissions"] == {"gateway"}
    assert users["gateway-ingest-permissions"] == {"gateway_ingest"}
    assert not any("*" in arn or "gateway_owner" in arn for arns in granted.values() for arn in arns)


# --- Valkey ---------------------------------------------------------------------------------------


def cache_faults(deployment: engine.Deployment) -> list[str]:
    """A serverless cache speaks TLS only; the rest is for us to ask for."""
    cache, user = only(deployment, "ServerlessCache").inputs, only(deployment, "User").inputs
    faults = [] if str(cache.get("kmsKeyId", "")).startswith("arn:aws:kms:") else ["kmsKeyId"]
    faults += [] if user.get("authenticationMode") == {"type": "iam"} else ["authenticationMode"]
    faults += ["password" for key in ("passwords", "noPasswordRequired") if user.get(key)]
    faults += [] if user.get("userId") == user.get("userName") else ["userName"]
    rules = str(user.get("accessString", "")).split()
    faults += [] if rules[:3] == ["on", "~*", "-@all"] and "-@dangerous" in rules else ["accessString"]
    return faults + ([] if cache.get("userGroupId") and cache.get("securityGroupIds") else ["userGroupId"])


@EVERY_ENVIRONMENT
def test_b_21_the_cache_is_encrypted_and_knows_identities_only(stack: str) -> None:
    assert cache_faults(captured("platform", stack)) == []


CACHE_HOLES: dict[str, tuple[str, Plant]] = {
    "kmsKeyId": ("ServerlessCache", lambda inputs: inputs.pop("kmsKeyId")),
    "authenticationMode": ("User", lambda i: i.update(authenticationMode={"type": "no-password-required"})),
    "password": ("User", lambda inputs: inputs.update(noPasswordRequired=True)),
    "accessString": ("User", lambda inputs: inputs.update(accessString="on ~* +@all")),
    "userGroupId": ("ServerlessCache", lambda inputs: inputs.pop("userGroupId")),
}


@pytest.mark.parametrize("fault", CACHE_HOLES)
def test_b_21_a_planted_hole_in_the_cache_is_found(fault: str) -> None:
    kind, plant = CACHE_HOLES[fault]

    assert fault in cache_faults(with_hole(captured("platform", "prod"), kind, plant))


# --- the load balancer ----------------------------------------------------------------------------


def listener_faults(deployment: engine.Deployment) -> list[str]:
    """HTTPS under TLS 1.3 alone, or TCP through to who ends TLS itself; never towards the Internet."""
    faults = [one.name for one in of_type(deployment, "LoadBalancer") if one.inputs.get("internal") is not True]
    for listener in of_type(deployment, "Listener"):
        protocol = listener.inputs.get("protocol")
        is_encrypted = protocol == "HTTPS" and listener.inputs.get("sslPolicy") in TLS_1_3_ONLY
        if not is_encrypted and protocol != "TCP":
            faults.append(listener.name)
    return faults


@EVERY_ENVIRONMENT
def test_b_16_listeners_speak_tls_1_3_only_behind_internal_load_balancers(stack: str) -> None:
    deployment = captured("platform", stack)

    assert of_type(deployment, "Listener")
    assert listener_faults(deployment) == []


@pytest.mark.parametrize(
    "hole",
    [
        {"sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"},
        {"sslPolicy": None},
        {"protocol": "HTTP"},
        {"protocol": "TLS"},
    ],
)
def test_b_16_an_older_protocol_is_found(hole: Inputs) -> None:
    deployment = with_hole(captured("platform", "prod"), "Listener", lambda inputs: inputs.update(hole))

    assert "gateway-listener" in listener_faults(deployment)


def test_b_16_a_load_balancer_on_the_internet_is_found() -> None:
    deployment = with_hole(captured("platform", "prod"), "LoadBalancer", lambda i: i.update(internal=False))

    assert "gateway-load-balancer" in listener_faults(deployment)


def forwards(deployment: engine.Deployment, path: str) -> bool:
    """Whether the gateway's listener hands a request for `path` on, as a load balancer decides it."""
    listener = only(deployment, "Listener", "gateway-listener")
    rules = [one for one in of_type(deployment, "ListenerRule") if one.inputs["listenerArn"] == listener.outputs["arn"]]
    for rule in sorted(rules, key=lambda one: int(one.inputs["priority"])):
        patterns = [value for one in rule.inputs["conditions"] for value in one["pathPattern"]["values"]]
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
            return str(rule.inputs["actions"][0]["type"]) == "forward"
    return str(listener.inputs["defaultActions"][0]["type"]) == "forward"


@EVERY_ENVIRONMENT
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/embeddings"])
def test_b_12_public_paths_reach_the_gateway(stack: str, path: str) -> None:
    assert forwards(captured("platform", stack), path)


@EVERY_ENVIRONMENT
@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/healthz", "/", "/V1/models", "/v2/x", "/v1", "//v1/models"])
def test_b_12_what_operators_see_is_not_reached_through_the_load_balancer(stack: str, path: str) -> None:
    deployment = captured("platform", stack)
    [default] = only(deployment, "Listener", "gateway-listener").inputs["defaultActions"]

    assert not forwards(deployment, path)
    assert default["fixedResponse"]["statusCode"] == "404"


def test_b_12_a_listener_that_forwards_everything_is_found() -> None:
    hole: Plant = lambda inputs: inputs.update(defaultActions=[{"type": "forward"}])  # noqa: E731  # a planted hole

    assert forwards(with_hole(captured("platform", "prod"), "Listener", hole), "/metrics")


# --- Fargate --------------------------------------------------------------------------------------


def scaling(deployment: engine.Deployment) -> dict[str, engine.Resource]:
    return {one.inputs["resourceId"].rpartition("/")[2]: one for one in of_type(deployment, "Target")}


@EVERY_ENVIRONMENT
def test_every_service_scales_between_bounds_and_an_update_leaves_its_size_alone(stack: str) -> None:
    deployment = captured("platform", stack)
    services = [one for one in of_type(deployment, "Service") if one.type.startswith("aws:ecs/")]

    assert {one.name for one in services} == {"gateway", "gateway-ingest"}
    for service in services:
        target = scaling(deployment)[service.inputs["name"]]
        assert 1 <= target.inputs["minCapacity"] <= service.inputs["desiredCount"] <= target.inputs["maxCapacity"]
        assert service.ignore_changes == ("desiredCount",)
        assert service.inputs["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
        assert service.urn in target.dependencies


@EVERY_ENVIRONMENT
def test_ingestion_grows_with_what_waits_in_every_workloads_queue(stack: str) -> None:
    queue = only(captured("document_assistant", stack), "Queue", "documents-queue").inputs["name"]
    policy = only(captured("platform", stack), "Policy", "gateway-ingest-document-assistant-backlog").inputs
    tracked = policy["targetTrackingScalingPolicyConfiguration"]
    metrics = {one["id"]: one for one in tracked["customizedMetricSpecification"]["metrics"]}

    waiting, running = (metrics[name]["metricStat"]["metric"] for name in ("waiting", "running"))
    assert waiting["dimensions"] == [{"name": "QueueName", "value": queue}]
    assert {one["value"] for one in running["dimensions"]} == {f"llm-pipelines-{stack}-gateway", "gateway-ingest"}
    assert [name for name, one in metrics.items() if one["returnData"]] == ["backlog"]
    assert metrics["backlog"]["expression"] == "waiting / running"


@EVERY_ENVIRONMENT
def test_the_gateway_grows_with_its_requests(stack: str) -> None:
    deployment = captured("platform", stack)
    policies = {
        one.name: one.inputs["targetTrackingScalingPolicyConfiguration"]
        for one in of_type(deployment, "Policy")
        if one.type.startswith("aws:appautoscaling/")
    }
    balancer, targets = (
        only(deployment, "LoadBalancer", "gateway-load-balancer"),
        only(deployment, "TargetGroup", "gateway-targets"),
    )

    requests = policies["gateway-requests-per-minute"]["predefinedMetricSpecification"]
    assert requests["predefinedMetricType"] == "ALBRequestCountPerTarget"
    assert requests["resourceLabel"] == f"{balancer.outputs['arnSuffix']}/{targets.outputs['arnSuffix']}"
    assert policies["gateway-cpu-percent"]["targetValue"] <= 80


# --- alarms ---------------------------------------------------------------------------------------


def silent(deployment: engine.Deployment) -> list[str]:
    """Alarms that tell nobody, or somebody else than the environment's topic; those that roll a model back excepted."""
    topics = {one.outputs["arn"] for one in of_type(deployment, "Topic")}
    rolling_back = json.dumps([one.inputs.get("deploymentConfig", {}) for one in of_type(deployment, "Endpoint")])
    return [
        alarm.name
        for alarm in of_type(deployment, "MetricAlarm")
        if f'"{alarm.inputs["name"]}"' not in rolling_back
        and (not alarm.inputs.get("alarmActions") or not set(alarm.inputs["alarmActions"]) <= topics)
    ]


@EVERY_ENVIRONMENT
def test_every_alarm_tells_the_topic(stack: str) -> None:
    deployment = captured("platform", stack)

    assert len(of_type(deployment, "MetricAlarm")) >= 6
    assert silent(deployment) == []


def test_an_alarm_that_tells_nobody_is_found() -> None:
    deployment = with_hole(captured("platform", "prod"), "MetricAlarm", lambda inputs: inputs.update(alarmActions=[]))

    assert "alarm-gateway-errors" in silent(deployment)


@EVERY_ENVIRONMENT
def test_a_document_that_cannot_be_read_is_somebodys_work(stack: str) -> None:
    dead = only(captured("document_assistant", stack), "Queue", "documents-dead-letters-queue").inputs["name"]
    alarm = only(captured("platform", stack), "MetricAlarm", "alarm-gateway-document-assistant-dead-letters").inputs

    assert alarm["dimensions"] == {"QueueName": dead}
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 0)


@EVERY_ENVIRONMENT
def test_a_service_without_tasks_is_noticed_by_its_silence(stack: str) -> None:
    deployment = captured("platform", stack)
    for name in ("serve", "ingest"):
        alarm = only(deployment, "MetricAlarm", f"alarm-gateway-{name}-tasks").inputs
        assert (alarm["comparisonOperator"], alarm["treatMissingData"]) == ("LessThanThreshold", "breaching")
        assert alarm["threshold"] >= 1
