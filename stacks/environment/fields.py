"""Kinds of values that stand in an environment, each with a refusal that says what is allowed."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator

from stacks.configuration import text_like


def _private_network(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"must be an IPv4 network such as 10.20.0.0/16 (got {value!r}: {error})") from None
    if not any(network.subnet_of(block) for block in _PRIVATE_BLOCKS):
        raise ValueError(f"must lie in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (got {value!r})")
    return value


_PRIVATE_BLOCKS = tuple(ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

PrivateNetworkCidr = Annotated[str, AfterValidator(_private_network)]
Region = Literal["eu-central-1", "eu-west-1", "us-east-1", "us-west-2"]
ModelId = Annotated[str, AfterValidator(text_like(r"[a-z0-9][a-z0-9._-]{0,63}", "a model id of a-z, 0-9, . _ -"))]
ServedModel = Annotated[
    str,
    AfterValidator(text_like(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "the name under which a server offers a model")),
]
FoundationModel = Annotated[
    str, AfterValidator(text_like(r"[a-z0-9-]+\.[a-z0-9.:-]+", "a Bedrock model id such as amazon.nova-lite-v1:0"))
]
RoleName = Annotated[str, AfterValidator(text_like(r"[A-Za-z0-9+=,.@_-]{1,64}", "the name of an IAM role, no path"))]
HostName = Annotated[
    str, AfterValidator(text_like(r"([a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}", "a host name such as gateway.llm.internal"))
]
EmailAddress = Annotated[
    str,
    AfterValidator(
        text_like(
            r"[A-Za-z0-9._+-]{1,64}@([a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}", "an e-mail address such as a@example.com"
        )
    ),
]
InstanceType = Annotated[
    str, AfterValidator(text_like(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "an EC2 instance type such as g6.2xlarge"))
]
SageMakerInstanceType = Annotated[
    str, AfterValidator(text_like(r"ml\.[a-z][a-z0-9-]*\.[a-z0-9-]+", "a SageMaker instance type: ml.g6.2xlarge"))
]
OrganizationId = Annotated[
    str, AfterValidator(text_like(r"o-[a-z0-9]{10,32}", "the id of an AWS organization such as o-a1b2c3d4e5"))
]
WeightsPrefix = Annotated[
    str,
    AfterValidator(
        text_like(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){0,4}", "a prefix in the models bucket: name/revision")
    ),
]
TransitGatewayId = Annotated[
    str, AfterValidator(text_like(r"(tgw-[0-9a-f]{17})?", "the id of a transit gateway, or empty in local"))
]
ListenAddress = Annotated[
    str, AfterValidator(text_like(r"\d{1,3}(\.\d{1,3}){3}:\d{2,5}", "an IPv4 address and a port: 0.0.0.0:8443"))
]
CertificateArn = Annotated[
    str,
    AfterValidator(
        text_like(r"arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}", "the ARN of an ACM certificate")
    ),
]
BaseUrl = Annotated[
    str,
    AfterValidator(
        text_like(
            r"(https://[^\s/@?#]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?(/[^\s?#]*)?",
            "a base URL with https (http to 127.0.0.1 and localhost only)",
        )
    ),
]
