"""Every wildcard that an Allow of ours holds, and why: the reviewed list. What is not here is refused.

A wildcard is `*` in an action, the resource `*`, or a resource that names a whole kind or a family of names.
`bucket/prefix/*` is none: it names what lies in one thing of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Reviewed:
    """`kind` of resource, `sid` and `value` as patterns; the reason is for the next reviewer."""

    kind: str
    sid: str
    value: str
    reason: str

    def covers(self, kind: str, sid: str, value: str) -> bool:
        return fnmatchcase(kind, self.kind) and fnmatchcase(sid, self.sid) and self._is(value)

    def _is(self, value: str) -> bool:
        """Environments differ in account, Region and prefix: `…` stands for those, `*` for itself."""
        pattern = ".+".join(re.escape(part) for part in self.value.split("…"))
        return re.fullmatch(pattern, value) is not None


OWN_KEY = "In a key policy the resource is the key itself: nothing else can be named there."
SERVICE_PATTERN = "AWS documents the grant of this service with this pattern; it stands for the variants of one call."

WILDCARDS = (
    Reviewed("Key", "*", "*", OWN_KEY),
    Reviewed("Key", "*", "kms:GenerateDataKey*", SERVICE_PATTERN),
    Reviewed("Key", "*", "kms:ReEncrypt*", SERVICE_PATTERN),
    Reviewed("Key", "EncryptLogGroups", "kms:Encrypt*", SERVICE_PATTERN),
    Reviewed("Key", "EncryptLogGroups", "kms:Decrypt*", SERVICE_PATTERN),
    Reviewed("Key", "EncryptLogGroups", "kms:Describe*", SERVICE_PATTERN),
    Reviewed("VpcEndpoint", "OwnBuckets", "*", "Bound to the account by aws:ResourceAccount; buckets have no account."),
    Reviewed("VpcEndpoint", "OwnAccount", "*", "Bound to the account by aws:PrincipalAccount and aws:ResourceAccount."),
    Reviewed("VpcEndpoint", "OwnPrincipals", "*", "Calls about no resource; bound to the account by the caller."),
    Reviewed("VpcEndpoint", "AddOnImages", "*", "Bound by aws:ResourceAccount to the registry of EKS add-ons."),
    Reviewed(
        "RolePolicy", "Look", "*", "Describe calls of the cluster autoscaler: AWS allows them on everything only."
    ),
    Reviewed(
        "RolePolicy",
        "Resize",
        "*",
        "EKS names the group when it makes the nodes; bound by the tag that it puts on groups of this cluster.",
    ),
    Reviewed("RolePolicy", "RegistryToken", "*", "ecr:GetAuthorizationToken is about no resource."),
    Reviewed("RolePolicy", "LookAtNetwork", "*", "Describe calls of SageMaker: AWS allows them on everything only."),
    Reviewed("RolePolicy", "WriteMetrics", "*", "cloudwatch:PutMetricData is about no resource; bound by namespace."),
    Reviewed(
        "RolePolicy",
        "PlaceInterfaces",
        "arn:aws:ec2:…:network-interface/*",
        "Interfaces get their ids when they are made; subnets and group in the same statement bind the call.",
    ),
    Reviewed(
        "RolePolicy",
        "HandOverInterfaces",
        "arn:aws:ec2:…:network-interface/*",
        "Interfaces get their ids when they are made; bound to the subnets of models by ec2:Subnet.",
    ),
    Reviewed(
        "RolePolicy",
        "TenantDataKeys",
        "arn:aws:kms:…:key/*",
        "Workloads bring their keys later; each key's policy and the encryption context decide.",
    ),
    Reviewed(
        "RolePolicy",
        "DocumentKeys",
        "arn:aws:kms:…:key/*",
        "Workloads bring their keys later; only through S3 and SQS, and each key's policy decides.",
    ),
    Reviewed(
        "RolePolicy",
        "Documents",
        "arn:aws:s3:::…-docs-*-…/*",
        "Workloads come and go without the platform: their document buckets share a prefix.",
    ),
    Reviewed(
        "RolePolicy",
        "ListDocuments",
        "arn:aws:s3:::…-docs-*-…",
        "Workloads come and go without the platform: their document buckets share a prefix.",
    ),
    Reviewed(
        "RolePolicy",
        "Queues",
        "arn:aws:sqs:…-docs-*",
        "Workloads come and go without the platform: their document queues share a prefix.",
    ),
    Reviewed(
        "*",
        "*Released",
        "arn:aws:s3:::…-release-*/releases/*",
        "No environment names another's account: bound to our organization, one role, and to what was approved.",
    ),
    Reviewed(
        "RolePolicy",
        "OpenReleased",
        "arn:aws:kms:…:*:key/*",
        "No environment names another's account: bound to our organization, the release key's alias, and S3.",
    ),
    Reviewed("Policy", "OwnPolicyDecides", "*", "The permissions boundary grants nothing; its Denies take away."),
)


def wildcards(effect: str, actions: list[str], resources: list[str]) -> list[str]:
    """What of an Allow is a wildcard."""
    if effect != "Allow":
        return []
    return [action for action in actions if "*" in action or "?" in action] + [
        resource for resource in resources if names_many(resource)
    ]


def names_many(resource: str) -> bool:
    """Whether a resource stands for more than one thing of ours and what is in it."""
    if "*" not in resource:
        return False
    for end in ("/*", ":*", "*"):
        if resource.endswith(end):
            base = resource.removesuffix(end)
            break
    else:
        return True
    if "*" in base or base.count(":") < 5:
        return True
    service, name = base.split(":")[2], base.split(":", 5)[5]
    if service == "s3":
        return not name or (resource.endswith("*") and end == "*" and "/" not in name)
    return end == "*" or not any(mark in name for mark in ":/")
