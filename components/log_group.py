"""A log group that exists, encrypted and with a retention, before anything writes to it."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class LogGroupArgs(TypedDict):
    log_group_name: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    retention_days: pulumi.Input[int]
    deletion_protection: pulumi.Input[bool]
    kept: NotRequired[bool]
    """True where its service still writes while it is deleted, and would make the group again, unencrypted."""


class LogGroup(Component):
    """The log group. AWS services make a missing one by themselves, unencrypted and for ever: ours comes first."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: LogGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        group = aws.cloudwatch.LogGroup(
            f"{name}-log-group",
            name=args["log_group_name"],
            kms_key_id=args["key_arn"],
            retention_in_days=args["retention_days"],
            deletion_protection_enabled=args["deletion_protection"],
            opts=self.child(retain_on_delete=args.get("kept", False)),
        )
        self.name = group.name
        self.arn = group.arn
        self.register_outputs({"name": self.name, "arn": self.arn})
