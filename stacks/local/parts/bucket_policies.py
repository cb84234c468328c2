"""Puts our policy evaluator in the place of moto's own check of bucket policies.

moto takes a condition that does not hold for a Deny, so that every usual policy ("deny unless over TLS")
refuses every object call. Here each S3 call is judged under the action that AWS would name and the context
that the request really has. What the evaluator cannot judge is refused, with a sentence in the log.

Only explicit denials of bucket policies are enforced: identity policies are not, as everywhere in moto.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import request as current_request
from moto.ec2.models import ec2_backends
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import MotoRequestHandler
from moto.s3.exceptions import BucketAccessDeniedError, MissingBucket
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.sts.models import sts_backends

from stacks.local.iam.pattern import ContextValue
from stacks.local.parts.aws import ORGANIZATION_ID
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, PolicyError, Request, evaluate

TLS_VERSION = "local.tls_version"  # key in the WSGI environment

_log = logging.getLogger(__name__)
_access_key = re.compile(r"Credential=([^/,\s]+)/")
_conditional_put = threading.Lock()

# AWS leaves these to the root user whatever the policy says, so that nobody locks a bucket for good.
_NEVER_LOCKED_OUT = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")

_FROM_HEADERS = {
    "s3:x-amz-acl": "x-amz-acl",
    "s3:x-amz-content-sha256": "x-amz-content-sha256",
    "s3:x-amz-copy-source": "x-amz-copy-source",
    "s3:x-amz-server-side-encryption": "x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-storage-class": "x-amz-storage-class",
    "s3:object-lock-mode": "x-amz-object-lock-mode",
    "s3:object-lock-legal-hold": "x-amz-object-lock-legal-hold",
    "s3:if-none-match": "If-None-Match",
    "s3:if-match": "If-Match",
    "aws:UserAgent": "User-Agent",
    "aws:Referer": "Referer",
}
_FROM_QUERY = {
    "s3:prefix": "prefix",
    "s3:delimiter": "delimiter",
    "s3:max-keys": "max-keys",
    "s3:VersionId": "versionId",
}


class TlsRequestHandler(MotoRequestHandler):
    """Tells the application which TLS version the connection really has."""

    disable_nagle_algorithm = True  # head and body are written apart; together they would wait 40 ms

    def make_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().make_environ()
        if isinstance(self.connection, ssl.SSLSocket):
            environ[TLS_VERSION] = (self.connection.version() or "").removeprefix("TLSv")
        return environ


def install() -> None:
    """Replaces the check in this process; moto has no setting for it."""
    judge_first(S3Response)
    judge_deletions(FakeBucket)
    one_conditional_put_at_a_time(S3Response)


def judge_first(response: type[Any]) -> None:
    """Every S3 operation passes moto's authentication step after it knows its action: judge there."""
    original = response._authenticate_and_authorize_s3_action

    def authorize(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
        if bucket_name and not is_allowed(self, bucket_name, key_name, f"s3:{self._get_action()}"):
            raise BucketAccessDeniedError(bucket=bucket_name)
        original(self, bucket_name=bucket_name, key_name=key_name)

    response._authenticate_and_authorize_s3_action = authorize


def judge_deletions(bucket_class: type[Any]) -> None:
    """moto's own check guesses the action from the HTTP method, and has nothing left to say.

    Except in DeleteObjects, where each key is judged by itself and nobody else asks.
    """

    def get_permission(self: Any, action: str, resource: str) -> PermissionResult:
        deletes_many = current_request.method == "POST" and "delete" in current_request.args
        if deletes_many and is_denied(self, action, resource, current_request, self.region_name):
            return PermissionResult.DENIED
        return PermissionResult.NEUTRAL

    bucket_class.get_permission = get_permission


def one_conditional_put_at_a_time(response: type[Any]) -> None:
    """moto looks whether the object exists and writes it later; between the two another thread may write."""
    original = response.put_object

    def put_object(self: Any) -> Any:
        if not (self.headers.get("If-None-Match") or self.headers.get("If-Match")):
            return original(self)
        with _conditional_put:
            return original(self)

    response.put_object = put_object


def is_allowed(response: Any, bucket_name: str, key_name: str | None, action: str) -> bool:
    try:
        bucket = response.backend.get_bucket(bucket_name)
    except MissingBucket:
        return True  # the operation itself says that there is none
    resource = bucket.arn if key_name is None else f"{bucket.arn}/{key_name}"
    return not is_denied(bucket, action, resource, response.request, response.region)


def is_denied(bucket: Any, action: str, resource: str, http: Any, region: str) -> bool:
    if bucket.policy is None:
        return False
    caller, role_arn = _caller(http, bucket.account_id, bucket.partition)
    if action in _NEVER_LOCKED_OUT and caller.endswith(":root"):
        return False
    context = _context(http, role_arn, bucket.account_id, region)
    if caller:
        context["aws:PrincipalOrgID"] = ORGANIZATION_ID  # every caller that moto knows is of its only account
    call = Request(caller, action, resource, context, resource_account=bucket.account_id)
    try:
        # With full access of its own, only an explicit Deny in the bucket policy can refuse the caller.
        decision = evaluate(call, identity=[FULL_AWS_ACCESS], resource=[json.loads(bucket.policy)])
    except PolicyError as error:
        _log.error("%s on %s refused: its bucket policy cannot be judged: %s", action, resource, error)
        return True
    if not decision.allowed:
        _log.warning("%s on %s refused to %s: %s", action, resource, caller, decision.reason)
    return not decision.allowed


def _context(http: Any, role_arn: str, account: str, region: str) -> dict[str, ContextValue]:
    query = parse_qs(urlsplit(http.url).query, keep_blank_values=True)
    now = datetime.datetime.now(datetime.UTC)
    known: dict[str, ContextValue | None] = {
        **{key: http.headers.get(header) for key, header in _FROM_HEADERS.items()},
        **{key: query.get(name, [None])[0] for key, name in _FROM_QUERY.items()},
        "aws:SecureTransport": TLS_VERSION in http.environ,
        "s3:TlsVersion": http.environ.get(TLS_VERSION),
        "s3:authType": "REST-QUERY-STRING" if "X-Amz-Signature" in query else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:ResourceAccount": account,
        "aws:RequestedRegion": region,
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": int(now.timestamp()),
        "aws:PrincipalArn": role_arn or None,
        **(_inside_network(account, region) if role_arn else {"aws:SourceIp": http.remote_addr}),
    }
    return {key: value for key, value in known.items() if value is not None}


def _inside_network(account: str, region: str) -> Mapping[str, ContextValue]:
    """A role's session stands for a task in the VPC: its calls come through the VPC's endpoint for S3."""
    for endpoint in ec2_backends[account][region].vpc_end_points.values():
        if endpoint.service_name.endswith(".s3"):
            return {"aws:SourceVpce": endpoint.id, "aws:SourceVpc": endpoint.vpc_id}
    return {}


def _caller(http: Any, account: str, partition: str) -> tuple[str, str]:
    """The ARN of the caller, and of its role if it is a session of one.

    moto checks no signatures, so an access key it does not know is taken for the account's root.
    """
    found = _access_key.search(http.headers.get("Authorization", ""))
    key = found.group(1) if found else str(http.args.get("X-Amz-Credential", "")).split("/")[0]
    if not key:
        return "", ""
    for session in sts_backends[account][partition].assumed_roles:
        if session.access_key_id == key:
            return str(session.arn), str(session.role_arn)
    for user in iam_backends[account][partition].users.values():
        if any(one.access_key_id == key for one in user.access_keys):
            return str(user.arn), ""
    return f"arn:{partition}:iam::{account}:root", ""
