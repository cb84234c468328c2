"""SageMaker: models, endpoint configurations and endpoints. Nothing runs behind them: moto keeps what they say."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, given, pascal, tag_list


def _create_model(aws: Aws, inputs: Inputs) -> Made:
    aws.client("sagemaker").create_model(
        ModelName=inputs["name"],
        ExecutionRoleArn=inputs["executionRoleArn"],
        EnableNetworkIsolation=bool(inputs.get("enableNetworkIsolation")),
        **given(
            PrimaryContainer=_container(inputs.get("primaryContainer") or {}),
            VpcConfig=pascal(inputs.get("vpcConfig")),
            Tags=tag_list(inputs),
        ),
    )
    return Made(inputs["name"])


def _container(wanted: Inputs) -> dict[str, Any]:
    sources = (wanted.get("modelDataSource") or {}).get("s3DataSources") or []
    return given(
        Image=wanted.get("image"),
        Environment=wanted.get("environment"),  # names of variables are nobody's to rename
        ModelDataSource=given(S3DataSource=pascal(sources[0]) if sources else None),
    )


def _read_model(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(aws, "describe_model", ModelName=identifier)
    if found is None:
        return None
    container = found.get("PrimaryContainer", {})
    return {
        "arn": found["ModelArn"],
        "name": identifier,
        "executionRoleArn": found["ExecutionRoleArn"],
        "primaryContainer": given(image=container.get("Image"), environment=container.get("Environment")),
        "vpcConfig": camel(found.get("VpcConfig", {})),
    }


def _create_configuration(aws: Aws, inputs: Inputs) -> Made:
    capture = inputs.get("dataCaptureConfig")
    aws.client("sagemaker").create_endpoint_config(
        EndpointConfigName=inputs["name"],
        ProductionVariants=[_variant(variant) for variant in inputs["productionVariants"]],
        **given(
            DataCaptureConfig={**pascal(capture), **_whole(capture, "initialSamplingPercentage")} if capture else None,
            KmsKeyId=inputs.get("kmsKeyArn"),
            Tags=tag_list(inputs),
        ),
    )
    return Made(inputs["name"])


_COUNTS = (
    "initialInstanceCount",
    "modelDataDownloadTimeoutInSeconds",
    "containerStartupHealthCheckTimeoutInSeconds",
)


def _variant(wanted: Inputs) -> dict[str, Any]:
    plain = {key: value for key, value in wanted.items() if key != "enableSsmAccess"}
    shell = given(EnableSSMAccess=wanted.get("enableSsmAccess"))
    return {**pascal(plain), **_whole(wanted, *_COUNTS), **shell}


def _whole(wanted: Inputs, *keys: str) -> dict[str, int]:
    """Numbers are floats on Pulumi's wire, and the AWS API takes whole ones."""
    return {key[:1].upper() + key[1:]: int(wanted[key]) for key in keys if wanted.get(key) is not None}


def _read_configuration(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(aws, "describe_endpoint_config", EndpointConfigName=identifier)
    if found is None:
        return None
    variants = [camel(variant) for variant in found["ProductionVariants"]]
    for variant in variants:
        variant["enableSsmAccess"] = variant.pop("enableSSMAccess", None)
    return {
        "arn": found["EndpointConfigArn"],
        "name": identifier,
        "productionVariants": variants,
        "dataCaptureConfig": camel(found.get("DataCaptureConfig", {})),
        **given(kmsKeyArn=found.get("KmsKeyId")),
    }


def _create_endpoint(aws: Aws, inputs: Inputs) -> Made:
    aws.client("sagemaker").create_endpoint(
        EndpointName=inputs["name"], EndpointConfigName=inputs["endpointConfigName"], Tags=tag_list(inputs)
    )
    return Made(inputs["name"])


def _read_endpoint(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(aws, "describe_endpoint", EndpointName=identifier)
    if found is None:
        return None
    return {"arn": found["EndpointArn"], "name": identifier, "endpointConfigName": found["EndpointConfigName"]}


def _described(aws: Aws, call: str, **which: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = getattr(aws.client("sagemaker"), call)(**which)
    except ClientError as error:
        if "Could not find" not in str(error):  # SageMaker answers ValidationException for anything
            raise
        return None
    return found


KINDS = {
    "aws:sagemaker/model:Model": Kind(
        _create_model, _read_model, lambda aws, name, _: aws.client("sagemaker").delete_model(ModelName=name)
    ),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": Kind(
        _create_configuration,
        _read_configuration,
        lambda aws, name, _: aws.client("sagemaker").delete_endpoint_config(EndpointConfigName=name),
    ),
    "aws:sagemaker/endpoint:Endpoint": Kind(
        _create_endpoint,
        _read_endpoint,
        lambda aws, name, _: aws.client("sagemaker").delete_endpoint(EndpointName=name),
    ),
}
