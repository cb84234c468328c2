"""Application Auto Scaling: scalable targets and scaling policies. Nothing is measured, so nothing scales here."""

from __future__ import annotations

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, given, pascal

_SERVICE = "application-autoscaling"


def _place(inputs: Inputs) -> dict[str, Json]:
    """What both a target and its policies are found by."""
    return {
        "ServiceNamespace": inputs["serviceNamespace"],
        "ResourceId": inputs["resourceId"],
        "ScalableDimension": inputs["scalableDimension"],
    }


def _create_target(aws: Aws, inputs: Inputs) -> Made:
    aws.client(_SERVICE).register_scalable_target(
        **_place(inputs), MinCapacity=int(inputs["minCapacity"]), MaxCapacity=int(inputs["maxCapacity"])
    )
    return Made(inputs["resourceId"])


def _read_target(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    place = _place(inputs)
    found = aws.client(_SERVICE).describe_scalable_targets(
        ServiceNamespace=place["ServiceNamespace"],
        ResourceIds=[identifier],
        ScalableDimension=place["ScalableDimension"],
    )["ScalableTargets"]
    if not found:
        return None
    return {
        **{key: inputs[key] for key in ("serviceNamespace", "scalableDimension")},
        "arn": found[0]["ScalableTargetARN"],
        "resourceId": found[0]["ResourceId"],
        "minCapacity": found[0]["MinCapacity"],
        "maxCapacity": found[0]["MaxCapacity"],
    }


def _delete_target(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client(_SERVICE).deregister_scalable_target(**_place(inputs))


def _create_policy(aws: Aws, inputs: Inputs) -> Made:
    tracking = inputs["targetTrackingScalingPolicyConfiguration"]
    aws.client(_SERVICE).put_scaling_policy(
        PolicyName=inputs["name"],
        PolicyType=inputs["policyType"],
        TargetTrackingScalingPolicyConfiguration=_numbers(pascal(tracking)),
        **_place(inputs),
    )
    return Made(inputs["name"])


def _numbers(tracking: dict[str, Json]) -> dict[str, Json]:
    """The API wants whole seconds; numbers travel as floats."""
    cooldowns = ("ScaleInCooldown", "ScaleOutCooldown")
    return {**tracking, **{key: int(tracking[key]) for key in cooldowns if key in tracking}}


def _read_policy(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    listed = aws.client(_SERVICE).describe_scaling_policies(**_place(inputs))["ScalingPolicies"]
    found = next((policy for policy in listed if policy["PolicyName"] == identifier), None)
    if found is None:
        return None
    return given(
        arn=found["PolicyARN"],
        name=found["PolicyName"],
        policyType=found["PolicyType"],
        resourceId=found["ResourceId"],
        scalableDimension=found["ScalableDimension"],
        serviceNamespace=found["ServiceNamespace"],
        targetTrackingScalingPolicyConfiguration=camel(found["TargetTrackingScalingPolicyConfiguration"]),
        alarmArns=[alarm["AlarmARN"] for alarm in found.get("Alarms", [])],
    )


def _delete_policy(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client(_SERVICE).delete_scaling_policy(PolicyName=identifier, **_place(inputs))


KINDS = {
    "aws:appautoscaling/target:Target": Kind(_create_target, _read_target, _delete_target),
    "aws:appautoscaling/policy:Policy": Kind(_create_policy, _read_policy, _delete_policy),
}
