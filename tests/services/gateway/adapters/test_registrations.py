"""Registrations: loaded live when they hold, refused and alarmed when not, and the last good one stays."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import boto3
import pytest

from services.gateway.adapters import registrations as module
from services.gateway.adapters.registrations import S3Registrations, Source
from services.gateway.adapters.tls import aws_session
from services.gateway.exchange import Denied, Unavailable
from tests.services.gateway.conftest import Aws
from tests.services.gateway.fakes import caller
from tests.services.gateway.registering import REGION, TEMPLATE, Registry, document, new_registry

_numbers = itertools.count()


@pytest.fixture
def registry(aws: Aws) -> Registry:
    return new_registry(f"registrations-test-{next(_numbers)}")


@pytest.fixture
def registrations(registry: Registry) -> S3Registrations:
    return S3Registrations(aws_session(REGION), Source(registry.bucket, registry.key_arn, "local"))


def changed(**changes: Any) -> dict[str, Any]:
    return document() | changes


def changed_role(**changes: Any) -> dict[str, Any]:
    content = document()
    content["roles"]["analyst"] |= changes
    return content


async def test_a_signed_registration_is_loaded_with_its_template(
    registry: Registry, registrations: S3Registrations
) -> None:
    with pytest.raises(Unavailable):
        await registrations.ready()
    registry.publish()
    await registrations.refresh()
    await registrations.ready()
    found = registrations.find(caller())
    role = found.roles["analyst"]
    assert role.template.citations is True
    assert "{context}" in role.template.system
    assert json.loads(role.tools["weather"])["required"] == ["city"]
    assert found.digest.startswith("sha256:")
    assert found.roles["load"].collections == ()


@pytest.mark.parametrize(
    "stranger",
    [
        caller(tenant="initech"),
        type(caller())("https://i", "x", "acme", ("analyst",), {"workload": "other"}),
        type(caller())("https://i", "x", "acme", ("analyst",), {}),
    ],
)
async def test_a_stranger_has_no_registration(
    stranger: Any, registry: Registry, registrations: S3Registrations
) -> None:
    registry.publish()
    await registrations.refresh()
    with pytest.raises(Denied) as denied:
        registrations.find(stranger)
    assert denied.value.status == 403


BAD: dict[str, Callable[[Registry], None]] = {
    "changed after signing": lambda r: r.publish(
        text=json.dumps(document()), signature=r.sign(json.dumps(changed(boundary="private_endpoint")))
    ),
    "signed for another workload": lambda r: r.publish(context={"workload": "other"}),
    "signed for another environment": lambda r: r.publish(context={"environment": "prod"}),
    "signed for another purpose": lambda r: r.publish(context={"purpose": "documents"}),
    "signed under another key": lambda r: r.publish(
        signature=r.sign(json.dumps(document()), boto3.client("kms", REGION).create_key()["KeyMetadata"]["Arn"])
    ),
    "not signed": lambda r: r.publish(signature="bm90IGEgY2lwaGVydGV4dA=="),
    "not base64": lambda r: r.publish(signature="***"),
    "not JSON": lambda r: r.put("registrations/document-assistant.json", "{"),
    "an unknown field": lambda r: r.publish(changed(guardrails="off")),
    "an unknown field in a role": lambda r: r.publish(changed_role(admin=True)),
    "another version": lambda r: r.publish(changed(version=2)),
    "another workload inside": lambda r: r.publish(changed(workload="other")),
    "claims of nobody": lambda r: r.publish(changed(claims={})),
    "another environment": lambda r: r.publish(changed(environment="prod")),
    "a looser boundary than the data class allows": lambda r: r.publish(changed(boundary="public_api")),
    "restricted data on a private endpoint": lambda r: r.publish(
        changed(data_class="restricted", boundary="private_endpoint")
    ),
    "no tenants": lambda r: r.publish(changed(tenants=[])),
    "another template than registered": lambda r: r.publish(template=TEMPLATE + "# changed"),
    "a template elsewhere": lambda r: r.publish(
        changed_role(template=document()["roles"]["analyst"]["template"] | {"key": "templates/other/x.toml"})
    ),
    "a budget that is no number": lambda r: r.publish(
        changed_role(budget={"usd_per_day_user": "NaN", "usd_per_day_workload": "5"})
    ),
    "a limit of nothing": lambda r: r.publish(
        changed_role(limits=document()["roles"]["analyst"]["limits"] | {"output_tokens_max": 0})
    ),
    "a tool schema that would not be checked": lambda r: r.publish(
        changed_role(tools={"t": {"type": "object", "dependentRequired": {"a": ["b"]}}})
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_does_not_hold_is_refused_alarmed_once_and_changes_nothing(
    case: str, registry: Registry, registrations: S3Registrations
) -> None:
    registry.publish()
    await registrations.refresh()
    good = registrations.find(caller())
    BAD[case](registry)
    await registrations.refresh()
    await registrations.refresh()
    assert registrations.find(caller()) == good
    assert registrations.refused == 1


async def test_one_workloads_bad_registration_harms_no_other(
    registry: Registry, registrations: S3Registrations
) -> None:
    stranger = boto3.client("kms", REGION).create_key()["KeyMetadata"]["Arn"]
    text = json.dumps(changed(workload="aaa", claims={"workload": "aaa"}))
    signature = registry.sign(text, stranger, workload="aaa")
    registry.put("registrations/aaa.json", json.dumps({"document": text, "signature": signature}))
    registry.publish()
    await registrations.refresh()
    assert [loaded.workload for loaded in registrations.all()] == ["document-assistant"]
    assert registrations.refused == 1


async def test_a_template_with_another_variable_is_refused(registry: Registry, registrations: S3Registrations) -> None:
    template = TEMPLATE.replace("{today}", "{user}")
    digest = sha256(template.encode()).hexdigest()
    registry.publish(document(template))
    registry.put(f"templates/document-assistant/{digest}.toml", template)
    await registrations.refresh()
    assert registrations.refused == 1
    assert registrations.all() == ()


async def test_a_better_one_heals_and_a_withdrawn_one_goes(registry: Registry, registrations: S3Registrations) -> None:
    registry.publish(changed(tenants=[]))
    await registrations.refresh()
    assert registrations.all() == ()
    registry.publish(changed(tenants=["acme"]))
    await registrations.refresh()
    assert registrations.find(caller()).tenants == ("acme",)
    registry.withdraw()
    await registrations.refresh()
    with pytest.raises(Denied):
        registrations.find(caller())


async def test_a_bucket_that_cannot_be_read_is_not_ready_and_ends_nothing(
    registry: Registry, registrations: S3Registrations
) -> None:
    registry.publish()
    await registrations.refresh()
    gone = S3Registrations(aws_session(REGION), Source("no-such-bucket", registry.key_arn, "local"))
    await gone.start()
    await asyncio.sleep(0.5)
    with pytest.raises(Unavailable):
        await gone.ready()
    await gone.close()
    await registrations.ready()


async def test_registrations_that_cannot_be_read_any_more_stay_and_are_called_stale(
    registry: Registry, registrations: S3Registrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish()
    await registrations.refresh()
    assert registrations.age_s < module.STALE_S
    monkeypatch.setattr(module, "STALE_S", -1)  # as if that time had passed
    with pytest.raises(Unavailable, match="not read for"):
        await registrations.ready()
    assert registrations.find(caller()).workload == "document-assistant"
    monkeypatch.undo()
    await registrations.ready()
