"""Settings of the account: encryption of volumes, passwords, public access to buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, pascal

_PUBLIC_ACCESS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _setting(
    service: str,
    put: Callable[[Any, Inputs], object],
    read: Callable[[Any], Outputs],
    delete: Callable[[Any], object] | None = None,
) -> Kind:
    """There is one of each: its id is the account's number."""

    def create(aws: Aws, inputs: Inputs) -> Made:
        put(aws.client(service), inputs)
        return Made(aws.account)

    def read_back(aws: Aws, identifier: str, inputs: Inputs) -> Outputs:
        return read(aws.client(service))

    def remove(aws: Aws, identifier: str, inputs: Inputs) -> None:
        if delete is not None:
            delete(aws.client(service))

    return Kind(create, read_back, remove)


def _put_passwords(iam: Any, inputs: Inputs) -> None:
    wanted: Any = pascal({key: value for key, value in inputs.items() if not key.startswith("_")})
    iam.update_account_password_policy(**wanted)


def _read_passwords(iam: Any) -> Outputs:
    found: Outputs = camel(iam.get_account_password_policy()["PasswordPolicy"])
    return found


def _put_public_access(aws: Aws, inputs: Inputs) -> Made:
    settings = {key: bool(inputs.get(key)) for key in _PUBLIC_ACCESS}
    _control(aws).put_public_access_block(AccountId=aws.account, PublicAccessBlockConfiguration=pascal(settings))
    return Made(aws.account)


def _read_public_access(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _control(aws).get_public_access_block(AccountId=identifier)["PublicAccessBlockConfiguration"]
    return {**camel(found), "accountId": identifier}


def _delete_public_access(aws: Aws, identifier: str, inputs: Inputs) -> None:
    _control(aws).delete_public_access_block(AccountId=identifier)


def _control(aws: Aws) -> Any:
    """The SDK puts the account in front of the host's name, and in front of an address that is none."""
    client = aws.client("s3control")

    def to_address(request: Any, **_named: Any) -> None:
        request.url = request.url.replace(f"//{aws.account}.", "//", 1)

    client.meta.events.register("before-sign.s3-control", to_address, unique_id="address")
    return client


KINDS = {
    "aws:ebs/encryptionByDefault:EncryptionByDefault": _setting(
        "ec2",
        lambda ec2, inputs: (
            ec2.enable_ebs_encryption_by_default()
            if inputs.get("enabled", True)
            else ec2.disable_ebs_encryption_by_default()
        ),
        lambda ec2: {"enabled": ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]},
        lambda ec2: ec2.disable_ebs_encryption_by_default(),
    ),
    "aws:iam/accountPasswordPolicy:AccountPasswordPolicy": _setting(
        "iam", _put_passwords, _read_passwords, lambda iam: iam.delete_account_password_policy()
    ),
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock": Kind(
        _put_public_access, _read_public_access, _delete_public_access
    ),
}
