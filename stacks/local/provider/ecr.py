"""ECR: repositories and their policies. No image is stored: a local task runs from the working tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list


def _create(aws: Aws, inputs: Inputs) -> Made:
    encryption = (inputs.get("encryptionConfigurations") or [{}])[0]
    scanning = inputs.get("imageScanningConfiguration")
    aws.client("ecr").create_repository(
        repositoryName=inputs["name"],
        **given(
            imageTagMutability=inputs.get("imageTagMutability"),
            imageScanningConfiguration=scanning,
            encryptionConfiguration=given(
                encryptionType=encryption.get("encryptionType"), kmsKey=encryption.get("kmsKey")
            ),
            tags=tag_list(inputs),
        ),
    )
    return Made(inputs["name"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    ecr = aws.client("ecr")
    try:
        found = ecr.describe_repositories(repositoryNames=[identifier])["repositories"][0]
    except ecr.exceptions.RepositoryNotFoundException:
        return None
    encryption = found.get("encryptionConfiguration", {})
    return {
        "arn": found["repositoryArn"],
        "name": identifier,
        "registryId": found["registryId"],
        "repositoryUrl": found["repositoryUri"],
        "imageTagMutability": found["imageTagMutability"],
        "imageScanningConfiguration": found["imageScanningConfiguration"],
        "encryptionConfigurations": [
            given(encryptionType=encryption.get("encryptionType"), kmsKey=encryption.get("kmsKey"))
        ],
    }


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ecr").delete_repository(repositoryName=identifier, force=True)


def _policy_of_repository(
    put: Callable[[Any, str, str], object], get: Callable[[Any, str], str], remove: Callable[[Any, str], object]
) -> Kind:
    def create(aws: Aws, inputs: Inputs) -> Made:
        put(aws.client("ecr"), inputs["repository"], inputs["policy"])
        return Made(inputs["repository"])

    def read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
        return {"repository": identifier, "policy": get(aws.client("ecr"), identifier), "registryId": aws.account}

    def delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
        remove(aws.client("ecr"), identifier)

    return Kind(create, read, delete)


KINDS = {
    "aws:ecr/repository:Repository": Kind(_create, _read, _delete),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _policy_of_repository(
        lambda ecr, name, policy: ecr.set_repository_policy(repositoryName=name, policyText=policy),
        lambda ecr, name: str(ecr.get_repository_policy(repositoryName=name)["policyText"]),
        lambda ecr, name: ecr.delete_repository_policy(repositoryName=name),
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _policy_of_repository(
        lambda ecr, name, policy: ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy),
        lambda ecr, name: str(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]),
        lambda ecr, name: ecr.delete_lifecycle_policy(repositoryName=name),
    ),
}
