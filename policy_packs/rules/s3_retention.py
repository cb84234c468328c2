"""S3: versions stay, and what was never finished goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.bucket import BUCKET, NO_BUCKET, VERSIONING, is_versioned
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View

LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


def _versions_kept(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(BUCKET), NO_BUCKET)
    for bucket in stack.of_type(BUCKET):
        subject = View(None, f"bucket '{bucket.name}'")
        yield from demand(is_versioned(stack, bucket), "keeps no versions", subject, bucket.urn)


def _versioning(status: str) -> Resource:
    content = {"versioningConfiguration": {"status": status}}
    return Resource.example(VERSIONING, content, "versioning", bucket="archive")


_ARCHIVE: Final = Resource.example(BUCKET, {"tags": {}}, "archive")

VERSIONED = StackRule(
    name="s3-bucket-require-versioning",
    description="Every bucket keeps the versions that somebody overwrites or deletes.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("A1.2", "CC7.5"),
        iso27001_2022=("A.8.13", "A.5.33"),
        nist_800_53_r5=("CP-9", "SI-7"),
        owasp_llm=("LLM05:2026",),
    ),
    remediation="Add aws.s3.BucketVersioning with status Enabled, and let old versions expire by a lifecycle rule.",
    checkov=("CKV_AWS_21",),
    check=_versions_kept,
    obeys={
        "beside the bucket": (_ARCHIVE, _versioning("Enabled")),
        "inside the bucket": (Resource.example(BUCKET, {"versioning": {"enabled": True}}),),
    },
    breaks={
        "left out, and AWS's default is off": (_ARCHIVE,),
        "suspended": (_ARCHIVE, _versioning("Suspended")),
        "never on": (_ARCHIVE, _versioning("Disabled")),
        "off inside the bucket": (Resource.example(BUCKET, {"versioning": {"enabled": False}}),),
        "another bucket's": (Resource.example(BUCKET, {}, "other"), _ARCHIVE, _versioning("Enabled")),
    },
    neighbours={"a bucket of another stack": (_versioning("Suspended"),)},
)


def _uploads_aborted(resource: Resource) -> Iterator[Outcome]:
    if resource.type == BUCKET and resource.at("lifecycleRules").value is MISSING:
        yield NotApplicable("its lifecycle, if any, is a resource of its own")
        return
    name, aborts = ("lifecycleRules", _aborts_inline) if resource.type == BUCKET else ("rules", _aborts)
    rules = resource.at(name)
    yield from demand(rules.any(aborts), "no rule on every object removes what an upload left behind", rules)


def _aborts(rule: View) -> Truth:
    return all_of(
        rule.at("status").equals("Enabled"),
        rule.at("abortIncompleteMultipartUpload.daysAfterInitiation").at_least(1),
        _is_empty(rule.at("prefix")),
        *(_is_empty(rule.at(f"filter.{name}")) for name in _NARROWINGS),
    )


_NARROWINGS: Final = ("prefix", "tag", "and", "objectSizeGreaterThan", "objectSizeLessThan")


def _aborts_inline(rule: View) -> Truth:
    return all_of(
        rule.at("enabled").equals(True),
        rule.at("abortIncompleteMultipartUploadDays").at_least(1),
        _is_empty(rule.at("prefix")),
        _is_empty(rule.at("tags")),
    )


def _is_empty(narrowing: View) -> Truth:
    return any_of(negate(narrowing.is_given()), narrowing.equals({}))


_ABORT: Final = {"status": "Enabled", "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7.0}}
_ABORT_INLINE: Final = {"enabled": True, "abortIncompleteMultipartUploadDays": 7.0}


def _lifecycle(**changes: object) -> Resource:
    return Resource.example(LIFECYCLE, {"rules": [{**_ABORT, **changes}]})


def _inline(**changes: object) -> Resource:
    return Resource.example(BUCKET, {"lifecycleRules": [{**_ABORT_INLINE, **changes}]})


UPLOADS_ABORTED = Rule(
    name="s3-lifecycle-require-abort-of-uploads",
    description="A lifecycle removes the parts of uploads that were never finished: no listing shows them.",
    severity=Severity.LOW,
    controls=Controls(
        soc2=("C1.2",), iso27001_2022=("A.8.10",), nist_800_53_r5=("SI-12", "SC-5"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Add an enabled rule without filter whose abort_incomplete_multipart_upload has days_after_initiation.",
    checkov=("CKV_AWS_300",),
    resource_types=(LIFECYCLE, BUCKET),
    check=_uploads_aborted,
    obeys={
        "on every object": _lifecycle(),
        "after a day": _lifecycle(abortIncompleteMultipartUpload={"daysAfterInitiation": 1.0}),
        "with an empty filter": _lifecycle(filter={"prefix": ""}),
        "with a filter of nothing": _lifecycle(filter={"and": {}}),
        "one of two rules": Resource.example(LIFECYCLE, {"rules": [{"status": "Enabled"}, _ABORT]}),
        "inside the bucket": _inline(),
        "inside the bucket, after a day": _inline(abortIncompleteMultipartUploadDays=1.0),
    },
    breaks={
        "no such rule": _lifecycle(abortIncompleteMultipartUpload=None),
        "after no day": _lifecycle(abortIncompleteMultipartUpload={"daysAfterInitiation": 0.0}),
        "switched off": _lifecycle(status="Disabled"),
        "one folder only": _lifecycle(filter={"prefix": "uploads/"}),
        "one folder only, as it was written before": _lifecycle(prefix="uploads/"),
        "one tag only": _lifecycle(filter={"tag": {"key": "a", "value": "b"}}),
        "one tag in one folder only": _lifecycle(filter={"and": {"prefix": "uploads/"}}),
        "large objects only": _lifecycle(filter={"objectSizeGreaterThan": 1.0}),
        "small objects only": _lifecycle(filter={"objectSizeLessThan": 1.0}),
        "inside the bucket, switched off": _inline(enabled=False),
        "inside the bucket, after no day": _inline(abortIncompleteMultipartUploadDays=0.0),
        "inside the bucket, no such rule": _inline(abortIncompleteMultipartUploadDays=None),
        "inside the bucket, one folder only": _inline(prefix="uploads/"),
        "inside the bucket, one tag only": _inline(tags={"a": "b"}),
    },
    neighbours={
        "a bucket whose lifecycle stands elsewhere": Resource.example(BUCKET, {"tags": {}}),
        "the lifecycle of an image repository": Resource.example("aws:ecr/lifecyclePolicy:LifecyclePolicy"),
    },
)
