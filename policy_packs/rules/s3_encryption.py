"""S3: what a bucket holds is encrypted under a key of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.bucket import BUCKET, NO_BUCKET, any_part
from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.rule import Controls, Outcome, Severity, StackRule, demand
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

ENCRYPTION: Final = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
ACCESS_LOGGING: Final = "aws:s3/bucketLogging:BucketLogging"
LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
# AWS writes these logs under S3's own keys only: property by which a bucket is named, and where its name stands.
_LOG_WRITERS: Final = (
    (ACCESS_LOGGING, "targetBucket", "targetBucket"),
    (BUCKET, "logging", "logging.targetBucket"),
    (LOAD_BALANCER, "accessLogs", "accessLogs.bucket"),
    (LOAD_BALANCER, "connectionLogs", "connectionLogs.bucket"),
    (LOAD_BALANCER, "healthCheckLogs", "healthCheckLogs.bucket"),
)


def _encrypted(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(BUCKET), NO_BUCKET)
    for bucket in stack.of_type(BUCKET):
        inline = _names_own_key(bucket.at("serverSideEncryptionConfiguration.rule"))
        under_own_key = any_of(inline, any_part(stack, bucket, ENCRYPTION, _every_rule_names_own_key))
        subject = View(None, f"bucket '{bucket.name}'")
        truth = any_of(under_own_key, receives_logs(stack, bucket))
        yield from demand(truth, "is not encrypted under a key of ours", subject, bucket.urn)


def _every_rule_names_own_key(configuration: Resource) -> Truth:
    rules = configuration.at("rules")
    return all_of(rules.is_given(), rules.every(_names_own_key))


def _names_own_key(rule: View) -> Truth:
    default = rule.at("applyServerSideEncryptionByDefault")
    return all_of(
        default.at("sseAlgorithm").equals("aws:kms", "aws:kms:dsse"), is_customer_key(default.at("kmsMasterKeyId"))
    )


def receives_logs(stack: Stack, bucket: Resource) -> Truth:
    """Whether S3 or a load balancer writes its access logs here."""
    targets, name = _log_targets(stack), bucket.at("bucket")
    if bucket.urn in targets.urns:
        return Truth.YES
    named = Truth.YES if name.text in targets.names else targets.may_be_more
    return all_of(name.is_given(), named)


@dataclass(frozen=True)
class _Targets:
    """Buckets to which logs are written: by dependency, or by name where there is none."""

    urns: frozenset[str]
    names: frozenset[str]
    may_be_more: Truth


@once_per_stack
def _log_targets(stack: Stack) -> _Targets:
    """Read once: every bucket is asked about."""
    writers = [(one, key, path) for kind, key, path in _LOG_WRITERS for one in stack.of_type(kind)]
    urns = frozenset(urn for one, key, _ in writers for urn in one.joined.get(key, ()))
    named = [one.at(path) for one, key, path in writers if not one.joined.get(key)]
    names = frozenset(one.text for one in named)
    return _Targets(urns, names, Truth.UNKNOWN if any(one.is_unknown for one in named) else Truth.NO)


def _encryption(algorithm: str, key: str | None = None, name: str = "encryption") -> Resource:
    rule = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm, "kmsMasterKeyId": key}}
    return Resource.example(ENCRYPTION, {"rules": [rule]}, name, bucket="archive")


def _inline(algorithm: str, key: str) -> Resource:
    default = {"sseAlgorithm": algorithm, "kmsMasterKeyId": key}
    rule = {"applyServerSideEncryptionByDefault": default}
    return Resource.example(BUCKET, {"serverSideEncryptionConfiguration": {"rule": rule}})


_ARCHIVE: Final = Resource.example(BUCKET, {"bucket": "archive"}, "archive")
_BALANCER: Final = Resource.example(LOAD_BALANCER, {"accessLogs": {"bucket": "archive"}}, "balancer")

CUSTOMER_KEY = StackRule(
    name="s3-bucket-require-customer-key",
    description="Every bucket encrypts under a customer managed key, but those that take logs AWS writes without one.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-12", "SC-28", "SC-28(1)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Add BucketServerSideEncryptionConfiguration with sse_algorithm aws:kms and kms_master_key_id.",
    checkov=("CKV_AWS_19", "CKV_AWS_145"),
    check=_encrypted,
    obeys={
        "a key of ours": (_ARCHIVE, _encryption("aws:kms", OWN_KEY)),
        "two layers under a key of ours": (_ARCHIVE, _encryption("aws:kms:dsse", OWN_KEY)),
        "inside the bucket": (_inline("aws:kms", OWN_KEY),),
        "a bucket for access logs": (
            _ARCHIVE,
            Resource.example(ACCESS_LOGGING, {}, "logging", targetBucket="archive"),
        ),
        "a bucket for access logs, by name": (
            _ARCHIVE,
            Resource.example(ACCESS_LOGGING, {"targetBucket": "archive"}, "logging"),
        ),
        "a bucket for logs of a load balancer": (_ARCHIVE, _BALANCER),
        "a bucket for connection logs": (
            _ARCHIVE,
            Resource.example(LOAD_BALANCER, {"connectionLogs": {"bucket": "archive"}}),
        ),
        "a bucket for health check logs": (
            _ARCHIVE,
            Resource.example(LOAD_BALANCER, {"healthCheckLogs": {"bucket": "archive"}}),
        ),
    },
    breaks={
        "left out, and AWS's default is a key of S3": (_ARCHIVE,),
        "a key of S3": (_ARCHIVE, _encryption("AES256", OWN_KEY)),
        "the key that AWS manages": (_ARCHIVE, _encryption("aws:kms")),
        "the key that AWS manages, by name": (_ARCHIVE, _encryption("aws:kms", "alias/aws/s3")),
        "inside the bucket, a key of S3": (_inline("AES256", OWN_KEY),),
        "one of two rules": (
            _ARCHIVE,
            Resource.example(
                ENCRYPTION,
                {
                    "rules": [
                        {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": OWN_KEY}},
                        {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}},
                    ]
                },
                "encryption",
                bucket="archive",
            ),
        ),
        "no rule": (_ARCHIVE, Resource.example(ENCRYPTION, {"rules": []}, "encryption", bucket="archive")),
        "another bucket takes the logs": (
            _ARCHIVE,
            Resource.example(ACCESS_LOGGING, {"targetBucket": "archive"}, "logging", targetBucket="other"),
        ),
        "a bucket without a name beside a writer without a bucket": (
            Resource.example(BUCKET, {}),
            Resource.example(LOAD_BALANCER, {}),
        ),
        "the bucket that is logged, not the one that takes the log": (
            Resource.example(BUCKET, {"bucket": "archive", "logging": {"targetBucket": "other"}}, "archive"),
        ),
    },
    neighbours={
        "a bucket of another stack": (_encryption("AES256"),),
        "a bucket that another one logs to": (
            _ARCHIVE,
            Resource.example(
                BUCKET,
                {
                    "logging": {"targetBucket": "archive"},
                    "serverSideEncryptionConfiguration": {
                        "rule": {
                            "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": OWN_KEY}
                        }
                    },
                },
                "logged",
            ),
        ),
    },
)
