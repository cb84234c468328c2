"""The permissions boundary of every role that these programs make: what no task may ever do, whatever else it may.

A boundary grants nothing; it only takes away. A mistake in a role's own policy, or one that somebody adds
later by hand, ends here: no task changes identities, hands a role on, opens a model that is not logged,
leaves the account, or switches off what records it. The deployer's own role is made before these programs and
does not carry it, so it can always change what this denies.
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import allow, deny, document

IDENTITIES = (
    "iam:Add*",
    "iam:Attach*",
    "iam:ChangePassword",
    "iam:CreateAccessKey",
    "iam:CreateGroup",
    "iam:CreateInstanceProfile",
    "iam:CreateLoginProfile",
    "iam:CreateOpenIDConnectProvider",
    "iam:CreatePolicy",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:CreateSAMLProvider",
    # Not iam:CreateServiceLinkedRole: a cluster makes the ones of its load balancers, with fixed permissions.
    "iam:CreateServiceSpecificCredential",
    "iam:CreateUser",
    "iam:CreateVirtualMFADevice",
    "iam:Deactivate*",
    "iam:Delete*",
    "iam:Detach*",
    "iam:Enable*",
    "iam:Put*",
    "iam:Remove*",
    "iam:Reset*",
    "iam:Resync*",
    "iam:Set*",
    "iam:Tag*",
    "iam:Untag*",
    "iam:Update*",
    "iam:Upload*",
)
RECORDS = (
    "bedrock:DeleteModelInvocationLoggingConfiguration",
    "bedrock:PutModelInvocationLoggingConfiguration",
    "cloudtrail:DeleteTrail",
    "cloudtrail:PutEventSelectors",
    "cloudtrail:StopLogging",
    "cloudtrail:UpdateTrail",
    "ec2:DeleteFlowLogs",
    "logs:DeleteLogGroup",
    "logs:DeleteLogStream",
    "logs:DeleteRetentionPolicy",
    "logs:DisassociateKmsKey",
    "logs:PutRetentionPolicy",
    "route53resolver:DeleteResolverQueryLogConfig",
    "route53resolver:DisassociateResolverQueryLogConfig",
    "s3:BypassGovernanceRetention",
    "s3:PutBucketObjectLockConfiguration",
)
KEYS = ("kms:DisableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion")
# Models whose calls Bedrock does not log, and keys that work from anywhere.
UNLOGGED_MODELS = ("bedrock-mantle:*", "bedrock:CallWithBearerToken")


# What the policy packs know boundaries by: under this path a policy is never attached, so it grants nothing.
PATH = "/boundary/"


class PermissionsBoundaryArgs(TypedDict):
    account_id: str
    policy_name: str


class PermissionsBoundary(Component):
    """The managed policy."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: PermissionsBoundaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        policy = aws.iam.Policy(
            f"{name}-policy",
            name=args["policy_name"],
            path=PATH,
            description="What no role of this platform may do",
            policy=boundary(args["account_id"]),
            opts=self.child(),
        )
        self.arn = policy.arn
        self.register_outputs({"arn": self.arn})


def boundary(account_id: str) -> str:
    """Everything but what is denied: the role's own policy says what it may."""
    return document(
        allow("OwnPolicyDecides", ["*"], "*"),
        deny("DenyIdentities", IDENTITIES, "*"),
        deny("DenyHandingRolesOn", ["iam:PassRole"], "*"),
        deny("DenyUnloggedModels", UNLOGGED_MODELS, "*"),
        deny("DenySilencing", RECORDS, "*"),
        deny("DenyKeyDestruction", KEYS, "*"),
        deny("DenyAccount", ["account:*", "organizations:*"], "*"),
        deny(
            "DenyOtherAccounts",
            ["sts:AssumeRole"],
            "*",
            when={"StringNotEquals": {"aws:ResourceAccount": account_id}},
        ),
    )
