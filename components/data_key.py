"""A customer managed key for one purpose: rotating, slow to delete, with an alias that says what it is for."""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

DELETION_WINDOW_DAYS = 30
ROTATION_DAYS = 365


class KeyUse(StrEnum):
    """What a key can do. AWS rotates encryption keys only."""

    ENCRYPT = "ENCRYPT_DECRYPT"
    SIGN = "SIGN_VERIFY"
    MAC = "GENERATE_VERIFY_MAC"


SPECIFICATIONS = {KeyUse.ENCRYPT: "SYMMETRIC_DEFAULT", KeyUse.SIGN: "ECC_NIST_P384", KeyUse.MAC: "HMAC_256"}


class DataKeyArgs(TypedDict):
    purpose: pulumi.Input[str]
    alias: pulumi.Input[str]
    use: KeyUse
    policy: pulumi.Input[str]


class DataKey(Component):
    """The key and its alias."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: DataKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        rotates = args["use"] is KeyUse.ENCRYPT
        key = aws.kms.Key(
            f"{name}-key",
            description=args["purpose"],
            key_usage=args["use"].value,
            customer_master_key_spec=SPECIFICATIONS[args["use"]],
            enable_key_rotation=rotates,
            rotation_period_in_days=ROTATION_DAYS if rotates else None,
            deletion_window_in_days=DELETION_WINDOW_DAYS,
            policy=args["policy"],
            tags={"purpose": name},
            opts=self.child(),
        )
        aws.kms.Alias(f"{name}-alias", name=args["alias"], target_key_id=key.key_id, opts=self.child())
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
