"""What a workload registers is what the gateway accepts; and one changed value is what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from services.gateway.adapters.registration_document import RegistrationError, read
from tests.contracts.programs import captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once


def _registered(stack: str) -> tuple[str, Callable[[str], bytes]]:
    """The signed text, and the objects that it names."""
    deployment = captured("document_assistant", stack)
    objects = {one.inputs["key"]: one.inputs["content"] for one in of_type(deployment, "BucketObject")}
    text = json.loads(only(deployment, "BucketObject", "registration-document").inputs["content"])["document"]
    return text, lambda key: objects[key].encode()


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_the_gateway_loads_what_the_workload_registers(stack: str) -> None:
    text, objects = _registered(stack)

    registration = read(text.encode(), "document-assistant", stack, objects)

    assert registration.roles["analyst"].template.citations is True
    assert "{context}" in registration.roles["analyst"].template.system
    assert registration.tenants == ("acme", "globex")
    assert ("load" in registration.roles) is (stack == "local")


def test_the_load_role_has_room_for_a_hundred_thousand_requests_an_hour() -> None:
    text, objects = _registered("local")
    limits = read(text.encode(), "document-assistant", "local", objects).roles["load"].limits

    assert limits.requests_per_minute * 60 >= 100_000
    assert limits.output_tokens_per_minute >= limits.requests_per_minute * 100


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"environment":"prod"', '"environment":"dev"'),
        ('"workload":"document-assistant"}', '"workload":"another"}'),
        ('"boundary":"private_endpoint"', '"boundary":"public_api"'),
        ('"version":1', '"version":2'),
        ('"tenants":["acme","globex"]', '"tenants":[]'),
        ('"collections":', '"colections":'),
        ("templates/document-assistant/", "templates/another/"),
    ],
)
def test_one_changed_value_is_refused(right: str, wrong: str) -> None:
    text, objects = _registered("prod")
    assert right in text

    with pytest.raises(RegistrationError):
        read(text.replace(right, wrong).encode(), "document-assistant", "prod", objects)
