"""Settings that exist once per account and region, and that every resource in it leans on.

Destroying one environment must not open the account for whatever else lives there: a setting whose deletion
weakens others stays when its resource goes. All of them can be set again over what is there.
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

PASSWORD_CHARS_MIN = 16
PASSWORDS_REMEMBERED = 24
PASSWORD_AGE_DAYS_MAX = 90


class AccountBaselineArgs(TypedDict):
    volume_key_arn: pulumi.Input[str]
    analyzer_name: str


class AccountBaseline(Component):
    """No way in or out of any VPC, nothing public, every volume under our key, IMDSv2, an eye on sharing."""

    def __init__(self, name: str, args: AccountBaselineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self._network(name)
        self._sharing(name)
        self._volumes(name, args["volume_key_arn"])
        self._instances(name)
        self._people(name)
        aws.accessanalyzer.Analyzer(
            f"{name}-analyzer", analyzer_name=args["analyzer_name"], type="ACCOUNT", opts=self.child()
        )
        self.register_outputs({})

    def _network(self, name: str) -> None:
        """Internet gateways carry nothing, whoever makes one; a VPC with inspected egress has its own exclusion."""
        aws.ec2.VpcBlockPublicAccessOptions(
            f"{name}-vpc-public-access", internet_gateway_block_mode="block-bidirectional", opts=self._staying()
        )

    def _sharing(self, name: str) -> None:
        aws.s3.AccountPublicAccessBlock(
            f"{name}-s3-public-access",
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._staying(),
        )
        aws.ebs.SnapshotBlockPublicAccess(f"{name}-snapshots", state="block-all-sharing", opts=self._staying())
        aws.ec2.ImageBlockPublicAccess(f"{name}-images", state="block-new-sharing", opts=self._staying())

    def _volumes(self, name: str, key_arn: pulumi.Input[str]) -> None:
        """The default key goes with its resource: left behind, it would name a key that is being deleted."""
        key = aws.ebs.DefaultKmsKey(f"{name}-volume-key", key_arn=key_arn, opts=self.child())
        aws.ebs.EncryptionByDefault(f"{name}-volume-encryption", enabled=True, opts=self._staying(depends_on=[key]))

    def _instances(self, name: str) -> None:
        aws.ec2.InstanceMetadataDefaults(
            f"{name}-instance-metadata",
            http_endpoint="enabled",
            http_tokens="required",
            http_put_response_hop_limit=1,
            opts=self._staying(),
        )
        aws.ec2.SerialConsoleAccess(f"{name}-serial-console", enabled=False, opts=self._staying())

    def _people(self, name: str) -> None:
        """People come from the identity provider; should a user ever be made, this is what it meets."""
        aws.iam.AccountPasswordPolicy(
            f"{name}-passwords",
            minimum_password_length=PASSWORD_CHARS_MIN,
            password_reuse_prevention=PASSWORDS_REMEMBERED,
            max_password_age=PASSWORD_AGE_DAYS_MAX,
            require_lowercase_characters=True,
            require_uppercase_characters=True,
            require_numbers=True,
            require_symbols=True,
            allow_users_to_change_password=True,
            opts=self._staying(),
        )

    def _staying(self, **options: object) -> pulumi.ResourceOptions:
        return self.child(retain_on_delete=True, **options)
