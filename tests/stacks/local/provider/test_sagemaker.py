"""A SageMaker endpoint against moto: made in order, read back as it was sent, and gone when it is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.kinds import Inputs, difference
from stacks.local.provider.sagemaker import KINDS

Client = Callable[[str], Any]
MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
WANTED: dict[str, Inputs] = {
    MODEL: {
        "name": "assistant-1",
        "executionRoleArn": "arn:aws:iam::123456789012:role/assistant-endpoint",
        "enableNetworkIsolation": True,
        "vpcConfig": {"subnets": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]},
        "primaryContainer": {
            "image": f"registry/vllm@sha256:{'0' * 64}",
            "environment": {"HF_HUB_OFFLINE": "1"},
            "modelDataSource": {
                "s3DataSources": [{"s3Uri": "s3://models/a/1/", "s3DataType": "S3Prefix", "compressionType": "None"}]
            },
        },
    },
    CONFIGURATION: {
        "name": "assistant-1",
        "kmsKeyArn": KEY,
        "productionVariants": [
            {
                "variantName": "main",
                "modelName": "assistant-1",
                "instanceType": "ml.m5.2xlarge",
                "initialInstanceCount": 2.0,
                "enableSsmAccess": False,
            }
        ],
        "dataCaptureConfig": {
            "enableCapture": True,
            "initialSamplingPercentage": 100.0,
            "destinationS3Uri": "s3://captures/captures/assistant",
            "kmsKeyId": KEY,
            "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}],
        },
    },
    ENDPOINT: {"name": "assistant", "endpointConfigName": "assistant-1"},
}


@pytest.fixture
def aws(endpoint: Endpoint) -> Aws:
    return Aws(endpoint, "eu-west-1", None, False, "")


@pytest.fixture
def made(aws: Aws) -> dict[str, str]:
    return {token: KINDS[token].create(aws, inputs).id for token, inputs in WANTED.items()}


def test_an_endpoint_is_what_was_asked_for(made: dict[str, str], client: Client) -> None:
    sagemaker = client("sagemaker")
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName="assistant-1")

    assert sagemaker.describe_endpoint(EndpointName="assistant")["EndpointConfigName"] == "assistant-1"
    assert configuration["KmsKeyId"] == KEY
    assert configuration["ProductionVariants"][0]["InitialInstanceCount"] == 2
    assert configuration["DataCaptureConfig"]["CaptureOptions"] == [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
    assert sagemaker.describe_model(ModelName="assistant-1")["VpcConfig"]["SecurityGroupIds"] == ["sg-1"]


@pytest.mark.parametrize("token", WANTED)
def test_what_is_read_back_is_what_was_sent(token: str, made: dict[str, str], aws: Aws) -> None:
    read = KINDS[token].read(aws, made[token], WANTED[token])

    assert read is not None
    assert read["arn"].startswith("arn:aws:sagemaker:eu-west-1:")
    assert difference(dict(WANTED[token]), read, token) == ""


def test_nothing_is_left_after_deletion_and_nothing_is_read_of_it(made: dict[str, str], aws: Aws) -> None:
    for token in reversed(WANTED):
        KINDS[token].delete(aws, made[token], WANTED[token])

    assert [KINDS[token].read(aws, made[token], WANTED[token]) for token in WANTED] == [None, None, None]
