"""CloudTrail: a trail hears every region, reads as well as writes, and cannot be altered unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY as EXAMPLE_KEY
from policy_packs.customer_key import is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

TRAIL: Final = "aws:cloudtrail/trail:Trail"
_EVENT_STORE: Final = "aws:cloudtrail/eventDataStore:EventDataStore"


def _every_region(trail: Resource) -> Iterator[Outcome]:
    everywhere = trail.at("isMultiRegionTrail")
    of_global_services = trail.at("includeGlobalServiceEvents")
    yield from demand(everywhere.equals(True), "only its own region is recorded", everywhere)
    yield from demand(of_global_services.equals(True), "IAM and STS are not recorded", of_global_services)


EVERY_REGION = Rule(
    name="cloudtrail-trail-require-every-region",
    description="A trail records every region, and the services that have none.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation="Set is_multi_region_trail=True and leave include_global_service_events on.",
    checkov=("CKV_AWS_67",),
    resource_types=(TRAIL,),
    check=_every_region,
    obeys={
        "every region; global services by default": Resource.example(TRAIL, {"isMultiRegionTrail": True}),
        "both said": Resource.example(TRAIL, {"isMultiRegionTrail": True, "includeGlobalServiceEvents": True}),
    },
    breaks={
        "left out, and AWS's default is one region": Resource.example(TRAIL, {}),
        "one region": Resource.example(TRAIL, {"isMultiRegionTrail": False}),
        "without global services": Resource.example(
            TRAIL, {"isMultiRegionTrail": True, "includeGlobalServiceEvents": False}
        ),
    },
    neighbours={"a store of events has its own words": Resource.example(_EVENT_STORE, {"multiRegionEnabled": False})},
)


def _validated(trail: Resource) -> Iterator[Outcome]:
    digests = trail.at("enableLogFileValidation")
    yield from demand(digests.equals(True), "nobody would notice a changed or missing log file", digests)


LOG_FILE_VALIDATION = Rule(
    name="cloudtrail-trail-require-log-file-validation",
    description="A trail signs digests of its log files.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.5.33"), nist_800_53_r5=("AU-9", "SI-7"), atlas=("AML.M0024",)
    ),
    remediation="Set enable_log_file_validation=True.",
    checkov=("CKV_AWS_36",),
    resource_types=(TRAIL,),
    check=_validated,
    obeys={"digests on": Resource.example(TRAIL, {"enableLogFileValidation": True})},
    breaks={
        "left out, and AWS's default is off": Resource.example(TRAIL, {}),
        "turned off": Resource.example(TRAIL, {"enableLogFileValidation": False}),
    },
    neighbours={"a store of events signs none": Resource.example(_EVENT_STORE)},
)


def _own_key(trail: Resource) -> Iterator[Outcome]:
    key = trail.at("kmsKeyId")
    yield from demand(is_customer_key(key), "no customer managed key", key)


OWN_KEY = Rule(
    name="cloudtrail-trail-require-own-key",
    description="A trail encrypts its log files under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.8.15", "A.8.24"),
        nist_800_53_r5=("AU-9(3)", "SC-28(1)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_id to the ARN of a key whose policy lets CloudTrail encrypt.",
    checkov=("CKV_AWS_35",),
    resource_types=(TRAIL,),
    check=_own_key,
    obeys={
        "a key by ARN": Resource.example(TRAIL, {"kmsKeyId": EXAMPLE_KEY}),
        "a key by an alias of ours": Resource.example(TRAIL, {"kmsKeyId": "alias/trail"}),
    },
    breaks={
        "left out, and AWS's default is a key of S3": Resource.example(TRAIL, {}),
        "empty": Resource.example(TRAIL, {"kmsKeyId": ""}),
        "the key that AWS manages": Resource.example(TRAIL, {"kmsKeyId": "alias/aws/s3"}),
    },
    neighbours={"a bucket for the log files": Resource.example("aws:s3/bucket:Bucket", {"bucket": "trail"})},
)


def _heard_at_once(trail: Resource) -> Iterator[Outcome]:
    group, role = trail.at("cloudWatchLogsGroupArn"), trail.at("cloudWatchLogsRoleArn")
    yield from demand(group.is_given(), "no alarm could hear an event as it happens", group)
    yield from demand(role.is_given(), "CloudTrail has no role to write the log group with", role)


_LOGS = {
    "cloudWatchLogsGroupArn": "arn:aws:logs:eu-central-1:111122223333:log-group:trail:*",
    "cloudWatchLogsRoleArn": "arn:aws:iam::111122223333:role/trail",
}

SENT_TO_LOGS = Rule(
    name="cloudtrail-trail-require-log-group",
    description="A trail writes its events to a log group too, where alarms hear them as they happen.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2", "CC7.3"),
        iso27001_2022=("A.8.15", "A.8.16"),
        nist_800_53_r5=("AU-6", "SI-4"),
        atlas=("AML.M0024",),
    ),
    remediation="Set cloud_watch_logs_group_arn, ending in :*, and cloud_watch_logs_role_arn.",
    checkov=("CKV2_AWS_10",),
    resource_types=(TRAIL,),
    check=_heard_at_once,
    obeys={"a log group and a role": Resource.example(TRAIL, _LOGS)},
    breaks={
        "left out, and AWS's default is no log group": Resource.example(TRAIL, {}),
        "no group": Resource.example(TRAIL, {**_LOGS, "cloudWatchLogsGroupArn": None}),
        "no role": Resource.example(TRAIL, {**_LOGS, "cloudWatchLogsRoleArn": ""}),
    },
    neighbours={"a store of events is queried instead": Resource.example(_EVENT_STORE)},
)


def _reads_and_writes(trail: Resource) -> Iterator[Outcome]:
    logging = trail.at("enableLogging")
    yield from demand(logging.equals(True), "the trail records nothing", logging)
    yield from demand(_records(trail, "ReadOnly", "true"), "reads of management are not recorded", trail.props)
    yield from demand(_records(trail, "WriteOnly", "false"), "writes of management are not recorded", trail.props)


def _records(trail: Resource, kind: str, read_only: str) -> Truth:
    """One half of the management events. A trail without any selector records both."""
    classic, advanced = trail.at("eventSelectors"), trail.at("advancedEventSelectors")
    return any_of(
        classic.any(lambda one: _classic_records(one, kind)),
        advanced.any(lambda one: _advanced_records(one, read_only)),
        all_of(negate(classic.is_given()), negate(advanced.is_given())),
    )


def _classic_records(selector: View, kind: str) -> Truth:
    asked = selector.at("readWriteType", absent="All")
    return all_of(selector.at("includeManagementEvents", absent=True).equals(True), asked.equals("All", kind))


def _advanced_records(selector: View, read_only: str) -> Truth:
    """`readOnly` may be asked for as true or as false; left out it is both."""
    fields = selector.at("fieldSelectors")
    return all_of(
        fields.any(lambda one: all_of(one.at("field").equals("eventCategory"), _equals(one, "Management"))),
        fields.every(lambda one: any_of(negate(one.at("field").equals("readOnly")), _equals(one, read_only))),
    )


def _equals(field: View, value: str) -> Truth:
    return field.at("equals").any(lambda one: one.equals(value))


def _advanced(category: str, **fields: str) -> dict[str, object]:
    wanted = {"eventCategory": category, **fields}
    return {"fieldSelectors": [{"field": name, "equals": [value]} for name, value in wanted.items()]}


_READS, _WRITES = _advanced("Management", readOnly="true"), _advanced("Management", readOnly="false")

READS_AND_WRITES = Rule(
    name="cloudtrail-trail-require-reads-and-writes",
    description="A trail that is on records management events that read as well as those that write.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation="Leave enable_logging on; select eventCategory Management without readOnly, or read_write_type All.",
    checkov=("CKV_AWS_251",),
    resource_types=(TRAIL,),
    check=_reads_and_writes,
    obeys={
        "without selectors, and AWS's default is all management events": Resource.example(
            TRAIL, {"enableLogging": True}
        ),
        "one advanced selector for both": Resource.example(
            TRAIL, {"advancedEventSelectors": [_advanced("Management")]}
        ),
        "one advanced selector for each": Resource.example(TRAIL, {"advancedEventSelectors": [_READS, _WRITES]}),
        "management and more in one selector": Resource.example(
            TRAIL,
            {
                "advancedEventSelectors": [
                    {"fieldSelectors": [{"field": "eventCategory", "equals": ["Management", "x"]}]}
                ]
            },
        ),
        "a classic selector, whose default is both": Resource.example(TRAIL, {"eventSelectors": [{}]}),
        "a classic selector that says both": Resource.example(TRAIL, {"eventSelectors": [{"readWriteType": "All"}]}),
        "a classic selector for each": Resource.example(
            TRAIL, {"eventSelectors": [{"readWriteType": "ReadOnly"}, {"readWriteType": "WriteOnly"}]}
        ),
    },
    breaks={
        "turned off": Resource.example(TRAIL, {"enableLogging": False}),
        "only writes": Resource.example(TRAIL, {"eventSelectors": [{"readWriteType": "WriteOnly"}]}),
        "only reads": Resource.example(TRAIL, {"eventSelectors": [{"readWriteType": "ReadOnly"}]}),
        "only writes, advanced": Resource.example(TRAIL, {"advancedEventSelectors": [_WRITES]}),
        "only reads, advanced": Resource.example(TRAIL, {"advancedEventSelectors": [_READS]}),
        "data about management": Resource.example(
            TRAIL, {"advancedEventSelectors": [_advanced("Data", eventName="Management")]}
        ),
        "only data": Resource.example(TRAIL, {"advancedEventSelectors": [_advanced("Data")]}),
        "management left out": Resource.example(TRAIL, {"eventSelectors": [{"includeManagementEvents": False}]}),
    },
    neighbours={
        "data beside all of management": Resource.example(
            TRAIL, {"advancedEventSelectors": [_advanced("Management"), _advanced("Data", readOnly="true")]}
        ),
        "a store of events": Resource.example(_EVENT_STORE),
    },
)
