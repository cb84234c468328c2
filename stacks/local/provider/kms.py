"""KMS: keys, their policies, aliases, grants, and texts encrypted at deployment."""

from __future__ import annotations

import base64

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, NotKept, Outputs, given, left_to_owner, tag_list

_SYMMETRIC = "SYMMETRIC_DEFAULT"


def _create_key(aws: Aws, inputs: Inputs) -> Made:
    kms = aws.client("kms")
    key = kms.create_key(
        **given(
            Description=inputs.get("description"),
            KeyUsage=inputs.get("keyUsage"),
            KeySpec=inputs.get("customerMasterKeySpec"),
            Policy=inputs.get("policy"),
            MultiRegion=inputs.get("multiRegion"),
            Tags=tag_list(inputs, "TagKey", "TagValue"),
        )
    )["KeyMetadata"]["KeyId"]
    if inputs.get("enableKeyRotation"):
        kms.enable_key_rotation(KeyId=key, **given(RotationPeriodInDays=inputs.get("rotationPeriodInDays")))
    return Made(key)


def _read_key(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    kms = aws.client("kms")
    try:
        key = kms.describe_key(KeyId=identifier)["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        return None
    if key["KeyState"] == "PendingDeletion":
        return None
    policy = kms.get_key_policy(KeyId=identifier, PolicyName="default")["Policy"]
    rotates = key["KeySpec"] == _SYMMETRIC and kms.get_key_rotation_status(KeyId=identifier)["KeyRotationEnabled"]
    return {
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "description": key["Description"],
        "customerMasterKeySpec": key["KeySpec"],
        "isEnabled": key["Enabled"],
        "enableKeyRotation": rotates,
        "policy": policy,
        "region": aws.region,
        **given(keyUsage=key.get("KeyUsage")),
    }


def _delete_key(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("kms").schedule_key_deletion(KeyId=identifier, PendingWindowInDays=7)


def _create_key_policy(aws: Aws, inputs: Inputs) -> Made:
    aws.client("kms").put_key_policy(KeyId=inputs["keyId"], PolicyName="default", Policy=inputs["policy"])
    return Made(inputs["keyId"])


def _read_key_policy(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    policy = aws.client("kms").get_key_policy(KeyId=identifier, PolicyName="default")["Policy"]
    return {"policy": policy, "keyId": inputs.get("keyId", identifier)}


def _create_alias(aws: Aws, inputs: Inputs) -> Made:
    aws.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return Made(inputs["name"])


def _read_alias(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    kms = aws.client("kms")
    pages = kms.get_paginator("list_aliases").paginate()
    for alias in (alias for page in pages for alias in page["Aliases"]):
        if alias["AliasName"] == identifier:
            target = kms.describe_key(KeyId=alias["TargetKeyId"])["KeyMetadata"]
            return {"arn": alias["AliasArn"], "name": identifier, "targetKeyArn": target["Arn"]}
    return None


def _delete_alias(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("kms").delete_alias(AliasName=identifier)


def _create_ciphertext(aws: Aws, inputs: Inputs) -> Made:
    blob = aws.client("kms").encrypt(
        KeyId=inputs["keyId"], Plaintext=inputs["plaintext"].encode(), EncryptionContext=inputs.get("context") or {}
    )["CiphertextBlob"]
    return Made(inputs["keyId"], {"ciphertextBlob": base64.b64encode(blob).decode()})


def _read_ciphertext(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    """Decrypts it: under another key or context the call fails."""
    if "ciphertextBlob" not in inputs:
        return None
    answer = aws.client("kms").decrypt(
        CiphertextBlob=base64.b64decode(inputs["ciphertextBlob"]), EncryptionContext=inputs.get("context") or {}
    )
    if answer["Plaintext"] != inputs["plaintext"].encode():
        raise NotKept("the ciphertext decrypts to another text")
    return {"ciphertextBlob": inputs["ciphertextBlob"]}


def _create_grant(aws: Aws, inputs: Inputs) -> Made:
    constraints = {
        key[:1].upper() + key[1:]: value for one in inputs.get("constraints") or [] for key, value in one.items()
    }
    grant = aws.client("kms").create_grant(
        KeyId=inputs["keyId"],
        GranteePrincipal=inputs["granteePrincipal"],
        Operations=inputs["operations"],
        **given(Name=inputs.get("name"), RetiringPrincipal=inputs.get("retiringPrincipal"), Constraints=constraints),
    )
    return Made(f"{inputs['keyId']}:{grant['GrantId']}", {"grantToken": grant["GrantToken"]})


def _read_grant(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    key, _, grant_id = identifier.rpartition(":")
    for grant in aws.client("kms").list_grants(KeyId=key)["Grants"]:
        if grant["GrantId"] == grant_id:
            return {
                "grantId": grant_id,
                "granteePrincipal": grant["GranteePrincipal"],
                "operations": grant["Operations"],
            }
    return None


def _delete_grant(aws: Aws, identifier: str, inputs: Inputs) -> None:
    key, _, grant_id = identifier.rpartition(":")
    aws.client("kms").revoke_grant(KeyId=key, GrantId=grant_id)


KINDS = {
    "aws:kms/key:Key": Kind(_create_key, _read_key, _delete_key),
    "aws:kms/keyPolicy:KeyPolicy": Kind(_create_key_policy, _read_key_policy, left_to_owner),
    "aws:kms/alias:Alias": Kind(_create_alias, _read_alias, _delete_alias),
    "aws:kms/ciphertext:Ciphertext": Kind(_create_ciphertext, _read_ciphertext, left_to_owner),
    "aws:kms/grant:Grant": Kind(_create_grant, _read_grant, _delete_grant),
}
