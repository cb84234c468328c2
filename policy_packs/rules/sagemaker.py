"""SageMaker: a hosted model stays inside our network, is the image we pinned, and leaves nothing unencrypted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
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
    isolation = model.at("enableNetworkIsolation")
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
    neighbours={"its endpoint has no such switch": Resource.example("aws:sagemaker/endpoint:Endpoint")},
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
        "no security group": Resource.example(MODEL, {"vpcConfig": {"subnets": ["subnet-1"]}}),
    },
    neighbours={"the endpoint takes its model's network": Resource.example("aws:sagemaker/endpoint:Endpoint")},
)


def _image_by_digest(model: Resource) -> Iterator[Outcome]:
    containers = [*model.at("primaryContainer").items(), *model.at("containers").items()]
    if not containers:
        yield NotApplicable("the model has no container")
        return
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
        "a tag beside a model package": Resource.example(
            MODEL, {"primaryContainer": {"image": "registry/models:1", "modelPackageName": "arn:aws:sagemaker:…"}}
        ),
        "a digest and more": Resource.example(MODEL, {"primaryContainer": {"image": f"{_DIGEST}0"}}),
    },
    neighbours={"no container yet": Resource.example(MODEL, {"executionRoleArn": "arn:aws:iam::…"})},
)


def _private_registry(model: Resource) -> Iterator[Outcome]:
    containers = [*model.at("primaryContainer").items(), *model.at("containers").items()]
    for container in containers:
        image, mode = container.at("image"), container.at("imageConfig.repositoryAccessMode")
        without_image = negate(image.is_given())
        truth = any_of(without_image, mode.equals("Vpc"), _is_allowed_image(model, image))
        yield from demand(truth, "comes neither from an allowed registry nor through our VPC", image)


def _is_allowed_image(model: Resource, image: View) -> Truth:
    """Whose registry it may be is the setting; that it is a private one of ECR is the rule."""
    prefixes = _texts(model.settings["allowed_registries"])
    allowed = Truth.of(not prefixes or any(image.text.startswith(f"{one}/") for one in prefixes))
    return all_of(image.matches(_PRIVATE_ECR), Truth.UNKNOWN if image.is_unknown else allowed)


def _texts(setting: object) -> tuple[str, ...]:
    return tuple(str(one) for one in setting) if isinstance(setting, list | tuple) else ()


_PRIVATE_ECR: Final = r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+"
_OURS = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:" + "0" * 64

PRIVATE_REGISTRY = Rule(
    name="sagemaker-model-require-private-registry",
    description="A model's images come from a private registry of ECR that is allowed, or from one in our own VPC.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8",),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("SR-3", "SR-11", "CM-14"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010.001", "AML.M0013"),
    ),
    remediation="Copy the image into our own repository; elsewhere set repository_access_mode to Vpc.",
    settings={"allowed_registries": []},
    resource_types=(MODEL,),
    check=_private_registry,
    obeys={
        "from ECR": Resource.example(MODEL, {"primaryContainer": {"image": _OURS}}),
        "from a registry in our VPC": Resource.example(
            MODEL,
            {"primaryContainer": {"image": "registry.internal/models", "imageConfig": {"repositoryAccessMode": "Vpc"}}},
        ),
        "every container of a pipeline": Resource.example(MODEL, {"containers": [{"image": _OURS}, {"image": _OURS}]}),
    },
    breaks={
        "a public gallery": Resource.example(
            MODEL, {"primaryContainer": {"image": "public.ecr.aws/somebody/models@sha256:" + "0" * 64}}
        ),
        "a registry out of our network": Resource.example(
            MODEL,
            {"primaryContainer": {"image": "docker.io/models:1", "imageConfig": {"repositoryAccessMode": "Platform"}}},
        ),
        "one container of a pipeline": Resource.example(
            MODEL, {"containers": [{"image": _OURS}, {"image": "docker.io/models:1"}]}
        ),
        "a host that only begins like ECR": Resource.example(
            MODEL,
            {"primaryContainer": {"image": "111122223333.dkr.ecr.eu-central-1.amazonaws.com.example.org/models:1"}},
        ),
    },
    neighbours={
        "a model package brings its image": Resource.example(
            MODEL, {"primaryContainer": {"modelPackageName": "arn:aws:sagemaker:…"}}
        )
    },
)


def _volume_key(configuration: Resource) -> Iterator[Outcome]:
    key = configuration.at("kmsKeyArn")
    yield from demand(any_of(is_customer_key(key), _local_disks_only(configuration)), "no customer managed key", key)


def _local_disks_only(configuration: Resource) -> Truth:
    variants = [configuration.at(name) for name in ("productionVariants", "shadowProductionVariants")]
    return all_of(any_of(*(one.is_given() for one in variants)), *(one.every(has_local_disk) for one in variants))


def has_local_disk(machine: View) -> Truth:
    """A variant, cluster or job by its `instanceType`: ml.g6.2xlarge is of family g6."""
    return machine.at("instanceType").matches(rf"ml\.({'|'.join(_NVME_FAMILIES)})\.[^.]+")


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
        "a key": _configuration("ml.m5.large", kmsKeyArn=OWN_KEY),
        "local disks take no key": _configuration("ml.g6.2xlarge"),
    },
    breaks={
        "left out, and AWS's default is its own key": _configuration("ml.m5.large"),
        "one of two variants has no local disk": _configuration("ml.g6.2xlarge", "ml.m5.large"),
        "a shadow variant has no local disk": _configuration(
            "ml.g6.2xlarge", shadowProductionVariants=[{"instanceType": "ml.m5.large"}]
        ),
        "no instance type at all": Resource.example(CONFIGURATION, {"productionVariants": [{}]}),
        "no variant at all": Resource.example(CONFIGURATION, {}),
        "the key that AWS manages": _configuration("ml.m5.large", kmsKeyArn="alias/aws/sagemaker"),
        "a family that only begins alike": _configuration("ml.g6x.2xlarge"),
    },
    neighbours={"the endpoint has no volume of its own": Resource.example("aws:sagemaker/endpoint:Endpoint")},
)


def _capture_encrypted(configuration: Resource) -> Iterator[Outcome]:
    capture = configuration.at("dataCaptureConfig")
    is_on = capture.at("enableCapture").equals(True)
    if is_on is Truth.NO:
        yield NotApplicable("nothing is captured")
        return
    key = capture.at("kmsKeyId")
    yield from demand(any_of(is_customer_key(key), negate(is_on)), "what is captured has no customer managed key", key)


_CAPTURE = {"enableCapture": True, "destinationS3Uri": "s3://captures/", "kmsKeyId": OWN_KEY}

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
    },
    breaks={
        "captured under AWS's key": Resource.example(
            CONFIGURATION, {"dataCaptureConfig": {"enableCapture": True, "destinationS3Uri": "s3://captures/"}}
        ),
        "an empty key": Resource.example(CONFIGURATION, {"dataCaptureConfig": {**_CAPTURE, "kmsKeyId": ""}}),
        "the key that AWS manages": Resource.example(
            CONFIGURATION, {"dataCaptureConfig": {**_CAPTURE, "kmsKeyId": "alias/aws/s3"}}
        ),
    },
    neighbours={"capture left out, and AWS's default is none": Resource.example(CONFIGURATION, {})},
)
