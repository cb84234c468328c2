"""CloudTrail: who called which AWS API in this account, or in the whole organization, signed every hour.

Management events are recorded read and write: a model call is a read. Data events are recorded whole for each
type, because a selector that names resources drops what it does not name without a word. Network activity
says which calls an endpoint's policy refused.
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-create-and-update-a-trail-by-using-the-aws-cli-create-trail.html
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import allow, assume_role_policy, document

DATA_EVENTS = (
    "AWS::Bedrock::AgentAlias",
    "AWS::Bedrock::AsyncInvoke",
    "AWS::Bedrock::Guardrail",
    "AWS::Bedrock::InlineAgent",
    "AWS::Bedrock::KnowledgeBase",
    "AWS::Bedrock::Model",
    "AWS::S3::Object",
)
NETWORK_ACTIVITY = ("bedrock", "kms", "s3", "secretsmanager", "sts")


class TrailArgs(TypedDict):
    account_id: str
    region: str
    trail_name: str
    of_organization: bool
    bucket_name: pulumi.Input[str]
    bucket_ready: pulumi.Resource
    key_arn: pulumi.Input[str]
    log_group_name: str
    log_group_arn: pulumi.Input[str]
    role_name: str


class Trail(Component):
    """The trail, and the role with which it writes its log group."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        role, permissions = self._role(name, args)
        trail = aws.cloudtrail.Trail(
            f"{name}-trail",
            name=args["trail_name"],
            s3_bucket_name=args["bucket_name"],
            kms_key_id=args["key_arn"],
            is_organization_trail=args["of_organization"],
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            enable_logging=True,
            advanced_event_selectors=event_selectors(),
            cloud_watch_logs_group_arn=pulumi.Output.concat(args["log_group_arn"], ":*"),
            cloud_watch_logs_role_arn=role.arn,
            # CloudTrail tries bucket, key and role when the trail is made.
            opts=self.child(depends_on=[args["bucket_ready"], permissions]),
        )
        self.arn = trail.arn
        self.register_outputs({"arn": self.arn})

    def _role(self, name: str, args: TrailArgs) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy(
                "cloudtrail.amazonaws.com",
                args["account_id"],
                trail_arn(args["region"], args["account_id"], args["trail_name"]),
            ),
            opts=self.child(),
        )
        group = f"arn:aws:logs:{args['region']}:{args['account_id']}:log-group:{args['log_group_name']}"
        permissions = aws.iam.RolePolicy(
            f"{name}-permissions", role=role.name, policy=log_permissions(group), opts=self.child()
        )
        return role, permissions


def trail_arn(region: str, account_id: str, name: str) -> str:
    """Known from the name: bucket and key policies let the trail in before it exists."""
    return f"arn:aws:cloudtrail:{region}:{account_id}:trail/{name}"


def log_permissions(log_group_arn: str) -> str:
    """Streams of one log group."""
    return document(allow("WriteTrail", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{log_group_arn}:log-stream:*"))


def event_selectors() -> list[aws.cloudtrail.TrailAdvancedEventSelectorArgsDict]:
    """All management events, all data events of the types, all network activity of the services."""
    return [
        _selector("management", "Management"),
        *(_selector(_words(kind), "Data", ("resources.type", kind)) for kind in DATA_EVENTS),
        *(
            _selector(f"network-{name}", "NetworkActivity", ("eventSource", f"{name}.amazonaws.com"))
            for name in NETWORK_ACTIVITY
        ),
    ]


def _selector(name: str, category: str, *fields: tuple[str, str]) -> aws.cloudtrail.TrailAdvancedEventSelectorArgsDict:
    wanted = (("eventCategory", category), *fields)
    return {"name": name, "field_selectors": [{"field": field, "equals": [value]} for field, value in wanted]}


def _words(kind: str) -> str:
    return "data-" + "-".join(kind.removeprefix("AWS::").lower().split("::"))
