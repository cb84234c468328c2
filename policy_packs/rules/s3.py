"""S3: buckets are private, speak TLS only, and keep evidence unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from policy_packs.bucket import BUCKET, NO_BUCKET, VERSIONING, any_part, is_versioned
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import NO_INLINE_POLICY, lacks_inline_policy
from policy_packs.rule import Controls, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

POLICY: Final = "aws:s3/bucketPolicy:BucketPolicy"
PUBLIC_ACCESS_BLOCK: Final = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OBJECT_LOCK: Final = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
_MODES: Final = ("COMPLIANCE", "GOVERNANCE")
_DAYS_A_YEAR: Final = 365
_FOUR_BLOCKS: Final = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _blocks_all_four(block: Resource) -> Truth:
    return all_of(*(block.at(key).equals(True) for key in _FOUR_BLOCKS))


def _public_access_blocked(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(BUCKET), NO_BUCKET)
    for bucket in stack.of_type(BUCKET):
        truth = any_part(stack, bucket, PUBLIC_ACCESS_BLOCK, _blocks_all_four)
        subject = View(None, f"bucket '{bucket.name}'")
        yield from demand(truth, "needs a BucketPublicAccessBlock with all four blocks on", subject, bucket.urn)


_ALL_ON: Final = {
    "blockPublicAcls": True,
    "blockPublicPolicy": True,
    "ignorePublicAcls": True,
    "restrictPublicBuckets": True,
}


def _block(**changes: object) -> Resource:
    return Resource.example(PUBLIC_ACCESS_BLOCK, {**_ALL_ON, **changes}, "block", bucket="archive")


_BLOCK = _block()
_ARCHIVE = Resource.example(BUCKET, {}, "archive")

PUBLIC_ACCESS = StackRule(
    name="s3-bucket-require-public-access-block",
    description="Every bucket has its own public access block with all four settings on.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "SC-7"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Add aws.s3.BucketPublicAccessBlock for the bucket with its four settings on.",
    checkov=("CKV_AWS_53", "CKV_AWS_54", "CKV_AWS_55", "CKV_AWS_56", "CKV2_AWS_6"),
    check=_public_access_blocked,
    obeys={
        "joined by dependency": (_ARCHIVE, _BLOCK),
        "joined by the bucket's literal name": (
            Resource.example(BUCKET, {"bucket": "logs"}),
            Resource.example(PUBLIC_ACCESS_BLOCK, {**_ALL_ON, "bucket": "logs"}, "block"),
        ),
    },
    breaks={
        "no block": (_ARCHIVE,),
        "a block of another bucket": (_ARCHIVE, Resource.example(BUCKET, {}, "other"), _BLOCK),
        "new lists are let in": (_ARCHIVE, _block(blockPublicAcls=False)),
        "old lists count": (_ARCHIVE, _block(ignorePublicAcls=False)),
        "new policies are let in": (_ARCHIVE, _block(blockPublicPolicy=False)),
        "one of the four is left out, and AWS's default is off": (_ARCHIVE, _block(restrictPublicBuckets=None)),
    },
    neighbours={
        "a bucket for one availability zone is never public": (
            Resource.example("aws:s3/directoryBucket:DirectoryBucket", {"bucket": "fast--euc1-az1--x-s3"}),
        ),
        "a block of a bucket in another stack": (
            Resource.example(PUBLIC_ACCESS_BLOCK, {"bucket": "elsewhere", "blockPublicAcls": False}, "block"),
        ),
    },
)


def _denies_plain_http(statement: Statement) -> Truth:
    return all_of(
        statement.denies(),
        statement.names_everybody(),
        statement.covers_every("s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"),
        statement.condition("aws:SecureTransport", "Bool").any(lambda one: one.equals("false", False)),
        negate(statement.has_other_conditions("aws:SecureTransport")),
        any_of(*(one.matches(r"\*|arn:[^:]*:s3:::[^/]*(/\*|\*)") for one in statement.resources())),
    )


def _insecure_transport_denied(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, BUCKET):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    truth = document.any([_denies_plain_http(one) for one in document.statements])
    yield from demand(truth, "denies nobody who comes without TLS", resource.at("policy"))


def _bucket_policy(*statements: object, type_: str = POLICY) -> Resource:
    return Resource.example(type_, {"policy": json.dumps({"Version": "2012-10-17", "Statement": statements})})


_DENY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::archive", "arn:aws:s3:::archive/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def _deny_but(action: str) -> dict[str, object]:
    return {**{key: value for key, value in _DENY.items() if key != "Action"}, "NotAction": action}


TLS_ONLY = Rule(
    name="s3-bucket-policy-require-tls",
    description="Every bucket policy denies requests that come without TLS.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.20", "A.8.24"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation='Add a Deny for "*" on s3:* with Bool aws:SecureTransport false, for the bucket and its objects.',
    checkov=("CKV_AWS_379",),
    resource_types=(POLICY, BUCKET),
    check=_insecure_transport_denied,
    obeys={
        "a deny for everybody": _bucket_policy(_DENY),
        "principal as an object, condition as a boolean": _bucket_policy(
            {**_DENY, "Principal": {"AWS": ["*"]}, "Condition": {"Bool": {"AWS:SecureTransport": False}}}
        ),
        "a deny for everything, whatever it comes by": _bucket_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": ["false", "true"]}}}
        ),
        "one of several statements": _bucket_policy({**_DENY, "Effect": "Allow", "Action": "s3:GetObject"}, _DENY),
        "inside the bucket": _bucket_policy(_DENY, type_=BUCKET),
    },
    breaks={
        "no deny": _bucket_policy({**_DENY, "Effect": "Allow"}),
        "a deny for one role": _bucket_policy({**_DENY, "Principal": {"AWS": "arn:aws:iam::111122223333:role/reader"}}),
        "a deny of reading only": _bucket_policy({**_DENY, "Action": "s3:GetObject"}),
        "a deny of all but reading": _bucket_policy(_deny_but("s3:GetObject")),
        "a deny of all but writing": _bucket_policy(_deny_but("s3:PutObject")),
        "a deny of all but listing": _bucket_policy(_deny_but("s3:ListBucket")),
        "a deny of all but deleting": _bucket_policy(_deny_but("s3:DeleteObject")),
        "a deny of those who come with TLS": _bucket_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
        ),
        "a deny that leaves out the objects": _bucket_policy({**_DENY, "Resource": "arn:aws:s3:::archive"}),
        "a deny that a second condition narrows": _bucket_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "true"}}}
        ),
        "no policy text": Resource.example(POLICY, {"policy": "{"}),
        "a deny of everything but TLS to one of its versions": _bucket_policy(
            {**_DENY, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}}
        ),
        "no deny inside the bucket": _bucket_policy({**_DENY, "Effect": "Allow"}, type_=BUCKET),
    },
    neighbours={
        "a bucket whose policy stands elsewhere": Resource.example(BUCKET, {"tags": {}}),
        "the policy of an access point": Resource.example(
            "aws:s3control/accessPointPolicy:AccessPointPolicy", {"policy": "{}"}
        ),
    },
)


def _policy_present(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(BUCKET), NO_BUCKET)
    for bucket in stack.of_type(BUCKET):
        truth = any_of(bucket.at("policy").is_given(), any_part(stack, bucket, POLICY, lambda _: Truth.YES))
        yield from demand(truth, "needs a BucketPolicy", View(None, f"bucket '{bucket.name}'"), bucket.urn)


POLICY_PRESENT = StackRule(
    name="s3-bucket-require-policy",
    description="Every bucket has a bucket policy of its own.",
    severity=Severity.HIGH,
    controls=Controls(soc2=("CC6.1",), iso27001_2022=("A.5.15", "A.8.3"), nist_800_53_r5=("AC-3", "SC-8")),
    remediation="Add aws.s3.BucketPolicy for the bucket; s3-bucket-policy-require-tls says what it must hold.",
    check=_policy_present,
    obeys={
        "joined by dependency": (_ARCHIVE, Resource.example(POLICY, {}, "policy", bucket="archive")),
        "inside the bucket": (Resource.example(BUCKET, {"policy": "{}"}),),
    },
    breaks={
        "none": (_ARCHIVE,),
        "another bucket's": (_ARCHIVE, Resource.example(POLICY, {}, "policy", bucket="other")),
        "empty": (Resource.example(BUCKET, {"policy": ""}),),
    },
    neighbours={"the policy of a bucket in another stack": (Resource.example(POLICY, {"bucket": "elsewhere"}),)},
)


def _locked_and_versioned(stack: Stack) -> Iterator[Outcome]:
    for bucket in stack.of_type(BUCKET):
        subject = View(None, f"bucket '{bucket.name}'")
        locked, deletable = bucket.at("objectLockEnabled").equals(True), bucket.at("forceDestroy").equals(True)
        forgets = negate(_retains(stack, bucket, _MODES, 1))
        yield from forbid(all_of(locked, forgets), "is locked without a default retention", subject, bucket.urn)
        overwritten = negate(is_versioned(stack, bucket))
        yield from forbid(all_of(locked, overwritten), "is locked without versioning", subject, bucket.urn)
        emptied = all_of(locked, deletable)
        yield from forbid(emptied, "is locked, yet forceDestroy deletes what it holds", subject, bucket.urn)


def _retains(stack: Stack, bucket: Resource, modes: Sequence[object], days_min: float) -> Truth:
    def holds(retention: View) -> Truth:
        days, years = retention.at("days"), retention.at("years")
        is_long = any_of(days.at_least(days_min), years.at_least(days_min / _DAYS_A_YEAR))
        return all_of(retention.at("mode").equals(*modes), is_long)

    satellite = any_part(stack, bucket, OBJECT_LOCK, lambda lock: holds(lock.at("rule.defaultRetention")))
    return any_of(holds(bucket.at("objectLockConfiguration.rule.defaultRetention")), satellite)


MODEL_STACK_TYPES: Final = (
    "aws:bedrock/guardrail:Guardrail",
    "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration",
)


_NO_ARCHIVE: Final = "no model and no locked bucket"


def _evidence_locked(stack: Stack) -> Iterator[Outcome]:
    yield from _locked_and_versioned(stack)
    models = stack.of_type(*MODEL_STACK_TYPES)
    locked = [one.at("objectLockEnabled").equals(True) for one in stack.of_type(BUCKET)]
    yield from needs([*models, *(one for one in locked if one is Truth.YES)], _NO_ARCHIVE)
    if models:
        subject = View(None, "stack")
        archives = (_is_archive(stack, one) for one in stack.of_type(BUCKET))
        yield from demand(any_of(*archives), "a stack that serves models keeps no locked log archive", subject)


def _is_archive(stack: Stack, bucket: Resource) -> Truth:
    """Beside an archive other buckets may be locked for less: content ends when its class says so."""
    modes, days_min = View(bucket.settings["modes"]), float(str(bucket.settings["retention_days_min"]))
    retained = _retains(stack, bucket, [one.value for one in modes.items()], days_min)
    return all_of(bucket.at("objectLockEnabled").equals(True), retained)


_LOCKED = Resource.example(BUCKET, {"objectLockEnabled": True}, "archive")


def _lock(**retention: object) -> Resource:
    return Resource.example(OBJECT_LOCK, {"rule": {"defaultRetention": retention}}, "lock", bucket="archive")


_LOCK = _lock(mode="COMPLIANCE", days=400.0)
_VERSIONS = Resource.example(
    VERSIONING, {"versioningConfiguration": {"status": "Enabled"}}, "versioning", bucket="archive"
)
_GUARDRAIL = Resource.example("aws:bedrock/guardrail:Guardrail", {}, "guardrail")

LOG_ARCHIVE_LOCKED = StackRule(
    name="s3-log-archive-require-object-lock",
    description="A stack that serves models keeps a log archive under Object Lock, versioned, not emptied by force.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.2", "C1.1"),
        iso27001_2022=("A.8.15", "A.5.33"),
        nist_800_53_r5=("AU-9", "AU-9(3)", "AU-11"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0024",),
    ),
    remediation="Create the bucket with object_lock_enabled, versioning and a default retention; no force_destroy.",
    settings={"modes": list(_MODES), "retention_days_min": 1},
    checkov=("CKV_AWS_143", "CKV_AWS_21"),
    check=_evidence_locked,
    obeys={
        "an archive by itself": (_LOCKED, _LOCK, _VERSIONS),
        "locked, retained, versioned": (_GUARDRAIL, _LOCKED, _LOCK, _VERSIONS),
        "for years": (_GUARDRAIL, _LOCKED, _VERSIONS, _lock(mode="GOVERNANCE", years=1.0)),
        "for a day": (_GUARDRAIL, _LOCKED, _VERSIONS, _lock(mode="GOVERNANCE", days=1.0)),
        "inside the bucket": (
            Resource.example(
                BUCKET,
                {
                    "objectLockEnabled": True,
                    "versioning": {"enabled": True},
                    "objectLockConfiguration": {"rule": {"defaultRetention": {"mode": "COMPLIANCE", "days": 400.0}}},
                },
                "archive",
            ),
        ),
        "one archive among other buckets": (
            _GUARDRAIL,
            Resource.example(BUCKET, {}, "other"),
            _LOCKED,
            _LOCK,
            _VERSIONS,
        ),
        "no model, no archive asked for": (_ARCHIVE,),
    },
    breaks={
        "no archive": (_GUARDRAIL, _ARCHIVE),
        "a retention of a bucket that knows no lock": (
            _GUARDRAIL,
            Resource.example(BUCKET, {}, "archive"),
            _LOCK,
            _VERSIONS,
        ),
        "no default retention": (_LOCKED, _VERSIONS),
        "versioning suspended": (
            _LOCKED,
            _LOCK,
            Resource.example(
                VERSIONING, {"versioningConfiguration": {"status": "Suspended"}}, "versioning", bucket="archive"
            ),
        ),
        "emptied by force": (
            Resource.example(BUCKET, {"objectLockEnabled": True, "forceDestroy": True}, "archive"),
            _LOCK,
            _VERSIONS,
        ),
        "a mode that S3 does not know": (_LOCKED, _VERSIONS, _lock(mode="SOMETIMES", days=400.0)),
        "for no day": (_LOCKED, _VERSIONS, _lock(mode="GOVERNANCE", days=0.0)),
        "logged invocations, and no archive": (
            Resource.example("aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration"),
        ),
    },
    neighbours={
        "a bucket that is emptied by force, and holds no evidence": (
            Resource.example(BUCKET, {"forceDestroy": True}, "scratch"),
        ),
    },
)
