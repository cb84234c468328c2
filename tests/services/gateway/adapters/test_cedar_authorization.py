"""Cedar's law: a table of who may use what, with each line's forbidden twin."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copy, copytree

import pytest

from services.gateway.adapters.cedar_authorization import FOLDER, CedarAuthorization, PolicyError
from services.gateway.exchange import Boundary, DataClass, Denied, Endpoint
from tests.services.gateway.fakes import caller, offer, registration, role

CHAT = Endpoint.CHAT_COMPLETIONS


@pytest.fixture(scope="module")
def cedar() -> CedarAuthorization:
    return CedarAuthorization()


@pytest.mark.parametrize("data_class", DataClass)
@pytest.mark.parametrize("boundary", Boundary)
def test_a_model_is_permitted_only_inside_the_boundary_of_the_data_class(
    cedar: CedarAuthorization, data_class: DataClass, boundary: Boundary
) -> None:
    allowed = {
        DataClass.PUBLIC: set(Boundary),
        DataClass.INTERNAL: {Boundary.PRIVATE_ENDPOINT, Boundary.SELF_HOSTED},
        DataClass.CONFIDENTIAL: {Boundary.PRIVATE_ENDPOINT, Boundary.SELF_HOSTED},
        DataClass.RESTRICTED: {Boundary.SELF_HOSTED},
    }[data_class]
    registered = registration(data_class=data_class, boundary=Boundary.PUBLIC_API, digest=f"{data_class}{boundary}")
    if boundary in allowed:
        cedar.authorize(caller(), registered, role(), CHAT, offer(boundary=boundary))
        return
    with pytest.raises(Denied) as denied:
        cedar.authorize(caller(), registered, role(), CHAT, offer(boundary=boundary))
    assert denied.value.status == 403


def test_a_registration_can_be_stricter_than_its_data_class(cedar: CedarAuthorization) -> None:
    strict = registration(data_class=DataClass.INTERNAL, boundary=Boundary.SELF_HOSTED, digest="strict")
    cedar.authorize(caller(), strict, role(), CHAT, offer(boundary=Boundary.SELF_HOSTED))
    with pytest.raises(Denied, match="no-looser-boundary"):
        cedar.authorize(caller(), strict, role(), CHAT, offer(boundary=Boundary.PRIVATE_ENDPOINT))


def test_a_model_the_role_does_not_list_is_denied(cedar: CedarAuthorization) -> None:
    with pytest.raises(Denied, match="no policy permits"):
        cedar.authorize(caller(), registration(), role(models=("other",)), CHAT, offer("unlisted"))


def test_another_workloads_tenant_is_denied(cedar: CedarAuthorization) -> None:
    with pytest.raises(Denied, match="tenant-belongs"):
        cedar.authorize(caller(tenant="initech"), registration(), role(), CHAT, offer())


def test_an_embedding_model_does_not_chat_and_the_other_way_round(cedar: CedarAuthorization) -> None:
    cedar.authorize(caller(), registration(), role(), Endpoint.EMBEDDINGS, offer("minilm", kind="embedding"))
    with pytest.raises(Denied):
        cedar.authorize(caller(), registration(), role(), CHAT, offer("minilm", kind="embedding"))
    with pytest.raises(Denied):
        cedar.authorize(caller(), registration(), role(), Endpoint.EMBEDDINGS, offer())


def test_a_decision_is_not_reused_for_another_registration(cedar: CedarAuthorization) -> None:
    cedar.authorize(caller(), registration(digest="first"), role(), CHAT, offer())
    with pytest.raises(Denied):
        cedar.authorize(caller(), registration(digest="second", tenants=("globex",)), role(), CHAT, offer())


def test_policies_that_do_not_fit_the_schema_stop_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    copytree(FOLDER, folder)
    CedarAuthorization(folder)
    (folder / "extra.cedar").write_text("permit (principal, action, resource) when { principal.shoesize > 3 };")
    with pytest.raises(PolicyError, match="shoesize"):
        CedarAuthorization(folder)


FAULTS = {
    "an attribute that is not there": ("resource.boundary < 2", "resource.secret < 2"),
    "an action that is not there": ('Action::"embeddings"', 'Action::"anything"'),
    "a number compared with a text": ("context.data_class >= 3", 'context.data_class >= "3"'),
    "an entity that is not there": ("principal,", "principal is Administrator,"),
    "no Cedar at all": ("permit (", "allow everybody ("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_that_the_schema_shows_stops_the_start(fault: str, tmp_path: Path) -> None:
    before, after = FAULTS[fault]
    folder = tmp_path / "policies"
    copytree(FOLDER, folder)
    text = (folder / "gateway.cedar").read_text()
    assert before in text
    CedarAuthorization(folder)
    (folder / "gateway.cedar").write_text(text.replace(before, after, 1))
    with pytest.raises(PolicyError):
        CedarAuthorization(folder)


def test_a_folder_without_policies_stops_the_start(tmp_path: Path) -> None:
    copy(FOLDER / "gateway.cedarschema", tmp_path)
    with pytest.raises(PolicyError, match="no policy"):
        CedarAuthorization(tmp_path)


def test_the_digest_is_that_of_the_policies_and_schema_in_force(tmp_path: Path) -> None:
    same, policy, schema = (tmp_path / name for name in ("same", "policy", "schema"))
    for folder in (same, policy, schema):
        copytree(FOLDER, folder)
    (policy / "extra.cedar").write_text("forbid (principal, action, resource) when { context.data_class > 99 };")
    with (schema / "gateway.cedarschema").open("a") as file:
        file.write("// changed\n")
    digests = [CedarAuthorization(folder).digest for folder in (FOLDER, same, policy, schema)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in digests)
