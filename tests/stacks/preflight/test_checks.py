"""Each check of the preflight holds for an account that has what is needed, and fails for one that lacks it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from components.cross_region_inference import destinations
from components.kubernetes_versions import PINNED
from stacks.environment import Environment
from stacks.preflight.checks import CHECKS, Check, examine
from stacks.preflight.needs import Needs, UnknownInstanceType, services_of
from stacks.preflight.row import Row
from tests.stacks.configurations import changed, environment_values
from tests.stacks.preflight.answers import REGION, Answers

SERVICES = (f"com.amazonaws.{REGION}.kms", f"com.amazonaws.{REGION}.sts")
RESERVATION = "cr-0123456789abcdef0"
BLOCK = {
    "self_hosting.gpu_nodes.0.capacity": "capacity_block",
    "self_hosting.gpu_nodes.0.reservation_id": RESERVATION,
    "self_hosting.gpu_nodes.0.zone": "us-east-1b",
    "self_hosting.gpu_nodes.0.instance_type": "p5.48xlarge",
}
Given = Callable[[], Answers]


def needs(changes: Mapping[str, Any] | None = None) -> Needs:
    values = changed(environment_values("prod"), changes or {})
    return Needs(Environment.load(values), SERVICES)


def check(name: str) -> Check:
    return next(one for one in CHECKS if one.name == name)


def rows(name: str, given: Answers, changes: Mapping[str, Any] | None = None) -> list[Row]:
    found = examine(needs(changes), given, [check(name)])
    assert given.all_given()
    return found


# --- answers of an account that has everything ------------------------------------------------------


def identity(account: str = "333344445555") -> Answers:
    answer = {"Account": account, "Arn": f"arn:aws:sts::{account}:assumed-role/x/y", "UserId": "x"}
    return Answers().give("sts", "get_caller_identity", answer)


def zones(*unavailable: str) -> Answers:
    listed = [
        {
            "ZoneName": f"us-east-1{letter}",
            "State": "unavailable" if f"us-east-1{letter}" in unavailable else "available",
            "OptInStatus": "opt-in-not-required",
        }
        for letter in "abc"
    ]
    return Answers().give("ec2", "describe_availability_zones", {"AvailabilityZones": listed})


def roles(*missing: str) -> Answers:
    given = Answers()
    named = [
        "AWSServiceRoleForECS",
        "AWSServiceRoleForRDS",
        "AWSServiceRoleForElastiCache",
        "AWSServiceRoleForAutoScaling",
        "AWSServiceRoleForAmazonEKS",
        "AWSServiceRoleForAmazonEKSNodegroup",
        "AWSServiceRoleForElasticLoadBalancing",
    ]
    for name in named:
        if name in missing:
            given.refuse("iam", "get_role", "NoSuchEntity")
            continue
        role = {
            "Path": "/",
            "RoleName": name,
            "RoleId": "AROAXXXXXXXXXXXXXXXX",
            "Arn": f"arn:aws:iam::333344445555:role/{name}",
            "CreateDate": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        }
        given.give("iam", "get_role", {"Role": role}, {"RoleName": name})
    return given


def endpoint_services(without: str = "") -> Answers:
    listed = [
        {"ServiceName": name, "AvailabilityZones": [f"us-east-1{letter}" for letter in "abc" if letter != without]}
        for name in SERVICES
    ]
    return Answers().give("ec2", "describe_vpc_endpoint_services", {"ServiceDetails": listed})


def quota(value: float) -> Answers:
    return Answers().give("service-quotas", "get_service_quota", {"Quota": {"Value": value}})


def vcpu_quotas(gpu: float, standard: float) -> Answers:
    """In the order of the codes."""
    given = Answers()
    asked = {"ServiceCode": "ec2"}
    given.give(
        "service-quotas", "get_service_quota", {"Quota": {"Value": standard}}, {**asked, "QuotaCode": "L-1216C47A"}
    )
    given.give("service-quotas", "get_service_quota", {"Quota": {"Value": gpu}}, {**asked, "QuotaCode": "L-DB2E81BA"})
    return given


def offerings(*letters: str) -> Answers:
    given = Answers()
    for kind, sold in (("m7i.large", "abc"), ("g6.2xlarge", letters)):
        listed = [
            {"InstanceType": kind, "LocationType": "availability-zone", "Location": f"us-east-1{letter}"}
            for letter in sold
        ]
        given.give("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": listed})
    return given


def reservation(**differences: object) -> Answers:
    found: dict[str, Any] = {
        "CapacityReservationId": RESERVATION,
        "State": "scheduled",
        "InstanceType": "p5.48xlarge",
        "AvailabilityZone": "us-east-1b",
        "TotalInstanceCount": 8,
        **differences,
    }
    asked = {"CapacityReservationIds": [RESERVATION]}
    return Answers().give("ec2", "describe_capacity_reservations", {"CapacityReservations": [found]}, asked)


def version(status: str) -> Answers:
    found = [{"clusterVersion": PINNED.version, "versionStatus": status}] if status else []
    return Answers().give("eks", "describe_cluster_versions", {"clusterVersions": found})


def addons(without: str = "") -> Answers:
    given = Answers()
    for addon, pinned in PINNED.addons.items():
        offered = "v0.0.1-eksbuild.1" if addon.value == without else pinned
        answer = {"addons": [{"addonName": addon.value, "addonVersions": [{"addonVersion": offered}]}]}
        asked = {"addonName": addon.value, "kubernetesVersion": PINNED.version}
        given.give("eks", "describe_addon_versions", answer, asked)
    return given


def images(*, nvidia: bool) -> Answers:
    given = Answers().give("ssm", "get_parameter", {"Parameter": {"Value": "ami-1"}})
    if nvidia:
        return given.give("ssm", "get_parameter", {"Parameter": {"Value": "ami-2"}})
    return given.refuse("ssm", "get_parameter", "ParameterNotFound")


def availability(agreement: str = "AVAILABLE", region: str = "AVAILABLE") -> Answers:
    given = Answers()
    for model in needs().environment.bedrock_models:
        answer = {
            "modelId": model.foundation_model,
            "agreementAvailability": {"status": agreement},
            "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": region,
        }
        given.give("bedrock", "get_foundation_model_availability", answer)
    return given


def retention(mode: str) -> Answers:
    given = Answers()
    for _ in {region for model in needs().environment.bedrock_models for region in model.destination_regions}:
        given.give("bedrock", "get_account_data_retention", {"mode": mode})
    return given


def tls(values: str) -> Answers:
    parameters = [{"ParameterName": "ssl_min_protocol_version", "AllowedValues": values}]
    answer = {"EngineDefaults": {"Parameters": parameters}}
    return Answers().give("rds", "describe_engine_default_cluster_parameters", answer)


HOLDS: dict[str, Given] = {
    "account": identity,
    "availability zone": zones,
    "service-linked role": roles,
    "endpoint service": endpoint_services,
    "endpoint quota": lambda: quota(50),
    "instance type offered": lambda: offerings("a", "b", "c"),
    "vCPU quota": lambda: vcpu_quotas(gpu=64, standard=8),
    "Kubernetes version": lambda: version("STANDARD_SUPPORT"),
    "add-on version": addons,
    "node image": lambda: images(nvidia=True),
    "Bedrock model": availability,
    "model data retention": lambda: retention("none"),
    "database TLS": lambda: tls("TLSv1.2,TLSv1.3"),
}
# Check → what is wrong, what the row says was found, what it says to do.
FAILS: list[tuple[str, Given, str, str]] = [
    ("account", lambda: identity("111122223333"), "111122223333", "use credentials of account 333344445555"),
    ("availability zone", lambda: zones("us-east-1b"), "unavailable", "network.zones"),
    ("service-linked role", lambda: roles("AWSServiceRoleForAutoScaling"), "missing", "autoscaling.amazonaws.com"),
    ("endpoint service", lambda: endpoint_services(without="c"), "missing in us-east-1c", "network.zones"),
    ("endpoint quota", lambda: quota(1), "1 of 2 endpoints", "--quota-code L-29B6F2EB --desired-value 2"),
    ("instance type offered", lambda: offerings("a", "b"), "not offered", "sold in us-east-1a, us-east-1b"),
    ("instance type offered", offerings, "not offered", "no zone of this region"),
    ("vCPU quota", lambda: vcpu_quotas(gpu=0, standard=8), "0 of 64 vCPUs", "L-DB2E81BA --desired-value 64"),
    ("vCPU quota", lambda: vcpu_quotas(gpu=64, standard=7), "7 of 8 vCPUs", "L-1216C47A --desired-value 8"),
    ("Kubernetes version", lambda: version("EXTENDED_SUPPORT"), "EXTENDED_SUPPORT", "kubernetes_versions.py"),
    ("Kubernetes version", lambda: version(""), "not offered", "kubernetes_versions.py"),
    ("add-on version", lambda: addons(without="vpc-cni"), "not offered for", "newest: v0.0.1-eksbuild.1"),
    ("node image", lambda: images(nvidia=False), "not published", "kubernetes_versions.py"),
    ("Bedrock model", lambda: availability(agreement="NOT_AVAILABLE"), "agreement NOT_AVAILABLE", "agreement"),
    ("Bedrock model", lambda: availability(region="NOT_AVAILABLE"), "region NOT_AVAILABLE", "us-east-1"),
    ("model data retention", lambda: retention("default"), "default", "--mode none"),
    ("database TLS", lambda: tls("TLSv1,TLSv1.1,TLSv1.2"), "allowed: TLSv1,TLSv1.1,TLSv1.2", "database.tls_min"),
    ("database TLS", lambda: tls(""), "allowed: unknown", "database.tls_min"),
]


@pytest.mark.parametrize("name", HOLDS)
def test_a_check_holds_where_the_account_has_what_is_needed(name: str) -> None:
    found = rows(name, HOLDS[name]())
    assert found
    assert all(row.held and not row.todo for row in found), found


@pytest.mark.parametrize(("name", "given", "found", "todo"), FAILS)
def test_a_check_fails_where_something_is_missing_and_says_what_to_do(
    name: str, given: Given, found: str, todo: str
) -> None:
    failing = [row for row in rows(name, given()) if not row.held]
    assert failing
    assert any(found in row.found and todo in row.todo for row in failing), failing


@pytest.mark.parametrize(
    ("differences", "found"),
    [
        ({"State": "expired"}, "state expired"),
        ({"InstanceType": "p5e.48xlarge"}, "of p5e.48xlarge"),
        ({"AvailabilityZone": "us-east-1a"}, "in us-east-1a"),
        ({"TotalInstanceCount": 7}, "7 instances for 8 nodes"),
    ],
)
def test_a_reservation_that_differs_from_the_configuration_fails(differences: dict[str, Any], found: str) -> None:
    [row] = rows("capacity reservation", reservation(**differences), BLOCK)
    assert not row.held
    assert found in row.found
    [held] = rows("capacity reservation", reservation(), BLOCK)
    assert held.held


def test_a_geographic_profile_that_grew_a_region_fails() -> None:
    profile = "us.amazon.nova-lite-v1:0"
    regions = list(destinations(profile, REGION))
    changes = {
        "data_classes": ["public"],
        "residency": "geography",
        "retention.content_days": 7,
        "models.0.geo_profile": profile,
        "models.0.destination_regions": regions,
    }

    def given(*found: str) -> Answers:
        models = [{"modelArn": f"arn:aws:bedrock:{one}::foundation-model/amazon.nova-lite-v1:0"} for one in found]
        answer = {
            "inferenceProfileName": "x",
            "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:333344445555:inference-profile/{profile}",
            "models": models,
            "inferenceProfileId": profile,
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }
        return Answers().give("bedrock", "get_inference_profile", answer)

    values = needs().environment.models[0].id
    [held] = rows("inference profile", given(*regions), changes)
    assert held.held
    [row] = rows("inference profile", given(*regions, "ca-central-1"), changes)
    assert not row.held
    assert f"models.{values}.destination_regions" in row.todo


@pytest.mark.parametrize(("allowed", "held"), [(2.0, True), (1.0, False), (None, False)])
def test_sagemaker_instances_need_a_quota_of_their_type(allowed: float | None, held: bool) -> None:
    kind = "ml.g6.2xlarge"
    ours = {
        "id": "tuned",
        "kind": "chat",
        "backend": "sagemaker",
        "boundary": "private_endpoint",
        "instance_type": kind,
        "instances": 2,
        "image_digest": "sha256:" + "0" * 64,
        "weights_prefix": "tuned/1",
        "context_tokens_max": 8192,
        "usd_per_million_input_tokens": "0.1",
        "usd_per_million_output_tokens": "0.1",
    }
    others = [model for model in environment_values("prod")["models"] if model["backend"] != "sagemaker"]
    listed = [] if allowed is None else [{"QuotaName": f"{kind} for endpoint usage", "Value": allowed}]
    given = Answers().give("service-quotas", "list_service_quotas", {"Quotas": listed})
    [row] = rows("SageMaker quota", given, {"models": [*others, ours]})
    assert row.held is held


@pytest.mark.parametrize("name", HOLDS)
def test_a_missing_permission_is_a_row_that_names_it_and_never_a_pass(name: str) -> None:
    given, service, operation = Answers(), *FIRST_CALLS[name]
    [row] = rows(name, given.refuse(service, operation, "AccessDeniedException", "not authorized"))
    assert not row.held
    assert check(name).permission in row.todo
    assert "AccessDeniedException" in row.found


FIRST_CALLS = {
    "account": ("sts", "get_caller_identity"),
    "availability zone": ("ec2", "describe_availability_zones"),
    "service-linked role": ("iam", "get_role"),
    "endpoint service": ("ec2", "describe_vpc_endpoint_services"),
    "endpoint quota": ("service-quotas", "get_service_quota"),
    "instance type offered": ("ec2", "describe_instance_type_offerings"),
    "vCPU quota": ("service-quotas", "get_service_quota"),
    "Kubernetes version": ("eks", "describe_cluster_versions"),
    "add-on version": ("eks", "describe_addon_versions"),
    "node image": ("ssm", "get_parameter"),
    "Bedrock model": ("bedrock", "get_foundation_model_availability"),
    "model data retention": ("bedrock", "get_account_data_retention"),
    "database TLS": ("rds", "describe_engine_default_cluster_parameters"),
}


def test_an_error_that_is_no_refusal_fails_too() -> None:
    [row] = rows("account", Answers().refuse("sts", "get_caller_identity", "ServiceUnavailable"))
    assert not row.held
    assert "GetCallerIdentity" in row.todo


def test_no_way_to_aws_fails_every_check_that_applies() -> None:
    class Nowhere:
        def client(self, service: str, region: str = "") -> Any:
            raise EndpointConnectionError(endpoint_url=f"https://{service}.invalid")

    found = examine(needs(), Nowhere())
    assert {row.check for row in found} == {one.name for one in CHECKS if one.applies(needs())}
    assert not any(row.held for row in found)


def test_a_check_that_looks_at_nothing_has_not_passed() -> None:
    idle = Check("idle", "none:None", lambda _needs, _aws: iter(()))
    [row] = examine(needs(), Answers(), [idle])
    assert not row.held


def test_every_check_is_tried_here() -> None:
    elsewhere = {"capacity reservation", "inference profile", "SageMaker quota"}
    assert set(HOLDS) | elsewhere == {one.name for one in CHECKS}
    assert set(HOLDS) == set(FIRST_CALLS) == {name for name, *_ in FAILS}


def test_without_a_cluster_nothing_of_a_cluster_is_asked() -> None:
    values = changed(environment_values("dev"), {})
    asked = {one.name for one in CHECKS if one.applies(Needs(Environment.load(values), SERVICES))}
    assert not asked & {"vCPU quota", "Kubernetes version", "add-on version", "node image", "instance type offered"}
    assert {"account", "endpoint service", "Bedrock model"} <= asked


def test_a_failing_row_cannot_be_silent() -> None:
    with pytest.raises(ValueError, match="says what to do"):
        Row("account", "prod", held=False, found="?")


def test_quotas_count_every_group_at_its_largest_and_no_capacity_block() -> None:
    wanted = {quota.value: vcpus for quota, vcpus in needs().vcpus.items()}
    assert wanted == {"L-1216C47A": 4 * 2, "L-DB2E81BA": 8 * 8}
    assert {quota.value for quota in needs(BLOCK).vcpus} == {"L-1216C47A"}


def test_an_instance_type_without_a_known_quota_is_refused() -> None:
    unknown = {"self_hosting.gpu_nodes.0.instance_type": "g99.2xlarge"}
    with pytest.raises(UnknownInstanceType, match=r"g99\.2xlarge"):
        _ = needs(unknown).vcpus


def test_only_endpoint_services_of_the_region_are_asked_for() -> None:
    names = [*SERVICES, SERVICES[0], "com.amazonaws.vpce.us-east-1.vpce-svc-0"]
    assert services_of(names, REGION) == SERVICES


@mock_aws
def test_the_calls_are_ones_that_the_aws_api_takes() -> None:
    """Against an emulator instead of prepared answers: names of parameters, filters and pages are right."""

    class Emulated:
        def client(self, service: str, region: str = "") -> Any:
            return boto3.client(service, region_name=region or REGION)  # type: ignore[call-overload]

    asked = [check(name) for name in ("availability zone", "instance type offered", "endpoint service", "account")]
    found = {(row.check, row.held) for row in examine(needs(), Emulated(), asked)}
    assert ("availability zone", True) in found
    assert ("endpoint service", True) in found
    assert ("account", False) in found  # the emulator's account is not production's
    assert not any("Error" in row.found for row in examine(needs(), Emulated(), asked))
