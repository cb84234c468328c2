"""The cluster of model servers as the AWS API holds it: created from our own components and read back."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509

from stacks.local.engine import Deployment, destroy, run
from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

# Our own components: what they ask for is what production asks for.
PROGRAM = """
    from components.kubernetes_cluster import KubernetesCluster
    from components.model_load_balancer import ModelLoadBalancer
    from components.node_group import GpuCapacity, NodeGroup
    from components.node_role import NodeRole
    from components.private_authority import PrivateAuthority

    here = pulumi.ResourceOptions(providers=[provider])
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=mine)
    subnets = [aws.ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24",
        availability_zone=f"eu-west-1{zone}", opts=mine) for number, zone in enumerate("ab")]
    group = aws.ec2.SecurityGroup("group", vpc_id=vpc.id, opts=mine)
    key = aws.kms.Key("key", opts=mine)
    logs = aws.cloudwatch.LogGroup("logs", name="/aws/eks/models/cluster", opts=mine)
    cluster = KubernetesCluster("cluster", {
        "account_id": "123456789012", "region": "eu-west-1", "cluster_name": "models", "role_name": "cluster",
        "subnet_ids": [one.id for one in subnets], "security_group_id": group.id, "service_cidr": "172.20.0.0/16",
        "secrets_key_arn": key.arn, "log_group": logs, "deletion_protection": False,
        "deployer_role_arn": "arn:aws:iam::123456789012:role/deployer",
        "administrator_role_arn": "arn:aws:iam::123456789012:role/operator"}, here)
    role = NodeRole("nodes", {"role_name": "nodes"}, here)
    nodes = NodeGroup("gpu-nodes", {
        "cluster": cluster.cluster, "group_name": "gpu", "instance_type": INSTANCE_TYPE, "nodes_min": 1,
        "nodes_max": 2, "disk_gib": 200, "subnet_ids": [subnets[0].id], "security_group_id": group.id,
        "volume_key_arn": key.arn, "role_arn": role.arn, "after": role.ready, "tags": {"env": "dev"},
        "gpu_capacity": GpuCapacity.CAPACITY, "reservation_id": "cr-0123456789abcdef0"}, here)
    ModelLoadBalancer("model", {
        "load_balancer_name": "models", "vpc_id": vpc.id, "subnet_ids": [one.id for one in subnets],
        "security_group_id": group.id, "host_name": "models.llm-dev.internal",
        "autoscaling_groups": {"gpu": nodes.autoscaling_group}, "deletion_protection": False}, here)
    authority = PrivateAuthority("authority", {"common_name": "models", "organization": "us"}, here)
    pulumi.export("certificate", authority.certificate)
    pulumi.export("authority", authority.arn)
    """


def program(folder: Path, instance_type: str, capacity: str) -> Path:
    body = PROGRAM.replace("INSTANCE_TYPE", f'"{instance_type}"')
    return plant(folder, body.replace("GpuCapacity.CAPACITY", f"GpuCapacity.{capacity}"))


@dataclass(frozen=True)
class Seen:
    """What the AWS API held while the cluster was up, and what was left when it was gone."""

    cluster: dict[str, Any]
    nodes: dict[str, Any]
    template: dict[str, Any]
    targets: dict[str, Any]
    attached: list[str]
    installed_certificate: str
    certificate: str
    left: dict[str, list[Any]]


@pytest.fixture(scope="module")
def seen(server: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One deployment for the whole file: it is read from start to end before another test empties the API."""
    session: Any = boto3.session.Session("reader", "reader", region_name="eu-west-1")
    with pytest.MonkeyPatch.context() as patched:
        # AWS's own policies exist at AWS; the emulator loads them only when asked to.
        patched.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        emptied = urllib.request.Request(f"{server}/moto-api/reset", method="POST")  # noqa: S310 - a loopback address
        urllib.request.urlopen(emptied, timeout=60).close()  # noqa: S310 - a loopback address
        provider = MotoProvider(Endpoint(server))
        folder = tmp_path_factory.mktemp("cluster")
        deployment = run(program(folder, "g6.2xlarge", "ON_DEMAND"), "dev", provider=provider)
        return read(deployment, provider, lambda service: session.client(service, endpoint_url=server))


def read(deployment: Deployment, provider: MotoProvider, client: Client) -> Seen:
    eks, scaling, balancing = client("eks"), client("autoscaling"), client("elbv2")
    nodes = eks.describe_nodegroup(clusterName="models", nodegroupName="gpu")["nodegroup"]
    versions = client("ec2").describe_launch_template_versions(LaunchTemplateId=nodes["launchTemplate"]["id"])
    [group] = nodes["resources"]["autoScalingGroups"]
    attached = scaling.describe_load_balancer_target_groups(AutoScalingGroupName=group["name"])
    [targets] = balancing.describe_target_groups()["TargetGroups"]
    attributes = balancing.describe_target_group_attributes(TargetGroupArn=targets["TargetGroupArn"])["Attributes"]
    installed = client("acm-pca").get_certificate_authority_certificate(
        CertificateAuthorityArn=deployment.outputs["authority"]
    )
    cluster = eks.describe_cluster(name="models")["cluster"]
    destroy(deployment, provider)
    return Seen(
        cluster=cluster,
        nodes=nodes,
        template=versions["LaunchTemplateVersions"][0]["LaunchTemplateData"],
        targets={**targets, **{one["Key"]: one["Value"] for one in attributes}},
        attached=[one["LoadBalancerTargetGroupARN"] for one in attached["LoadBalancerTargetGroups"]],
        installed_certificate=installed["Certificate"],
        certificate=deployment.outputs["certificate"],
        left={
            "clusters": eks.list_clusters()["clusters"],
            "scaling groups": scaling.describe_auto_scaling_groups()["AutoScalingGroups"],
            "templates": client("ec2").describe_launch_templates()["LaunchTemplates"],
            "load balancers": balancing.describe_load_balancers()["LoadBalancers"],
        },
    )


def test_the_cluster_is_private_logged_and_encrypted(seen: Seen) -> None:
    network = seen.cluster["resourcesVpcConfig"]
    assert (network["endpointPublicAccess"], network["endpointPrivateAccess"]) == (False, True)
    assert len(network["subnetIds"]) == 2
    assert seen.cluster["encryptionConfig"][0]["resources"] == ["secrets"]
    assert len(seen.cluster["logging"]["clusterLogging"][0]["types"]) == 5


def test_gpu_nodes_are_tainted_and_their_template_keeps_credentials_from_pods(seen: Seen) -> None:
    assert seen.nodes["amiType"] == "AL2023_x86_64_NVIDIA"
    assert seen.nodes["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]
    metadata = seen.template["MetadataOptions"]
    assert (metadata["HttpTokens"], metadata["HttpPutResponseHopLimit"]) == ("required", 1)
    [disk] = [mapping["Ebs"] for mapping in seen.template["BlockDeviceMappings"]]
    assert disk["Encrypted"] is True
    assert disk["KmsKeyId"].startswith("arn:aws:kms:")
    assert disk["VolumeType"] == "gp3"


def test_nodes_are_targets_of_the_models_load_balancer(seen: Seen) -> None:
    targets = seen.targets
    assert seen.attached == [targets["TargetGroupArn"]]
    assert (targets["Protocol"], targets["Port"], targets["TargetType"]) == ("TCP", 30443, "instance")
    assert targets["preserve_client_ip.enabled"] == "false"
    assert targets["deregistration_delay.timeout_seconds"] == "600"


def test_the_authority_is_installed_with_its_own_certificate(seen: Seen) -> None:
    assert seen.installed_certificate == seen.certificate
    certificate = x509.load_pem_x509_certificate(seen.certificate.encode())
    assert certificate.issuer == certificate.subject


def test_everything_goes_away_again(seen: Seen) -> None:
    assert {what: found for what, found in seen.left.items() if found} == {}


def test_b_6_a_capacity_block_is_three_settings_one_zone_and_empty_at_first(tmp_path: Path) -> None:
    deployment = run(program(tmp_path, "p5.48xlarge", "CAPACITY_BLOCK"), "dev")
    template = deployment.named("aws:ec2/launchTemplate:LaunchTemplate", "gpu-nodes-template").inputs
    group = deployment.named("aws:eks/nodeGroup:NodeGroup", "gpu-nodes-group").inputs
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert template["capacityReservationSpecification"] == {
        "capacityReservationTarget": {"capacityReservationId": "cr-0123456789abcdef0"}
    }
    assert template["instanceType"] == "p5.48xlarge"
    assert "instanceTypes" not in group
    assert len(group["subnetIds"]) == 1
    assert (group["scalingConfig"]["minSize"], group["scalingConfig"]["desiredSize"]) == (0, 0)


def test_b_6_a_reservation_never_falls_back_to_buying_on_demand(tmp_path: Path) -> None:
    deployment = run(program(tmp_path, "g6.2xlarge", "RESERVATION"), "dev")
    template = deployment.named("aws:ec2/launchTemplate:LaunchTemplate", "gpu-nodes-template").inputs
    group = deployment.named("aws:eks/nodeGroup:NodeGroup", "gpu-nodes-group").inputs
    assert template["capacityReservationSpecification"] == {
        "capacityReservationPreference": "capacity-reservations-only",
        "capacityReservationTarget": {"capacityReservationId": "cr-0123456789abcdef0"},
    }
    assert "instanceMarketOptions" not in template
    assert (group["capacityType"], group["instanceTypes"]) == ("ON_DEMAND", ["g6.2xlarge"])
