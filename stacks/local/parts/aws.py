"""The AWS API of the local platform: moto's server. What it holds is in memory and ends with it."""

from __future__ import annotations

import functools
import ssl
import sys
from pathlib import Path

from stacks.local.parts import certificates
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.health import serves
from stacks.local.parts.part import Launch, Part
from stacks.local.parts.places import Places

ACCOUNT_ID = "123456789012"  # moto's only account
ORGANIZATION_ID = "o-a1b2c3d4e5"  # the organization it stands in: Pulumi.local.yaml names the same


def part(places: Places, addresses: Addresses) -> Part:
    return Part(
        name="aws",
        title="AWS API (moto)",
        distribution="moto",
        module="moto",
        port=addresses.aws,
        prepare=functools.partial(_prepare, places),
        launch=functools.partial(_launch, places, addresses),
        is_ready=functools.partial(_is_ready, places, addresses),
    )


def client_environment(places: Places, addresses: Addresses) -> dict[str, str]:
    """The standard variables with which an AWS SDK finds the stand-in; credentials are not among them."""
    return {
        "AWS_ENDPOINT_URL": addresses.aws_url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": addresses.bedrock_runtime_url,
        "AWS_CA_BUNDLE": str(places.ca_bundle),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _chain(places: Places) -> Path:
    return places.data("aws") / "server.pem"


def _prepare(places: Places, fresh: bool) -> None:
    """Clients have read the authority already when the part is started again: it stays."""
    places.data("aws").mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh or not (places.ca_bundle.exists() and _chain(places).exists()):
        certificates.make(places.ca_bundle, _chain(places))


def _launch(places: Places, addresses: Addresses) -> Launch:
    arguments = (str(addresses.aws), str(_chain(places)), str(places.log("aws-requests")))
    return Launch(
        (sys.executable, "-m", "stacks.local.parts.aws_server", *arguments),
        {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},  # roles attach policies that AWS manages
    )


def _is_ready(places: Places, addresses: Addresses) -> bool:
    return serves(addresses.aws, "/moto-api/", tls=ssl.create_default_context(cafile=places.ca_bundle))
