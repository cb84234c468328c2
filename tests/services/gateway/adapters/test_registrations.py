"""Registrations: loaded live when they hold, refused and alarmed when not, and the last good one stays."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Any

import boto3
import pytest

from services.gateway.adapters import registrations as module
from services.gateway.adapters.database import connect
from services.gateway.adapters.registration_document import RegistrationError
from services.gateway.adapters.registration_marks import DatabaseMarks
from services.gateway.adapters.registrations import S3Registrations, Source
from services.gateway.adapters.tls import aws_session
from services.gateway.exchange import Denied, Registration, RoleBudget, SharedLimits, Unavailable
from tests.services.gateway.conftest import Aws
from tests.services.gateway.fakes import caller, registration
from tests.services.gateway.real_parts import Postgres, settings
from tests.services.gateway.registering import REGION, TEMPLATE, Registry, document, new_registry

_numbers = itertools.count()


@pytest.fixture
def registry(aws: Aws) -> Registry:
    return new_registry(f"registrations-test-{next(_numbers)}")


class MarksInMemory:
    """As the database's, until the test ends; `down`: it does not answer."""

    def __init__(self) -> None:
        self.accepted: dict[str, tuple[int, str]] = {}
        self.down = False

    async def advance(self, registration: Registration) -> None:
        if self.down:
            raise Unavailable("database", "does not answer")
        serial, digest = registration.serial, registration.digest
        last = self.accepted.get(registration.workload, (-1, ""))
        if serial < last[0] or (serial == last[0] > 0 and digest != last[1]):
            raise RegistrationError("serial must be higher")
        self.accepted[registration.workload] = (serial, digest)


@pytest.fixture
def marks() -> MarksInMemory:
    return MarksInMemory()


@pytest.fixture
def registrations(registry: Registry, marks: MarksInMemory) -> S3Registrations:
    return S3Registrations(aws_session(REGION), Source(registry.bucket, registry.key_arn, "local"), marks)


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


SHARED = {
    "requests_per_minute": 5,
    "input_tokens_per_minute": 6,
    "output_tokens_per_minute": 7,
    "concurrent_requests_max": 8,
}

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
    "a monthly budget that is no number": lambda r: r.publish(
        changed_role(budget=document()["roles"]["analyst"]["budget"] | {"usd_per_month_user": "-1"})
    ),
    "a shared limit of nothing": lambda r: r.publish(changed(limits={"tenant": SHARED | {"requests_per_minute": 0}})),
    "a shared limit left open": lambda r: r.publish(changed(limits={"workload": {"requests_per_minute": 5}})),
    "a shared limit of nobody": lambda r: r.publish(changed(limits={"everybody": SHARED})),
    "expired": lambda r: r.publish(changed(not_after="2020-01-01T00:00:00Z")),
    "an expiry without a time zone": lambda r: r.publish(changed(not_after="2999-01-01T00:00:00")),
    "a serial below zero": lambda r: r.publish(changed(serial=-1)),
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
    gone = S3Registrations(aws_session(REGION), Source("no-such-bucket", registry.key_arn, "local"), MarksInMemory())
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


async def test_shared_limits_and_further_budgets_are_loaded(registry: Registry, registrations: S3Registrations) -> None:
    content = changed_role(
        budget={
            "usd_per_day_user": "1",
            "usd_per_day_workload": "2",
            "usd_per_day_tenant": "3",
            "usd_per_month_user": "4",
            "usd_per_month_tenant": "5",
            "usd_per_month_workload": "6.50",
        }
    )
    registry.publish(content | {"limits": {"tenant": SHARED}})
    await registrations.refresh()
    found = registrations.find(caller())
    assert found.tenant_limits == SharedLimits(5, 6, 7, 8)
    assert found.workload_limits is None
    assert found.roles["analyst"].budget == RoleBudget(*map(Decimal, ("1", "2", "3", "4", "5", "6.50")))
    assert found.roles["load"].budget.usd_per_month_user is None


async def test_an_older_registration_put_back_is_refused_although_its_signature_holds(
    registry: Registry, registrations: S3Registrations
) -> None:
    registry.publish(changed(serial=7, tenants=["acme", "initech"]))
    await registrations.refresh()
    registry.publish(changed(serial=8))
    await registrations.refresh()
    good = registrations.find(caller())
    registry.publish(changed(serial=7, tenants=["acme", "initech"]))
    await registrations.refresh()
    assert registrations.find(caller()) == good
    assert registrations.refused == 1
    with pytest.raises(Denied):
        registrations.find(caller(tenant="initech"))


@pytest.mark.parametrize("serial", [8, 3, 0])
async def test_a_gateway_that_has_just_started_refuses_it_too(
    serial: int, registry: Registry, registrations: S3Registrations, marks: MarksInMemory
) -> None:
    registry.publish(changed(serial=8))
    await registrations.refresh()
    registry.publish(changed(serial=serial, tenants=["acme", "initech"]))
    restarted = S3Registrations(aws_session(REGION), Source(registry.bucket, registry.key_arn, "local"), marks)
    await restarted.refresh()
    assert restarted.all() == ()
    assert restarted.refused == 1


async def test_without_the_database_what_is_loaded_stays_and_nothing_new_is_loaded(
    registry: Registry, registrations: S3Registrations, marks: MarksInMemory
) -> None:
    registry.publish(changed(serial=1))
    await registrations.refresh()
    marks.down = True
    registry.publish(changed(serial=2))
    await registrations.refresh()
    assert registrations.find(caller()).serial == 1
    marks.down = False
    await registrations.refresh()
    assert registrations.find(caller()).serial == 2
    assert registrations.refused == 0


async def test_a_registration_ends_when_it_says(
    registry: Registry, registrations: S3Registrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at = datetime.now(UTC) + timedelta(hours=1)

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # plain, as others make them
            return ends_at.astimezone(tz)

    registry.publish(changed(not_after=ends_at.isoformat()))
    await registrations.refresh()
    registrations.find(caller())
    monkeypatch.setattr(module, "datetime", Then)
    with pytest.raises(Denied, match="expired"):
        registrations.find(caller())


async def test_the_database_remembers_serials_for_all_gateways(
    postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")

    def version(serial: int, digest: str, workload: str = "assistant") -> Registration:
        return registration(workload=workload, serial=serial, digest=digest)

    database = connect(settings(postgres.port, database_name))
    first, second = DatabaseMarks(database), DatabaseMarks(database)
    try:
        for good in (version(0, "a"), version(0, "b"), version(3, "c"), version(3, "c"), version(4, "d")):
            await first.advance(good)
            await second.advance(good)
        await second.advance(version(1, "other", "claims"))
        for late in (version(3, "c"), version(4, "e"), version(0, "a")):
            with pytest.raises(RegistrationError, match="serial"):
                await second.advance(late)
    finally:
        await database.close()
