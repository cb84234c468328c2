"""The network with everything an environment can have is accepted by the AWS API and kept as it was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stacks.local.engine import run
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]
WHOLE = """
    from components.address_plan import Tier
    from components.flow_log import FORMAT, FlowLog
    from components.private_network import PrivateNetwork
    from components.s3_endpoint import S3Endpoint
    from components.segmentation import Segment, Segmentation
    from components.service_endpoints import ServiceEndpoints, When, endpoint_policies, s3_endpoint_policy
    here, account, region = pulumi.ResourceOptions(providers=[provider]), "123456789012", "eu-west-1"
    network = PrivateNetwork("network", {"cidr": "10.0.0.0/16", "zones": ["eu-west-1a", "eu-west-1b"],
        "client_cidrs": ["10.9.0.0/16"], "database_ports": (5432, 6379)}, here)
    bucket = aws.s3.Bucket("flows", bucket="planted-flows", opts=mine)
    FlowLog("network", {"vpc_id": network.vpc_id, "bucket_arn": bucket.arn, "bucket_ready": bucket}, here)
    s3 = S3Endpoint("network", {"region": region, "vpc_id": network.vpc_id,
        "route_table_ids": list(network.route_table_ids[Tier.APP].values()),
        "policy": s3_endpoint_policy(account, region)}, here)
    groups = Segmentation("segmentation", {"vpc_id": network.vpc_id, "segments": tuple(Segment), "gateway_port": 8443,
        "client_cidrs": ["10.9.0.0/16"], "issuer_cidrs": ["10.8.0.0/24"], "s3_prefix_list_id": s3.prefix_list_id,
        "inspected_egress": True}, here)
    ServiceEndpoints("endpoints", {"region": region, "vpc_id": network.vpc_id,
        "subnet_ids": network.subnet_ids[Tier.EDGE], "security_group_id": groups.group_ids[Segment.ENDPOINTS],
        "policies": endpoint_policies(account, (When.SELF_HOSTING,))}, here)
    pulumi.export("vpc", network.vpc_id)
    pulumi.export("format", FORMAT)
    pulumi.export("gateway", groups.group_ids[Segment.GATEWAY])
    """


def test_every_segment_endpoint_and_table_is_kept(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    deployment = run(plant(tmp_path, WHOLE), "dev", provider=provider)
    ec2, outputs = client("ec2"), deployment.outputs
    within = [{"Name": "vpc-id", "Values": [outputs["vpc"]]}]

    assert [one.name for one in deployment.resources if one.type.startswith("aws:") and not one.modelled] == []
    assert [log["LogFormat"] for log in ec2.describe_flow_logs()["FlowLogs"]] == [outputs["format"]]
    interfaces = [one for one in ec2.describe_vpc_endpoints(Filters=within)["VpcEndpoints"] if one["SubnetIds"]]
    assert len(interfaces) == 13
    assert all(one["PrivateDnsEnabled"] and len(one["SubnetIds"]) == 2 for one in interfaces)


def test_a_way_out_is_one_more_rule_of_one_group(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    outputs = run(plant(tmp_path, WHOLE), "dev", provider=provider).outputs
    groups = client("ec2").describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [outputs["vpc"]]}])
    open_to_all = {
        (group["GroupId"], rule["FromPort"], rule["ToPort"])
        for group in groups["SecurityGroups"]
        for rule in group["IpPermissionsEgress"]
        if "0.0.0.0/0" in [one["CidrIp"] for one in rule["IpRanges"]]
    }
    assert open_to_all == {(outputs["gateway"], 443, 443)}
