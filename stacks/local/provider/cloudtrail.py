"""CloudTrail: trails and what they select. moto keeps them and records nothing."""

from __future__ import annotations

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list

# Pulumi's property → the API's.
_PROPERTIES = {
    "name": "Name",
    "s3BucketName": "S3BucketName",
    "s3KeyPrefix": "S3KeyPrefix",
    "kmsKeyId": "KmsKeyId",
    "isMultiRegionTrail": "IsMultiRegionTrail",
    "isOrganizationTrail": "IsOrganizationTrail",
    "includeGlobalServiceEvents": "IncludeGlobalServiceEvents",
    "enableLogFileValidation": "EnableLogFileValidation",
    "cloudWatchLogsGroupArn": "CloudWatchLogsLogGroupArn",
    "cloudWatchLogsRoleArn": "CloudWatchLogsRoleArn",
}
# The API answers under another name than it asks.
_ANSWERS = {**_PROPERTIES, "enableLogFileValidation": "LogFileValidationEnabled"}
_OPERATORS = {
    "equals": "Equals",
    "startsWiths": "StartsWith",
    "endsWiths": "EndsWith",
    "notEquals": "NotEquals",
    "notStartsWiths": "NotStartsWith",
    "notEndsWiths": "NotEndsWith",
}


def _create(aws: Aws, inputs: Inputs) -> Made:
    trails, name = aws.client("cloudtrail"), inputs["name"]
    settings = {api: inputs[key] for key, api in _PROPERTIES.items() if key in inputs}
    trails.create_trail(**settings, **given(TagsList=tag_list(inputs)))
    if inputs.get("advancedEventSelectors"):
        selectors = [_selector(one) for one in inputs["advancedEventSelectors"]]
        trails.put_event_selectors(TrailName=name, AdvancedEventSelectors=selectors)
    if inputs.get("enableLogging", True):
        trails.start_logging(Name=name)
    return Made(aws.arn("cloudtrail", f"trail/{name}"))


def _selector(one: Inputs) -> dict[str, Json]:
    fields = [
        {"Field": field["field"], **{_OPERATORS[key]: value for key, value in field.items() if key in _OPERATORS}}
        for field in one["fieldSelectors"]
    ]
    return given(Name=one.get("name"), FieldSelectors=fields)


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    trails = aws.client("cloudtrail")
    try:
        trail = trails.get_trail(Name=identifier)["Trail"]
    except trails.exceptions.TrailNotFoundException:
        return None
    selectors = trails.get_event_selectors(TrailName=identifier).get("AdvancedEventSelectors", [])
    return {
        **{key: trail[api] for key, api in _ANSWERS.items() if api in trail},
        "arn": trail["TrailARN"],
        "homeRegion": aws.region,
        "enableLogging": trails.get_trail_status(Name=identifier)["IsLogging"],
        "advancedEventSelectors": [_read_selector(one) for one in selectors],
    }


def _read_selector(one: dict[str, Json]) -> dict[str, Json]:
    spelt = {api: key for key, api in _OPERATORS.items()}
    fields = [
        {"field": field["Field"], **{spelt[key]: value for key, value in field.items() if key in spelt and value}}
        for field in one["FieldSelectors"]
    ]
    return given(name=one.get("Name"), fieldSelectors=fields)


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("cloudtrail").delete_trail(Name=identifier.rpartition("/")[2])  # by ARN, moto deletes nothing


KINDS = {"aws:cloudtrail/trail:Trail": Kind(_create, _read, _delete)}
