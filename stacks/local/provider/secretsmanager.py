"""Secrets Manager: secrets and their versions."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, left_to_owner, tag_list, tag_map


def _create_secret(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("secretsmanager").create_secret(
        Name=inputs["name"],
        **given(Description=inputs.get("description"), KmsKeyId=inputs.get("kmsKeyId"), Tags=tag_list(inputs)),
    )
    return Made(answer["ARN"])


def _read_secret(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    secrets = aws.client("secretsmanager")
    try:
        found = secrets.describe_secret(SecretId=identifier)
    except secrets.exceptions.ResourceNotFoundException:
        return None
    return given(
        arn=found["ARN"],
        name=found["Name"],
        kmsKeyId=found.get("KmsKeyId"),
        tagsAll=tag_map(found.get("Tags")),
    )


def _delete_secret(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("secretsmanager").delete_secret(SecretId=identifier, ForceDeleteWithoutRecovery=True)


def _create_version(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("secretsmanager").put_secret_value(
        SecretId=inputs["secretId"], SecretString=inputs["secretString"]
    )
    return Made(f"{inputs['secretId']}|{answer['VersionId']}")


def _read_version(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    secret, _, version = identifier.partition("|")
    found = aws.client("secretsmanager").get_secret_value(SecretId=secret, VersionId=version)
    return {
        "arn": found["ARN"],
        "secretId": secret,
        "versionId": version,
        "secretString": found["SecretString"],
        "versionStages": found["VersionStages"],
    }


KINDS = {
    "aws:secretsmanager/secret:Secret": Kind(_create_secret, _read_secret, _delete_secret),
    "aws:secretsmanager/secretVersion:SecretVersion": Kind(_create_version, _read_version, left_to_owner),
}
