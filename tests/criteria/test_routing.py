"""The decision data class → boundary, asked in all three places that make it: configuration, registration, gateway."""

from __future__ import annotations

import json
from itertools import product

import msgspec
import pytest

from services.gateway.adapters.cedar_authorization import CedarAuthorization
from services.gateway.adapters.registration_document import RegistrationError, read
from services.gateway.exchange import Boundary as ServedBoundary
from services.gateway.exchange import DataClass as ServedClass
from services.gateway.exchange import Denied, Endpoint, Registration
from stacks.classification import Boundary, DataClass, at_least_as_strict, require_boundary
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.workloads.workload import Workload, require_offered
from tests.services.gateway.fakes import caller, offer, registration, role
from tests.services.gateway.registering import TEMPLATE, document
from tests.stacks.configurations import changed, environment_values, workload_values

# The decision framework itself, written out once more by hand: rows are classes, columns boundaries.
ALLOWED: dict[tuple[DataClass, Boundary], bool] = {
    (DataClass.PUBLIC, Boundary.PUBLIC_API): True,
    (DataClass.PUBLIC, Boundary.PRIVATE_ENDPOINT): True,
    (DataClass.PUBLIC, Boundary.SELF_HOSTED): True,
    (DataClass.INTERNAL, Boundary.PUBLIC_API): False,
    (DataClass.INTERNAL, Boundary.PRIVATE_ENDPOINT): True,
    (DataClass.INTERNAL, Boundary.SELF_HOSTED): True,
    (DataClass.CONFIDENTIAL, Boundary.PUBLIC_API): False,
    (DataClass.CONFIDENTIAL, Boundary.PRIVATE_ENDPOINT): True,
    (DataClass.CONFIDENTIAL, Boundary.SELF_HOSTED): True,
    (DataClass.RESTRICTED, Boundary.PUBLIC_API): False,
    (DataClass.RESTRICTED, Boundary.PRIVATE_ENDPOINT): False,
    (DataClass.RESTRICTED, Boundary.SELF_HOSTED): True,
}


def _sealed(**changes: str) -> Registration:
    """What the gateway reads of a registration that says `changes`."""
    key = "arn:aws:kms:eu-west-1:123456789012:key/"
    keys = {tenant: f"{key}{tenant}" for tenant in document()["tenants"]}
    own_keys = {"tenant_key_arns": keys} if changes.get("data_class") == DataClass.RESTRICTED.value else {}
    text = json.dumps({**document(), **own_keys, **changes}).encode()
    return read(text, "document-assistant", "local", lambda _: TEMPLATE.encode())


MATRIX = list(product(DataClass, Boundary, Boundary))


@pytest.fixture(scope="module")
def cedar() -> CedarAuthorization:
    return CedarAuthorization()


@pytest.mark.parametrize(("data_class", "boundary"), ALLOWED)
def test_d_7_configuration_allows_exactly_the_framework(data_class: DataClass, boundary: Boundary) -> None:
    if ALLOWED[data_class, boundary]:
        assert require_boundary(data_class, boundary) is boundary
    else:
        with pytest.raises(ConfigurationError, match=f"{boundary.value} is looser than data class {data_class.value}"):
            require_boundary(data_class, boundary)


@pytest.mark.parametrize(("data_class", "boundary", "model"), MATRIX)
def test_d_7_full_matrix_of_class_registered_boundary_and_model(
    cedar: CedarAuthorization, data_class: DataClass, boundary: Boundary, model: Boundary
) -> None:
    """The gateway routes to a model exactly where the class allows it and the registration is not stricter."""
    asked = registration(
        data_class=ServedClass(data_class.value),
        boundary=ServedBoundary(boundary.value),
        digest=f"{data_class}{boundary}{model}",
    )
    target = offer(boundary=ServedBoundary(model.value))
    if ALLOWED[data_class, model] and at_least_as_strict(model, boundary):
        cedar.authorize(caller(), asked, role(), Endpoint.CHAT_COMPLETIONS, target)
    else:
        with pytest.raises(Denied) as denied:
            cedar.authorize(caller(), asked, role(), Endpoint.CHAT_COMPLETIONS, target)
        assert denied.value.status == 403


@pytest.mark.parametrize(("data_class", "boundary", "model"), [row for row in MATRIX if ALLOWED[row[:2]]])
def test_d_7_a_workload_program_registers_no_model_that_the_gateway_would_refuse(
    data_class: DataClass, boundary: Boundary, model: Boundary
) -> None:
    changes = {"data_class": data_class.value, "boundary": boundary.value, "key_tier": "tenant"}
    workload = Workload.load(changed(workload_values("prod"), changes))
    if ALLOWED[data_class, model] and at_least_as_strict(model, boundary):
        require_offered(workload, [data_class.value], {"nova-lite": model.value})
    else:
        with pytest.raises(ConfigurationError, match="nova-lite is not offered"):
            require_offered(workload, [data_class.value], {"nova-lite": model.value})


@pytest.mark.parametrize(("data_class", "boundary"), ALLOWED)
def test_d_7_a_sealed_registration_is_held_to_the_same_framework(data_class: DataClass, boundary: Boundary) -> None:
    said = {"data_class": data_class.value, "boundary": boundary.value}
    if ALLOWED[data_class, boundary]:
        assert _sealed(**said).boundary.value == boundary.value
    else:
        with pytest.raises(RegistrationError, match="or stricter for data class"):
            _sealed(**said)


def test_d_7_an_unknown_class_is_denied() -> None:
    with pytest.raises(RegistrationError, match="sovereign"):
        _sealed(data_class="sovereign")
    with pytest.raises(ConfigurationError, match="'restricted'"):
        Workload.load(changed(workload_values("prod"), {"data_class": "sovereign"}))
    with pytest.raises(ConfigurationError, match="'restricted'"):
        Environment.load(changed(environment_values("prod"), {"data_classes": ["sovereign"]}))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'"sovereign"', type=ServedClass)


@pytest.mark.parametrize("geo", ["us.amazon.nova-lite-v1:0", "global.amazon.nova-lite-v1:0"])
def test_d_7_data_that_stays_in_its_region_is_not_routed_out_of_it(geo: str) -> None:
    changes = {"models.0.geo_profile": geo, "models.0.destination_regions": ["us-east-1", "us-west-2"]}

    with pytest.raises(ConfigurationError):
        Environment.load(changed(environment_values("prod"), changes))
