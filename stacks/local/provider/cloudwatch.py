"""CloudWatch: metric alarms and dashboards. Nothing is measured here, so no alarm ever sounds."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list

_NAMES = {
    "alarmActions": "AlarmActions",
    "alarmDescription": "AlarmDescription",
    "comparisonOperator": "ComparisonOperator",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "okActions": "OKActions",
    "statistic": "Statistic",
    "treatMissingData": "TreatMissingData",
}
_WHOLE = {"evaluationPeriods": "EvaluationPeriods", "period": "Period"}


def _create(aws: Aws, inputs: Inputs) -> Made:
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=inputs["name"],
        Threshold=float(inputs["threshold"]),
        **given(
            Dimensions=[{"Name": name, "Value": value} for name, value in (inputs.get("dimensions") or {}).items()],
            Tags=tag_list(inputs),
            **{name: inputs[key] for key, name in _NAMES.items() if key in inputs},
            **{name: int(inputs[key]) for key, name in _WHOLE.items() if key in inputs},
        ),
    )
    return Made(inputs["name"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=[identifier])["MetricAlarms"]
    if not alarms:
        return None
    found = alarms[0]
    return {
        "arn": found["AlarmArn"],
        "name": found["AlarmName"],
        "threshold": found["Threshold"],
        "dimensions": {one["Name"]: one["Value"] for one in found.get("Dimensions", [])},
        **{key: found[name] for key, name in {**_NAMES, **_WHOLE}.items() if key in inputs and name in found},
    }


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("cloudwatch").delete_alarms(AlarmNames=[identifier])


def _create_dashboard(aws: Aws, inputs: Inputs) -> Made:
    name = inputs["dashboardName"]
    aws.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=inputs["dashboardBody"])
    return Made(name)


def _read_dashboard(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    cloudwatch = aws.client("cloudwatch")
    try:
        found = cloudwatch.get_dashboard(DashboardName=identifier)
    except cloudwatch.exceptions.ResourceNotFound:
        return None
    return {
        "dashboardArn": found["DashboardArn"],
        "dashboardName": found["DashboardName"],
        "dashboardBody": found["DashboardBody"],
    }


def _delete_dashboard(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("cloudwatch").delete_dashboards(DashboardNames=[identifier])


KINDS = {
    "aws:cloudwatch/dashboard:Dashboard": Kind(_create_dashboard, _read_dashboard, _delete_dashboard),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Kind(_create, _read, _delete),
}
