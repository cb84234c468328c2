"""What models were asked and answered: who may read the log of it, who hears of a reader, and when it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.bucket import BUCKET, any_part
from policy_packs.grant import ROLE, ROLE_POLICY, permissions_by_role
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.rule import Controls, Outcome, Severity, StackRule, demand, forbid
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

LOGGING: Final = "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration"
LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
ACCESS_LOGGING: Final = "aws:s3/bucketLogging:BucketLogging"
_BUCKET_NAMES: Final = ("s3Config.bucketName", "cloudwatchConfig.largeDataDeliveryS3Config.bucketName")
_GROUP_NAMES: Final = ("cloudwatchConfig.logGroupName",)

_CALLS: Final = (
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
    "sagemaker:InvokeEndpoint",
    "sagemaker:InvokeEndpointWithResponseStream",
)
_READ_OR_DELETE: Final = ("s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion")
_READ_OR_DELETE_LOGS: Final = (
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
    "logs:StartQuery",
    "logs:DeleteLogGroup",
    "logs:DeleteLogStream",
)
_ALTER_EVIDENCE: Final = (
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
    "s3:PutObjectRetention",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutLifecycleConfiguration",
)

_NO_LOG: Final = "the stack logs no calls of models"


@once_per_stack
def _buckets(stack: Stack) -> tuple[Resource, ...]:
    return _sinks(stack, BUCKET, "bucket", _BUCKET_NAMES)


@once_per_stack
def _groups(stack: Stack) -> tuple[Resource, ...]:
    return _sinks(stack, LOG_GROUP, "name", _GROUP_NAMES)


def _sinks(stack: Stack, kind: str, key: str, paths: tuple[str, ...]) -> tuple[Resource, ...]:
    """Joined by dependency, or by a name that both know."""
    settings = stack.of_type(LOGGING)
    urns = [urn for one in settings for urn in one.joined.get("loggingConfig", ())]
    names = [one.at(f"loggingConfig.{path}").text for one in settings for path in paths]
    return stack.find((kind,), urns, names, (key,))


def _ends(stack: Stack) -> Iterator[Outcome]:
    yield from needs((*_buckets(stack), *_groups(stack)), _NO_LOG)
    for group in _groups(stack):
        days = group.at("retentionInDays")
        yield from demand(_is_short(days, group), "keeps what models were asked for too long", days, group.urn)
    for bucket in _buckets(stack):
        beside = any_part(stack, bucket, LIFECYCLE, lambda one: _expires(one, "rules"))
        subject = View(None, f"bucket '{bucket.name}'")
        truth = any_of(_expires(bucket, "lifecycleRules"), beside)
        yield from demand(truth, "keeps what models were asked for too long", subject, bucket.urn)


def _expires(owner: Resource, key: str) -> Truth:
    return owner.at(key).any(lambda rule: _expires_everything(rule, owner))


def _expires_everything(rule: View, owner: Resource) -> Truth:
    filters = (rule.at(f"filter.{name}").is_given() for name in ("prefix", "tag", "and"))
    return all_of(
        any_of(rule.at("status").equals("Enabled"), rule.at("enabled").equals(True)),
        _is_short(rule.at("expiration.days"), owner),
        negate(any_of(rule.at("prefix").is_given(), rule.at("tags").is_given(), *filters)),
    )


def _is_short(days: View, owner: Resource) -> Truth:
    longest = float(str(owner.settings["content_days_max"]))
    return all_of(days.at_least(1), negate(days.at_least(longest + 1)))


_LOG: Final = Resource.example(
    LOGGING, {"loggingConfig": {"s3Config": {"keyPrefix": "calls"}}}, "logging", loggingConfig="content"
)
_LOG_BY_NAME: Final = Resource.example(
    LOGGING, {"loggingConfig": {"s3Config": {"bucketName": "content"}, "cloudwatchConfig": {"logGroupName": "calls"}}}
)
_LARGE: Final = Resource.example(
    LOGGING, {"loggingConfig": {"cloudwatchConfig": {"largeDataDeliveryS3Config": {"bucketName": "content"}}}}
)
_CONTENT: Final = Resource.example(BUCKET, {"bucket": "content"}, "content")
_OTHER: Final = Resource.example(BUCKET, {"bucket": "other"}, "other")
_EXPIRE: Final = {"status": "Enabled", "expiration": {"days": 30.0}}


def _lifecycle(**changes: object) -> Resource:
    return Resource.example(LIFECYCLE, {"rules": [{**_EXPIRE, **changes}]}, "lifecycle", bucket="content")


def _inline(**changes: object) -> Resource:
    rule = {"enabled": True, "expiration": {"days": 30.0}, **changes}
    return Resource.example(BUCKET, {"bucket": "content", "lifecycleRules": [rule]}, "content")


def _group(**props: object) -> Resource:
    return Resource.example(LOG_GROUP, {"name": "calls", **props}, "content")


_CONTROLS: Final = Controls(
    soc2=("CC6.1", "C1.1", "C1.2"),
    iso27001_2022=("A.8.10", "A.8.15", "A.5.34"),
    nist_800_53_r5=("AU-9", "AU-11", "SI-12"),
    owasp_llm=("LLM02:2026",),
    atlas=("AML.M0012", "AML.M0024"),
)

CONTENT_ENDS = StackRule(
    name="bedrock-log-require-end",
    description="What models were asked and answered is kept for a short, stated time; evidence is another class.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Set retention_in_days of the log group, and an expiration for every object of the bucket.",
    settings={"content_days_max": 90},
    checkov=("CKV2_AWS_61", "CKV_AWS_66"),
    check=_ends,
    obeys={
        "a bucket that empties": (_LOG, _CONTENT, _lifecycle()),
        "after the longest time": (_LOG, _CONTENT, _lifecycle(expiration={"days": 90.0})),
        "after a day": (_LOG, _CONTENT, _lifecycle(expiration={"days": 1.0})),
        "a bucket by name": (_LOG_BY_NAME, _CONTENT, _lifecycle()),
        "one of two rules": (
            _LOG,
            _CONTENT,
            Resource.example(LIFECYCLE, {"rules": [{"status": "Enabled"}, _EXPIRE]}, "lifecycle", bucket="content"),
        ),
        "inside the bucket": (_LOG, _inline()),
        "a log group": (_LOG, _group(retentionInDays=7.0)),
        "a log group by name": (_LOG_BY_NAME, _group(retentionInDays=90.0)),
        "a bucket for large bodies": (_LARGE, _CONTENT, _lifecycle()),
    },
    breaks={
        "a bucket that keeps all": (_LOG, _CONTENT),
        "a bucket by name that keeps all": (_LOG_BY_NAME, _CONTENT),
        "a bucket for large bodies that keeps all": (_LARGE, _CONTENT),
        "another bucket empties": (
            _LOG,
            _CONTENT,
            _OTHER,
            Resource.example(LIFECYCLE, {"rules": [_EXPIRE]}, bucket="other"),
        ),
        "too late": (_LOG, _CONTENT, _lifecycle(expiration={"days": 91.0})),
        "never": (_LOG, _CONTENT, _lifecycle(expiration=None)),
        "after no day": (_LOG, _CONTENT, _lifecycle(expiration={"days": 0.0})),
        "switched off": (_LOG, _CONTENT, _lifecycle(status="Disabled")),
        "one folder only": (_LOG, _CONTENT, _lifecycle(filter={"prefix": "calls/"})),
        "one folder only, as it was written before": (_LOG, _CONTENT, _lifecycle(prefix="calls/")),
        "one tag only": (_LOG, _CONTENT, _lifecycle(filter={"tag": {"key": "a", "value": "b"}})),
        "one tag in one folder only": (_LOG, _CONTENT, _lifecycle(filter={"and": {"prefix": "calls/"}})),
        "inside the bucket, switched off": (_LOG, _inline(enabled=False)),
        "inside the bucket, one tag only": (_LOG, _inline(tags={"a": "b"})),
        "a log group that keeps all": (_LOG, _group()),
        "a log group that keeps too long": (_LOG, _group(retentionInDays=120.0)),
        "a log group by name that keeps too long": (_LOG_BY_NAME, _group(retentionInDays=91.0)),
    },
    neighbours={
        "evidence is kept for years": (_LOG, _CONTENT, _lifecycle(), _OTHER),
        "logs of a program are kept for years": (
            _LOG,
            Resource.example(LOG_GROUP, {"name": "gateway", "retentionInDays": 400.0}, "gateway"),
        ),
        "a nameless log group beside a bucket as sink": (_LOG, Resource.example(LOG_GROUP, {"tags": {}}, "gateway")),
    },
)


def _readers_logged(stack: Stack) -> Iterator[Outcome]:
    yield from needs(_buckets(stack), _NO_LOG)
    for bucket in _buckets(stack):
        beside = any_part(stack, bucket, ACCESS_LOGGING, lambda one: one.at("targetBucket").is_given())
        truth = any_of(bucket.at("logging.targetBucket").is_given(), beside)
        subject = View(None, f"bucket '{bucket.name}'")
        yield from demand(truth, "nobody hears who reads what models were asked", subject, bucket.urn)


def _access_log(target: str | None, bucket: str = "content") -> Resource:
    return Resource.example(ACCESS_LOGGING, {"targetBucket": target}, "logging", bucket=bucket)


READERS_LOGGED = StackRule(
    name="bedrock-log-bucket-require-access-log",
    description="A bucket that keeps what models were asked and answered logs who reads it.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Add aws.s3.BucketLogging for the bucket, to a bucket for access logs.",
    checkov=("CKV_AWS_18",),
    check=_readers_logged,
    obeys={
        "beside the bucket": (_LOG, _CONTENT, _access_log("access")),
        "inside the bucket": (
            _LOG,
            Resource.example(BUCKET, {"bucket": "content", "logging": {"targetBucket": "access"}}, "content"),
        ),
    },
    breaks={
        "left out, and AWS's default is none": (_LOG, _CONTENT),
        "by name": (_LOG_BY_NAME, _CONTENT),
        "nowhere": (_LOG, _CONTENT, _access_log(None)),
        "another bucket's": (_LOG, _CONTENT, _OTHER, _access_log("access", "other")),
    },
    neighbours={
        "a bucket that keeps something else": (_LOG, _CONTENT, _access_log("access"), _OTHER),
        "models logged to a group": (_LOG, _group(retentionInDays=7.0)),
    },
)


_NO_CALLER: Final = "no role of the stack calls a model"


def _callers_kept_out(stack: Stack) -> Iterator[Outcome]:
    roles = permissions_by_role(stack)
    callers = {role: calls for role, held in roles.items() if (calls := _may_call(held)) is not Truth.NO}
    yield from needs(callers, _NO_CALLER)
    for role, calls in callers.items():
        for document in roles[role]:
            opened = document.any([all_of(one.allows(), _opens_logs(stack, one)) for one in document.statements])
            both = all_of(calls, opened)
            yield from forbid(both, "lets a caller of models at the logs of them", document.view, role)


def _may_call(documents: tuple[Document, ...]) -> Truth:
    return any_of(
        *(one.any([all_of(each.allows(), each.covers(*_CALLS)) for each in one.statements]) for one in documents)
    )


def _opens_logs(stack: Stack, statement: Statement) -> Truth:
    return any_of(
        _does(statement, _READ_OR_DELETE, (_reaches_bucket(statement, one.at("bucket")) for one in _buckets(stack))),
        _does(statement, _READ_OR_DELETE_LOGS, (_reaches_group(statement, one.at("name")) for one in _groups(stack))),
        _does(statement, _ALTER_EVIDENCE, _reached_evidence(stack, statement)),
    )


def _does(statement: Statement, actions: tuple[str, ...], reached: Iterator[Truth]) -> Truth:
    """Whether it lets one of the actions be done to what it reaches, which is not asked where it does not."""
    covers = statement.covers(*actions)
    return covers if covers is Truth.NO else all_of(covers, any_of(*reached))


def _reached_evidence(stack: Stack, statement: Statement) -> Iterator[Truth]:
    for bucket, locked in _evidence(stack):
        yield all_of(locked, _reaches_bucket(statement, bucket.at("bucket")))


@once_per_stack
def _evidence(stack: Stack) -> tuple[tuple[Resource, Truth], ...]:
    """Buckets that are locked, or may be."""
    locked = ((one, one.at("objectLockEnabled").equals(True)) for one in stack.of_type(BUCKET))
    return tuple((one, truth) for one, truth in locked if truth is not Truth.NO)


def _reaches_bucket(statement: Statement, name: View) -> Truth:
    """Some of its objects are enough, so the part behind the bucket's name does not count."""
    return any_of(*(_covers(one, name, r"(arn:[^:]*:s3:[^:]*:[^:]*:)?([^:/]+)(/.*)?") for one in statement.resources()))


def _reaches_group(statement: Statement, name: View) -> Truth:
    pattern = r"(arn:[^:]*:logs:[^:]*:[^:]*:log-group:)?([^:]+)(:.*)?"
    return any_of(*(_covers(one, name, pattern) for one in statement.resources()))


def _covers(resource: View, name: View, shape: str) -> Truth:
    if resource.is_unknown or name.is_unknown:
        return Truth.UNKNOWN
    found = re.fullmatch(shape, resource.text)
    return Truth.of(found is not None and fnmatchcase(name.text, found.group(2)))


def _permission(action: object, resource: object, name: str = "permission", **changes: object) -> Resource:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **changes}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return Resource.example(ROLE_POLICY, {"policy": json.dumps(document)}, name, role="gateway")


_GATEWAY: Final = Resource.example(ROLE, {"name": "gateway"}, "gateway")
_CALL: Final = _permission(
    "bedrock:InvokeModel", "arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0"
)
_CALL_BY_NAME: Final = Resource.example(ROLE_POLICY, {"role": "gateway", "policy": _CALL.at("policy").text}, "call")
_EVIDENCE: Final = Resource.example(BUCKET, {"bucket": "evidence", "objectLockEnabled": True}, "evidence")
_CALLER: Final = (_LOG_BY_NAME, _CONTENT, _group(), _EVIDENCE, _GATEWAY, _CALL)
_OBJECTS: Final = "arn:aws:s3:::content/*"
_EVENTS: Final = "arn:aws:logs:eu-central-1:111122223333:log-group:calls:*"

CALLERS_KEPT_OUT = StackRule(
    name="bedrock-caller-disallow-logs",
    description="A role that calls models reads and deletes nothing of the log of their calls, and alters no evidence.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC7.2", "C1.1"),
        iso27001_2022=("A.8.15", "A.5.33", "A.5.3"),
        nist_800_53_r5=("AU-9", "AC-5", "AC-6"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.M0024",),
    ),
    remediation="Give reading and deleting of logs to another role; let the caller write what it has to, at most.",
    check=_callers_kept_out,
    obeys={
        "writes evidence, reads what it wrote": (
            *_CALLER,
            _permission(["s3:PutObject", "s3:GetObject"], "arn:aws:s3:::evidence/heads/*", "evidence-permission"),
        ),
        "reads another bucket": (*_CALLER, _permission("s3:GetObject", "arn:aws:s3:::documents/*", "read")),
        "writes the log": (*_CALLER, _permission(["s3:PutObject", "logs:PutLogEvents"], "*", "write")),
        "is denied the log": (*_CALLER, _permission("s3:GetObject", _OBJECTS, "deny", Effect="Deny")),
    },
    breaks={
        "reads the log": (*_CALLER, _permission("s3:GetObject", _OBJECTS, "read")),
        "reads some of the log": (*_CALLER, _permission("s3:GetObject", "arn:aws:s3:::content/bedrock/*", "read")),
        "reads every bucket": (*_CALLER, _permission("s3:Get*", "*", "read")),
        "reads by a pattern": (*_CALLER, _permission("s3:GetObjectVersion", "arn:aws:s3:::con*/*", "read")),
        "reads the log beside another bucket": (
            *_CALLER,
            _permission("s3:GetObject", ["arn:aws:s3:::other/*", _OBJECTS], "read"),
        ),
        "reads the log group beside another": (
            *_CALLER,
            _permission("logs:GetLogEvents", [_EVENTS.replace("calls", "gateway"), _EVENTS], "read"),
        ),
        "reads one of two buckets": (
            *_CALLER,
            Resource.example(LOGGING, {"loggingConfig": {"s3Config": {"bucketName": "other"}}}, "second"),
            _OTHER,
            _permission("s3:GetObject", _OBJECTS, "read"),
        ),
        "reads one of two log groups": (
            *_CALLER,
            Resource.example(LOGGING, {"loggingConfig": {"cloudwatchConfig": {"logGroupName": "more"}}}, "second"),
            Resource.example(LOG_GROUP, {"name": "more"}, "more"),
            _permission("logs:GetLogEvents", _EVENTS, "read"),
        ),
        "deletes the log": (*_CALLER, _permission("s3:DeleteObject", _OBJECTS, "delete")),
        "deletes versions of the log": (*_CALLER, _permission("s3:DeleteObjectVersion", _OBJECTS, "delete")),
        "reads the log group": (*_CALLER, _permission("logs:GetLogEvents", _EVENTS, "read")),
        "filters the log group": (*_CALLER, _permission("logs:FilterLogEvents", _EVENTS, "read")),
        "queries the log group": (*_CALLER, _permission("logs:StartQuery", _EVENTS, "read")),
        "deletes the log group": (*_CALLER, _permission("logs:DeleteLogGroup", "*", "delete")),
        "deletes a stream of the log group": (*_CALLER, _permission("logs:DeleteLogStream", _EVENTS, "delete")),
        "deletes evidence": (*_CALLER, _permission("s3:DeleteObjectVersion", "arn:aws:s3:::evidence/*", "delete")),
        "goes round the lock": (*_CALLER, _permission("s3:BypassGovernanceRetention", "*", "bypass")),
        "shortens the lock": (*_CALLER, _permission("s3:PutObjectRetention", "arn:aws:s3:::evidence/*", "lock")),
        "takes the lock away": (
            *_CALLER,
            _permission("s3:PutBucketObjectLockConfiguration", "arn:aws:s3:::evidence", "lock"),
        ),
        "lets evidence expire": (*_CALLER, _permission("s3:PutLifecycleConfiguration", "arn:aws:s3:::evidence", "end")),
        "all in one policy": (
            *_CALLER[:-1],
            _permission(["sagemaker:InvokeEndpoint", "s3:GetObject"], "*"),
        ),
        "streams answers": (
            *_CALLER[:-1],
            _permission(["bedrock:InvokeModelWithResponseStream", "s3:GetObject"], "*"),
        ),
        "streams answers of an endpoint": (
            *_CALLER[:-1],
            _permission(["sagemaker:InvokeEndpointWithResponseStream", "s3:GetObject"], "*"),
        ),
        "called by name, read by dependency": (
            *_CALLER[:-1],
            _CALL_BY_NAME,
            _permission("s3:GetObject", _OBJECTS, "read"),
        ),
    },
    neighbours={
        "an auditor reads the log": (
            *_CALLER,
            Resource.example(
                ROLE_POLICY,
                {"policy": _permission("s3:GetObject", _OBJECTS).at("policy").text},
                "audit",
                role="auditor",
            ),
        ),
        "who reads the log is denied to call": (
            *_CALLER[:-1],
            _permission("bedrock:InvokeModel", "*", "denied", Effect="Deny"),
            _permission("s3:GetObject", _OBJECTS, "read"),
        ),
        "a caller reads another log group": (
            *_CALLER,
            _permission("logs:GetLogEvents", _EVENTS.replace("calls", "gateway"), "read"),
        ),
        "a caller deletes what is no evidence": (
            *_CALLER,
            _OTHER,
            _permission("s3:DeleteObjectVersion", "arn:aws:s3:::other/*", "delete"),
        ),
        "nobody calls a model": (_LOG, _CONTENT, _GATEWAY),
    },
)
