"""EKS: clusters and their node groups. What moto drops of a cluster is not compared; nothing runs behind them.

EKS makes the Auto Scaling group of a node group, moto only names it: here it is made, empty, so that what
attaches to it finds it.
"""

from __future__ import annotations

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tags_of

_NETWORK = ("subnetIds", "securityGroupIds", "endpointPublicAccess", "endpointPrivateAccess")


def _create_cluster(aws: Aws, inputs: Inputs) -> Made:
    network = inputs["vpcConfig"]
    keys = [{"resources": one["resources"], "provider": one["provider"]} for one in _encryption(inputs)]
    services = (inputs.get("kubernetesNetworkConfig") or {}).get("serviceIpv4Cidr")
    logs = inputs.get("enabledClusterLogTypes")
    aws.client("eks").create_cluster(
        name=inputs["name"],
        roleArn=inputs["roleArn"],
        # False is a setting here, not an absence.
        resourcesVpcConfig={key: network[key] for key in _NETWORK if network.get(key) is not None},
        **given(
            version=inputs.get("version"),
            encryptionConfig=keys,
            kubernetesNetworkConfig={"serviceIpv4Cidr": services} if services else None,
            logging={"clusterLogging": [{"types": logs, "enabled": True}]} if logs else None,
            tags=tags_of(inputs),
        ),
    )
    return Made(inputs["name"])


def _encryption(inputs: Inputs) -> list[dict[str, Json]]:
    encryption = inputs.get("encryptionConfig")
    if not encryption:
        return []
    return [{"resources": encryption["resources"], "provider": {"keyArn": encryption["provider"]["keyArn"]}}]


def _read_cluster(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    eks = aws.client("eks")
    try:
        found = eks.describe_cluster(name=identifier)["cluster"]
    except eks.exceptions.ResourceNotFoundException:
        return None
    network = found["resourcesVpcConfig"]
    logs = [one["types"] for one in found.get("logging", {}).get("clusterLogging", []) if one["enabled"]]
    encrypted = found.get("encryptionConfig") or []
    return given(
        arn=found["arn"],
        name=found["name"],
        version=found["version"],
        roleArn=found["roleArn"],
        endpoint=found["endpoint"],
        status=found["status"],
        platformVersion=found["platformVersion"],
        certificateAuthority={"data": found["certificateAuthority"]["data"]},
        enabledClusterLogTypes=logs[0] if logs else None,
        encryptionConfig=encrypted[0] if encrypted else None,
    ) | {"vpcConfig": {key: network[key] for key in (*_NETWORK, "vpcId") if key in network}}


def _delete_cluster(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("eks").delete_cluster(name=identifier)


_GROUP = {
    "nodeRoleArn": "nodeRole",
    "amiType": "amiType",
    "capacityType": "capacityType",
    "instanceTypes": "instanceTypes",
    "labels": "labels",
    "releaseVersion": "releaseVersion",
    "scalingConfig": "scalingConfig",
    "subnetIds": "subnets",
    "taints": "taints",
    "version": "version",
}


def _create_group(aws: Aws, inputs: Inputs) -> Made:
    eks, template = aws.client("eks"), inputs.get("launchTemplate") or {}
    asked = {name: inputs.get(key) for key, name in _GROUP.items()}
    asked["scalingConfig"] = _sizes(inputs)
    made = eks.create_nodegroup(
        clusterName=inputs["clusterName"],
        nodegroupName=inputs["nodeGroupName"],
        **given(
            **asked, tags=tags_of(inputs), launchTemplate=given(id=template.get("id"), version=template.get("version"))
        ),
    )["nodegroup"]
    _make_scaling_group(aws, made["resources"]["autoScalingGroups"][0]["name"], inputs)
    return Made(f"{inputs['clusterName']}:{inputs['nodeGroupName']}")


def _sizes(inputs: Inputs) -> dict[str, int]:
    """Numbers travel as floats; the API wants whole ones."""
    return {key: int(value) for key, value in inputs["scalingConfig"].items()}


def _make_scaling_group(aws: Aws, name: str, inputs: Inputs) -> None:
    template = inputs.get("launchTemplate") or {}
    if not template:
        return
    aws.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateId": template["id"], "Version": str(template["version"])},
        MinSize=0,
        MaxSize=_sizes(inputs)["maxSize"],
        DesiredCapacity=0,
        VPCZoneIdentifier=",".join(inputs["subnetIds"]),
    )


def _read_group(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    eks, (cluster, _, name) = aws.client("eks"), identifier.partition(":")
    try:
        found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
    except eks.exceptions.ResourceNotFoundException:
        return None
    kept = {key: found[sent] for key, sent in _GROUP.items() if found.get(sent) not in (None, [], {})}
    groups = [{"name": one["name"]} for one in found["resources"]["autoScalingGroups"]]
    return {
        **kept,
        "arn": found["nodegroupArn"],
        "clusterName": cluster,
        "nodeGroupName": name,
        "status": found["status"],
        "resources": [{"autoscalingGroups": groups}],
    }


def _delete_group(aws: Aws, identifier: str, inputs: Inputs) -> None:
    eks, (cluster, _, name) = aws.client("eks"), identifier.partition(":")
    found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
    eks.delete_nodegroup(clusterName=cluster, nodegroupName=name)
    for group in found["resources"]["autoScalingGroups"]:
        aws.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=group["name"], ForceDelete=True)


KINDS = {
    "aws:eks/cluster:Cluster": Kind(_create_cluster, _read_cluster, _delete_cluster),
    "aws:eks/nodeGroup:NodeGroup": Kind(_create_group, _read_group, _delete_group),
}
