"""EC2 Auto Scaling: launch templates, and target groups that instances are registered with."""

from __future__ import annotations

from botocore.exceptions import ClientError

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, given, pascal

# Text in Pulumi, a boolean at the API.
_BOOLEANS = ("Encrypted", "DeleteOnTermination")
_SENT = (
    "blockDeviceMappings",
    "metadataOptions",
    "tagSpecifications",
    "instanceType",
    "imageId",
    "instanceMarketOptions",
    "capacityReservationSpecification",
)


def _create_template(aws: Aws, inputs: Inputs) -> Made:
    data = {key[:1].upper() + key[1:]: pascal(inputs[key]) for key in _SENT if inputs.get(key)}
    data |= given(SecurityGroupIds=inputs.get("vpcSecurityGroupIds"))
    for mapping in data.get("BlockDeviceMappings", []):
        mapping["Ebs"] = {key: _typed(key, value) for key, value in mapping["Ebs"].items()}
    for specification in data.get("TagSpecifications", []):
        specification["Tags"] = [{"Key": key, "Value": value} for key, value in _tags(inputs, specification).items()]
    if "MetadataOptions" in data:
        data["MetadataOptions"]["HttpPutResponseHopLimit"] = int(data["MetadataOptions"]["HttpPutResponseHopLimit"])
    made = aws.client("ec2").create_launch_template(LaunchTemplateName=inputs["name"], LaunchTemplateData=data)
    return Made(made["LaunchTemplate"]["LaunchTemplateId"])


def _typed(key: str, value: Json) -> Json:
    if key in _BOOLEANS:
        return str(value).lower() == "true"
    return int(value) if isinstance(value, float) else value


def _tags(inputs: Inputs, specification: Inputs) -> dict[str, str]:
    """As the program wrote them: names of tags are nobody's properties, and keep their spelling."""
    [found] = [one for one in inputs["tagSpecifications"] if one["resourceType"] == specification["ResourceType"]]
    return dict(found.get("tags") or {})


def _read_template(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    ec2 = aws.client("ec2")
    try:
        found = ec2.describe_launch_templates(LaunchTemplateIds=[identifier])["LaunchTemplates"][0]
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        return None
    latest = ec2.describe_launch_template_versions(LaunchTemplateId=identifier, Versions=["$Latest"])
    data = latest["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return given(
        arn=f"arn:aws:ec2:{aws.region}:{aws.account}:launch-template/{identifier}",
        name=found["LaunchTemplateName"],
        latestVersion=found["LatestVersionNumber"],
        defaultVersion=found["DefaultVersionNumber"],
        metadataOptions=camel(data.get("MetadataOptions")) if data.get("MetadataOptions") else None,
        vpcSecurityGroupIds=data.get("SecurityGroupIds"),
        instanceType=data.get("InstanceType"),
        blockDeviceMappings=[_mapping(one) for one in data.get("BlockDeviceMappings", [])],
    )


def _mapping(found: Inputs) -> dict[str, Json]:
    disk = {key[:1].lower() + key[1:]: value for key, value in found["Ebs"].items()}
    texts = {key: str(value).lower() for key, value in disk.items() if isinstance(value, bool)}
    return {"deviceName": found["DeviceName"], "ebs": {**disk, **texts}}


def _delete_template(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_launch_template(LaunchTemplateId=identifier)


def _attach(aws: Aws, inputs: Inputs) -> Made:
    group, targets = inputs["autoscalingGroupName"], inputs["lbTargetGroupArn"]
    aws.client("autoscaling").attach_load_balancer_target_groups(AutoScalingGroupName=group, TargetGroupARNs=[targets])
    return Made(f"{group}-{targets.rpartition('/')[2]}")


def _read_attachment(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    group = inputs["autoscalingGroupName"]
    answer = aws.client("autoscaling").describe_load_balancer_target_groups(AutoScalingGroupName=group)
    attached = {one["LoadBalancerTargetGroupARN"] for one in answer["LoadBalancerTargetGroups"]}
    targets = inputs["lbTargetGroupArn"]
    return {"autoscalingGroupName": group, "lbTargetGroupArn": targets} if targets in attached else None


def _detach(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=inputs["autoscalingGroupName"], TargetGroupARNs=[inputs["lbTargetGroupArn"]]
    )


KINDS = {
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(_create_template, _read_template, _delete_template),
    "aws:autoscaling/attachment:Attachment": Kind(_attach, _read_attachment, _detach),
}
