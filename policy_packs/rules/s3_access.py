"""S3: no access list and no policy opens a bucket, and no policy shuts its owner out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.bucket import BUCKET, NO_BUCKET, any_part
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import NO_INLINE_POLICY, lacks_inline_policy, public_statements
from policy_packs.rule import Controls, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, negate
from policy_packs.view import View

ACL: Final = "aws:s3/bucketAcl:BucketAcl"
OWNERSHIP: Final = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
POLICY: Final = "aws:s3/bucketPolicy:BucketPolicy"
ACCESS_POINT: Final = "aws:s3/accessPoint:AccessPoint"

_CONTROLS: Final = Controls(
    soc2=("CC6.1", "CC6.6"),
    iso27001_2022=("A.5.15", "A.8.3"),
    nist_800_53_r5=("AC-3", "AC-6"),
    owasp_llm=("LLM02:2026",),
)

# AllUsers is everybody; AuthenticatedUsers is everybody with any AWS account.
_EVERYBODY: Final = r".*acs\.amazonaws\.com/groups/global/(AllUsers|AuthenticatedUsers)"
_OPEN_LISTS: Final = ("public-read", "public-read-write", "authenticated-read")


def _acl_not_public(resource: Resource) -> Iterator[Outcome]:
    canned = resource.at("acl")
    yield from forbid(canned.equals(*_OPEN_LISTS), "opens the bucket to everybody", canned)
    for grant in resource.at("grants").items():
        yield from forbid(grant.at("uri").matches(_EVERYBODY), "grants to everybody", grant)
    for grant in resource.at("accessControlPolicy.grants").items():
        everybody = grant.at("grantee.uri").matches(_EVERYBODY)
        yield from forbid(everybody, "grants to everybody", grant)


def _group(name: str) -> str:
    return f"http://acs.amazonaws.com/groups/{name}"


def _granted(group: str) -> Resource:
    grant = {"permission": "READ", "grantee": {"type": "Group", "uri": _group(group)}}
    return Resource.example(ACL, {"accessControlPolicy": {"grants": [grant]}})


ACL_NOT_PUBLIC = Rule(
    name="s3-bucket-disallow-public-acl",
    description="No access control list gives everybody, or everybody with an AWS account, a bucket.",
    severity=Severity.CRITICAL,
    controls=_CONTROLS,
    remediation="Remove the list: BucketOwnershipControls with BucketOwnerEnforced turn lists off.",
    checkov=("CKV_AWS_20", "CKV_AWS_57", "CKV_AWS_375", "CKV2_AWS_43"),
    resource_types=(ACL, BUCKET),
    check=_acl_not_public,
    obeys={
        "a private list": Resource.example(ACL, {"acl": "private"}),
        "a bucket without a list, and AWS's default is private": Resource.example(BUCKET, {"tags": {}}),
        "a grant to one account": Resource.example(
            BUCKET, {"grants": [{"type": "CanonicalUser", "id": "79a5", "permissions": ["FULL_CONTROL"]}]}
        ),
        "a list of one account": Resource.example(
            ACL, {"accessControlPolicy": {"grants": [{"permission": "READ", "grantee": {"id": "79a5"}}]}}
        ),
    },
    breaks={
        "read by everybody": Resource.example(ACL, {"acl": "public-read"}),
        "written by everybody": Resource.example(BUCKET, {"acl": "public-read-write"}),
        "read by every AWS account": Resource.example(BUCKET, {"acl": "authenticated-read"}),
        "a grant to everybody": Resource.example(
            BUCKET, {"grants": [{"type": "Group", "uri": _group("global/AllUsers"), "permissions": ["READ"]}]}
        ),
        "a list for everybody": _granted("global/AllUsers"),
        "a list for every AWS account": _granted("global/AuthenticatedUsers"),
    },
    neighbours={
        "the group that delivers access logs": _granted("s3/LogDelivery"),
        "a bucket for log delivery": Resource.example(BUCKET, {"acl": "log-delivery-write"}),
        "a bucket for one availability zone has no lists": Resource.example("aws:s3/directoryBucket:DirectoryBucket"),
    },
)


def _lists_off(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(BUCKET), NO_BUCKET)
    for bucket in stack.of_type(BUCKET):
        off = any_part(stack, bucket, OWNERSHIP, _is_enforced)
        subject = View(None, f"bucket '{bucket.name}'")
        yield from demand(off, "needs BucketOwnershipControls with BucketOwnerEnforced", subject, bucket.urn)


def _is_enforced(controls: Resource) -> Truth:
    return controls.at("rule.objectOwnership").equals("BucketOwnerEnforced")


def _ownership(value: str | None) -> Resource:
    return Resource.example(OWNERSHIP, {"rule": {"objectOwnership": value}}, "ownership", bucket="archive")


_ARCHIVE = Resource.example(BUCKET, {}, "archive")

ACLS_OFF = StackRule(
    name="s3-bucket-require-acls-off",
    description="Every bucket says that access control lists are off, so that one policy decides.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Add aws.s3.BucketOwnershipControls for the bucket with object_ownership BucketOwnerEnforced.",
    checkov=("CKV2_AWS_65",),
    check=_lists_off,
    obeys={"lists are off": (_ARCHIVE, _ownership("BucketOwnerEnforced"))},
    breaks={
        "not said: a bucket from before 2023 keeps its lists": (_ARCHIVE,),
        "lists count for objects of others": (_ARCHIVE, _ownership("ObjectWriter")),
        "lists count, objects are the owner's": (_ARCHIVE, _ownership("BucketOwnerPreferred")),
        "said of another bucket": (
            Resource.example(BUCKET, {}, "other"),
            _ARCHIVE,
            _ownership("BucketOwnerEnforced"),
        ),
    },
    neighbours={"a stack without buckets": (_ownership("ObjectWriter"),)},
)


def _policy_not_public(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, BUCKET):
        yield NO_INLINE_POLICY
        return
    yield from public_statements(Document.read(resource.at("policy")))


_ALLOW: Final = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:role/reader"},
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::archive/*",
}


def _policy(type_: str = POLICY, **changes: object) -> Resource:
    statement = {key: value for key, value in {**_ALLOW, **changes}.items() if value is not None}
    return Resource.example(type_, {"policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})


POLICY_NOT_PUBLIC = Rule(
    name="s3-bucket-policy-disallow-public",
    description="No bucket policy lets everybody in.",
    severity=Severity.CRITICAL,
    controls=_CONTROLS,
    remediation="Name roles, accounts or services as principal, or narrow it with aws:PrincipalOrgID.",
    checkov=("CKV_AWS_70",),
    resource_types=(POLICY, BUCKET),
    check=_policy_not_public,
    obeys={
        "one role": _policy(),
        "everybody of one organization": _policy(
            Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
        ),
        "a policy inside the bucket": _policy(BUCKET),
    },
    breaks={
        "everybody": _policy(Principal="*"),
        "everybody as an object": _policy(Principal={"AWS": ["*"]}),
        "everybody over TLS": _policy(Principal="*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
        "inside the bucket": _policy(BUCKET, Principal="*"),
        "all but one": _policy(Principal=None, NotPrincipal={"AWS": "111122223333"}),
    },
    neighbours={
        "a denial for everybody": _policy(Effect="Deny", Principal="*"),
        "a distribution that reads": _policy(
            Principal={"Service": "cloudfront.amazonaws.com"},
            Condition={"StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::111122223333:distribution/E1"}},
        ),
        "a bucket whose policy stands elsewhere": Resource.example(BUCKET, {"tags": {}}),
    },
)


def _locks_nobody_out(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, BUCKET):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    for statement in document.statements:
        yield from forbid(_denies_repair(statement), "nobody could change this policy any more", statement.view)


def _denies_repair(statement: Statement) -> Truth:
    return all_of(
        statement.denies(),
        statement.names_everybody(),
        statement.covers("s3:PutBucketPolicy"),
        negate(statement.view.at("Condition").is_given()),
    )


NO_LOCKOUT = Rule(
    name="s3-bucket-policy-disallow-lockout",
    description="No bucket policy denies everybody to change it: the account's root alone could repair that.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("A1.2", "CC6.1"), iso27001_2022=("A.5.15", "A.8.3"), nist_800_53_r5=("AC-3", "CP-2")),
    remediation="Leave a break-glass role out by ArnNotEquals aws:PrincipalArn, or list the actions it denies.",
    checkov=("CKV_AWS_93",),
    resource_types=(POLICY, BUCKET),
    check=_locks_nobody_out,
    obeys={
        "all but one role are denied": _policy(
            Effect="Deny",
            Principal="*",
            Action="s3:*",
            Condition={"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/break-glass"}},
        ),
        "deleting alone is denied": _policy(Effect="Deny", Principal="*", Action=["s3:DeleteObject"]),
        "one role is denied": _policy(Effect="Deny", Action="s3:*"),
    },
    breaks={
        "everything is denied": _policy(Effect="Deny", Principal="*", Action="s3:*"),
        "changing policies is denied": _policy(
            Effect="Deny", Principal={"AWS": "*"}, Action=["s3:DeleteBucket", "s3:Put*"]
        ),
        "all but reading is denied": _policy(Effect="Deny", Principal="*", Action=None, NotAction="s3:GetObject"),
        "inside the bucket": _policy(BUCKET, Effect="Deny", Principal="*", Action="*"),
        "changing the policy is denied": _policy(Effect="Deny", Principal="*", Action="s3:PutBucketPolicy"),
    },
    neighbours={
        "everything is allowed, which is another rule's business": _policy(Principal="*", Action="s3:*"),
        "a bucket whose policy stands elsewhere": Resource.example(BUCKET, {"tags": {}}),
    },
)

_FOUR_BLOCKS: Final = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _access_point_private(point: Resource) -> Iterator[Outcome]:
    for name in _FOUR_BLOCKS:
        block = point.at(f"publicAccessBlockConfiguration.{name}")
        yield from demand(block.equals(True), "leaves a way for everybody, and can never be turned on later", block)


def _access_point(**blocks: object) -> Resource:
    return Resource.example(ACCESS_POINT, {"bucket": "archive", "publicAccessBlockConfiguration": blocks})


ACCESS_POINT_PRIVATE = Rule(
    name="s3-access-point-require-public-access-block",
    description="An access point keeps all four blocks of public access on.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Leave public_access_block_configuration out, or set all four to True; it cannot be changed later.",
    checkov=("CKV_AWS_392",),
    resource_types=(ACCESS_POINT,),
    check=_access_point_private,
    obeys={
        "left out, and AWS's default is on": Resource.example(ACCESS_POINT, {"bucket": "archive"}),
        "one said, three left out": _access_point(blockPublicAcls=True),
        "all said": _access_point(**dict.fromkeys(_FOUR_BLOCKS, True)),
    },
    breaks={
        "new lists are let in": _access_point(blockPublicAcls=False),
        "old lists count": _access_point(ignorePublicAcls=False),
        "new policies are let in": _access_point(blockPublicPolicy=False),
        "old policies count": _access_point(restrictPublicBuckets=False),
    },
    neighbours={
        "an access point that a function answers for": Resource.example(
            "aws:s3control/objectLambdaAccessPoint:ObjectLambdaAccessPoint"
        )
    },
)
