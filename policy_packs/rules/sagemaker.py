"""SageMaker: a hosted model stays inside our network, is the image we pinned, and leaves nothing unencrypted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

MODEL: Final = "aws:sagemaker/model:Model"
CONFIGURATION: Final = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
# Their local NVMe disks are encrypted in hardware, and SageMaker refuses a key of ours for them:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
_NVME_FAMILIES: Final = (
    *("c5d", "c6gd", "c6id", "m5d", "m6gd", "m6id", "r5d", "r6gd", "r6id"),
    *("g4dn", "g5", "g6", "g6e", "g7e", "gr6", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200"),
    *("trn1", "trn1n", "trn2"),
)


def _isolated(model: Resource) -> Iterator[Outcome]:
    isolation = model.at("enableNetworkIsolation", absent=False)
    yield from demand(isolation.equals(True), "the container may call anybody", isolation)


NETWORK_ISOLATION = Rule(
    name="sagemaker-model-require-network-isolation",
    description="A model's container makes no network call of its own.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.12", "A.8.22"),
        nist_800_53_r5=("SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM04:2026"),
        atlas=("AML.T0025",),
    ),
    remediation="Set enable_network_isolation=True.",
    checkov=("CKV_AWS_370",),
    resource_types=(MODEL,),
    check=_isolated,
    obeys={"isolated": Resource.example(MODEL, {"enableNetworkIsolation": True})},
    breaks={
        "left out, and AWS's default is off": Resource.example(MODEL, {}),
        "turned off": Resource.example(MODEL, {"enableNetworkIsolation": False}),
    },
)


def _in_vpc(model: Resource) -> Iterator[Outcome]:
    for name in ("subnets", "securityGroupIds"):
        part = model.at(f"vpcConfig.{name}")
        yield from demand(part.is_given(), "the model runs outside our network", part)


IN_VPC = Rule(
    name="sagemaker-model-require-vpc",
    description="A model runs in our own subnets, behind our own security groups.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Set vpc_config with isolated subnets and a security group.",
    resource_types=(MODEL,),
    check=_in_vpc,
    obeys={
        "subnets and a group": Resource.example(
            MODEL, {"vpcConfig": {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}}
        )
    },
    breaks={
        "left out, and AWS's default is its own network": Resource.example(MODEL, {}),
        "no subnet": Resource.example(MODEL, {"vpcConfig": {"subnets": [], "securityGroupIds": ["sg-1"]}}),
    },
)


def _image_by_digest(model: Resource) -> Iterator[Outcome]:
    containers = [*model.at("primaryContainer").items(), *model.at("containers").items()]
    if not containers:
        yield NotApplicable("the model has no container")
    for container in containers:
        image = container.at("image")
        from_package = all_of(negate(image.is_given()), container.at("modelPackageName").is_given())
        by_digest = image.matches(r".+@sha256:[0-9a-f]{64}")
        yield from demand(any_of(by_digest, from_package), "a tag may name another image tomorrow", image)


_DIGEST = "registry/models@sha256:" + "0" * 64

IMAGE_BY_DIGEST = Rule(
    name="sagemaker-model-require-image-digest",
    description="A model's containers run images named by digest.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("SI-7", "CM-14", "SR-11"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010.001", "AML.M0014"),
    ),
    remediation="Name every image as repository@sha256:….",
    resource_types=(MODEL,),
    check=_image_by_digest,
    obeys={
        "one container": Resource.example(MODEL, {"primaryContainer": {"image": _DIGEST}}),
        "a pipeline of containers": Resource.example(MODEL, {"containers": [{"image": _DIGEST}, {"image": _DIGEST}]}),
        "a model package, which pins its image": Resource.example(
            MODEL, {"primaryContainer": {"modelPackageName": "arn:aws:sagemaker:…"}}
        ),
    },
    breaks={
        "a tag": Resource.example(MODEL, {"primaryContainer": {"image": "registry/models:latest"}}),
        "one tag in a pipeline": Resource.example(
            MODEL, {"containers": [{"image": _DIGEST}, {"image": "registry/models:1"}]}
        ),
        "a digest cut short": Resource.example(MODEL, {"primaryContainer": {"image": "registry/models@sha256:00"}}),
        "no image": Resource.example(MODEL, {"primaryContainer": {"environment": {}}}),
    },
)


def _volume_key(configuration: Resource) -> Iterator[Outcome]:
    key = configuration.at("kmsKeyArn")
    yield from demand(any_of(key.is_given(), _local_disks_only(configuration)), "no customer managed key", key)


def _local_disks_only(configuration: Resource) -> Truth:
    variants = [configuration.at(name) for name in ("productionVariants", "shadowProductionVariants")]
    return all_of(any_of(*(one.is_given() for one in variants)), *(one.every(_has_local_disk) for one in variants))


def _has_local_disk(variant: View) -> Truth:
    """ml.g6.2xlarge is of family g6."""
    return variant.at("instanceType").matches(rf"ml\.({'|'.join(_NVME_FAMILIES)})\.[^.]+")


def _configuration(*instance_types: str, **props: object) -> Resource:
    variants = [{"instanceType": one} for one in instance_types]
    return Resource.example(CONFIGURATION, {"productionVariants": variants, **props})


VOLUME_KEY = Rule(
    name="sagemaker-endpoint-config-require-own-key",
    description="An endpoint's volumes are encrypted under a customer managed key, where its instances take one.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_arn; instances with local NVMe disks refuse one and encrypt in hardware.",
    checkov=("CKV_AWS_98",),
    resource_types=(CONFIGURATION,),
    check=_volume_key,
    obeys={
        "a key": _configuration("ml.m5.large", kmsKeyArn="arn:aws:kms:…"),
        "local disks take no key": _configuration("ml.g6.2xlarge"),
    },
    breaks={
        "left out, and AWS's default is its own key": _configuration("ml.m5.large"),
        "one of two variants has no local disk": _configuration("ml.g6.2xlarge", "ml.m5.large"),
        "a shadow variant has no local disk": _configuration(
            "ml.g6.2xlarge", shadowProductionVariants=[{"instanceType": "ml.m5.large"}]
        ),
        "no instance type at all": Resource.example(CONFIGURATION, {"productionVariants": [{}]}),
    },
)


def _capture_encrypted(configuration: Resource) -> Iterator[Outcome]:
    capture = configuration.at("dataCaptureConfig")
    is_on = all_of(capture.is_given(), capture.at("enableCapture").equals(True))
    if is_on is Truth.NO:
        yield NotApplicable("nothing is captured")
        return
    key = capture.at("kmsKeyId")
    yield from demand(any_of(key.is_given(), negate(is_on)), "what is captured has no customer managed key", key)


_CAPTURE = {"enableCapture": True, "destinationS3Uri": "s3://captures/", "kmsKeyId": "arn:aws:kms:…"}

CAPTURE_ENCRYPTED = Rule(
    name="sagemaker-endpoint-config-require-encrypted-capture",
    description="Prompts and answers that an endpoint captures are encrypted under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.8.24", "A.8.12"),
        nist_800_53_r5=("SC-28(1)",),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_id in data_capture_config.",
    resource_types=(CONFIGURATION,),
    check=_capture_encrypted,
    obeys={
        "captured under a key": Resource.example(CONFIGURATION, {"dataCaptureConfig": _CAPTURE}),
        "not captured": Resource.example(CONFIGURATION, {"dataCaptureConfig": {"enableCapture": False}}),
        "capture left out, and AWS's default is none": Resource.example(CONFIGURATION, {}),
    },
    breaks={
        "captured under AWS's key": Resource.example(
            CONFIGURATION, {"dataCaptureConfig": {"enableCapture": True, "destinationS3Uri": "s3://captures/"}}
        ),
        "an empty key": Resource.example(CONFIGURATION, {"dataCaptureConfig": {**_CAPTURE, "kmsKeyId": ""}}),
    },
)
