"""What runs the gateway day by day is there as asked for: the one path in, scaling, alarms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.local.engine import EngineError, destroy, run
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

FRONT = """
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=mine)
    subnets = [aws.ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24",
        availability_zone=f"eu-west-1{zone}", opts=mine) for number, zone in enumerate("ab")]
    balancer = aws.lb.LoadBalancer("front", name="front", internal=True, subnets=[one.id for one in subnets], opts=mine)
    targets = aws.lb.TargetGroup("targets", name="targets", vpc_id=vpc.id, target_type="ip", protocol="HTTP", port=80,
        opts=mine)
    listener = aws.lb.Listener("listener", load_balancer_arn=balancer.arn, port=80, protocol="HTTP", default_actions=[
        {"type": "fixed-response", "fixed_response": {"status_code": "404", "content_type": "text/plain"}}], opts=mine)
    aws.lb.ListenerRule("paths", listener_arn=listener.arn, priority=1, conditions=[CONDITION],
        actions=[{"type": "forward", "target_group_arn": targets.arn}], opts=mine)
    pulumi.export("listener", listener.arn)
    """
PATHS = '{"path_pattern": {"values": ["/v1/*"]}}'


def test_a_listener_rule_forwards_its_paths_and_goes_away(
    tmp_path: Path, provider: MotoProvider, client: Client
) -> None:
    deployment = run(plant(tmp_path, FRONT.replace("CONDITION", PATHS)), "dev", provider=provider)

    listener, elb = deployment.outputs["listener"], client("elbv2")
    [rule] = [one for one in elb.describe_rules(ListenerArn=listener)["Rules"] if one["Priority"] == "1"]
    assert rule["Conditions"][0]["PathPatternConfig"]["Values"] == ["/v1/*"]
    assert rule["Actions"][0]["Type"] == "forward"
    destroy(deployment, provider)
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_a_condition_that_is_not_modelled_is_refused_not_dropped(tmp_path: Path, provider: MotoProvider) -> None:
    program = plant(tmp_path, FRONT.replace("CONDITION", '{"host_header": {"values": ["a.b"]}}'))

    with pytest.raises(EngineError, match="conditions must be pathPattern only"):
        run(program, "dev", provider=provider)


SERVICE = """
    cluster = aws.ecs.Cluster("cluster", name="cluster", opts=mine)
    task = aws.ecs.TaskDefinition("task", family="task", cpu="256", memory="512", network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        container_definitions=json.dumps([{"name": "a", "image": "a@sha256:0", "essential": True}]), opts=mine)
    service = aws.ecs.Service("service", name="service", cluster=cluster.arn, task_definition=task.arn,
        desired_count=2, opts=mine)
    target = aws.appautoscaling.Target("target", service_namespace="ecs", scalable_dimension="ecs:service:DesiredCount",
        resource_id="service/cluster/service", min_capacity=2, max_capacity=8,
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[service]))
    aws.appautoscaling.Policy("cpu", name="cpu", policy_type="TargetTrackingScaling", service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount", resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration={"target_value": 60, "scale_in_cooldown": 300,
            "scale_out_cooldown": 60,
            "predefined_metric_specification": {"predefined_metric_type": "ECSServiceAverageCPUUtilization"}},
        opts=mine)
    waiting = {"metric": {"namespace": "AWS/SQS", "metric_name": "Visible",
        "dimensions": [{"name": "QueueName", "value": "documents"}]}, "stat": "Average"}
    aws.appautoscaling.Policy("backlog", name="backlog", policy_type="TargetTrackingScaling", service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount", resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration={"target_value": 100, "customized_metric_specification": {
            "metrics": [{"id": "waiting", "metric_stat": waiting, "return_data": False},
                {"id": "backlog", "expression": "waiting / 2", "return_data": True}]}}, opts=mine)
    aws.cloudwatch.MetricAlarm("errors", name="errors", namespace="AWS/ApplicationELB", metric_name="Errors",
        dimensions={"LoadBalancer": "app/front/1"}, statistic="Sum", comparison_operator="GreaterThanThreshold",
        threshold=10, period=60, evaluation_periods=3, treat_missing_data="notBreaching",
        alarm_actions=["arn:aws:sns:eu-west-1:123456789012:alarms"], opts=mine)
    """


def test_a_service_scales_within_its_bounds_and_its_alarm_has_somebody_to_tell(
    tmp_path: Path, provider: MotoProvider, client: Client
) -> None:
    deployment = run(plant(tmp_path, SERVICE), "dev", provider=provider)

    scaling, cloudwatch = client("application-autoscaling"), client("cloudwatch")
    [target] = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    policies = {
        one["PolicyName"]: one["TargetTrackingScalingPolicyConfiguration"]
        for one in scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    }
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    assert policies["cpu"]["TargetValue"] == 60
    [waiting, backlog] = policies["backlog"]["CustomizedMetricSpecification"]["Metrics"]
    assert waiting["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "documents"}]
    assert backlog["Expression"] == "waiting / 2"
    assert (alarm["Threshold"], alarm["TreatMissingData"]) == (10, "notBreaching")
    assert alarm["AlarmActions"] == ["arn:aws:sns:eu-west-1:123456789012:alarms"]
    destroy(deployment, provider)
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert cloudwatch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"] == []
