"""The gateway as it is wired in production, over real parts: it starts before them, says so, and heals.

PostgreSQL and Valkey are real, AWS is moto, the issuer and the model server are small servers of this test.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from services.gateway.adapters import registrations
from services.gateway.adapters.cedar_authorization import CedarAuthorization
from services.gateway.adapters.circuits import FAILURES_MAX
from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.ledger import SETTLE_WITHIN_S
from services.gateway.adapters.migrations import DIRECTORY, apply, load
from services.gateway.app import Gateway
from services.gateway.settings import Address, Settings
from services.gateway.settings import Issuer as AcceptedIssuer
from tests.recovery import RECOVERY_S, Recovery
from tests.services.gateway.conftest import Aws
from tests.services.gateway.fakes import offer
from tests.services.gateway.issuer import Issuer, running_issuer
from tests.services.gateway.model_server import ModelServer, running_model_server
from tests.services.gateway.real_parts import HOST, OWNER, Postgres, Valkey, settings
from tests.services.gateway.registering import Registry, new_registry
from tests.services.gateway.serving import serving


@dataclass
class Site:
    """A running gateway and what is around it."""

    url: str
    issuer: Issuer
    model: ModelServer
    registry: Registry
    settings: Settings
    http: aiohttp.ClientSession
    operations: str

    async def ready(self) -> dict[str, Any]:
        async with self.http.get(f"{self.operations}/readyz") as response:
            return {"status": response.status, **(await response.json())["parts"]}

    async def becomes(self, status: int, *, within_s: float = RECOVERY_S) -> dict[str, Any]:
        """Asks until readiness is `status`."""
        recovery = Recovery(within_s)
        while (state := await self.ready())["status"] != status:
            await recovery.pause()
        return state

    async def ask(self, *, stream: bool = False, model: str = "local", n: int = 1, **claims: Any) -> tuple[int, str]:
        token = self.issuer.token(**({"roles": ["load"]} | claims))
        body = {"model": model, "messages": [{"role": "user", "content": "How many days?"}], "stream": stream, "n": n}
        headers = {"authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as response:
            return response.status, await response.text()


@pytest.fixture
async def unprepared(
    postgres: Postgres, valkey: Valkey, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """A gateway whose database has no schema and whose bucket no registration."""
    monkeypatch.setattr(registrations, "POLL_S", 0.2)
    name = f"app_{aws.audit_bucket.rpartition('-')[2]}"
    await postgres.create_database(name)
    await postgres.install_vector(name)
    registry = new_registry(f"registrations-{aws.audit_bucket}")
    async with running_issuer() as issuer, running_model_server() as model, aiohttp.ClientSession() as http:
        own = _settings(postgres, name, valkey, aws, registry, issuer, model)
        gateway = Gateway(own)
        async with serving(gateway.application) as url, serving(gateway.operations) as operations:
            yield Site(url, issuer, model, registry, own, http, operations)


def _settings(
    postgres: Postgres, name: str, valkey: Valkey, aws: Aws, registry: Registry, issuer: Issuer, model: ModelServer
) -> Settings:
    return settings(
        postgres.port,
        name,
        valkey_port=valkey.port,
        issuers=(AcceptedIssuer(issuer=issuer.url, audience=issuer.audience, algorithms=issuer.algorithms),),
        registration_bucket=registry.bucket,
        registration_key_arn=registry.key_arn,
        audit_bucket=aws.audit_bucket,
        audit_signing_key_arn=aws.signing_key_arn,
        audit_mac_key_arn=aws.mac_key_arn,
        models=(offer(base_url=model.url), offer("minilm", kind="embedding", base_url=model.url)),
        listen=Address(HOST, 1),
    )


@pytest.fixture
async def site(unprepared: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A gateway with everything it needs."""
    await prepare(unprepared, monkeypatch)
    await unprepared.becomes(200, within_s=60)  # the test has not begun
    return unprepared


async def prepare(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    async with owned(site) as database:
        await apply(database, load(DIRECTORY))
    await asyncio.to_thread(site.registry.publish)


@asynccontextmanager
async def owned(site: Site) -> AsyncIterator[Database]:
    """The gateway's database, as its owner."""
    database = connect(replace(site.settings, database_user=OWNER))
    try:
        yield database
    finally:
        await database.close()


async def test_it_starts_before_its_parts_and_heals_when_they_come(
    unprepared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = await unprepared.ready()
    assert state["status"] == 503
    assert state["database"] != "ready"
    assert state["registrations"] != "ready"
    assert (await unprepared.ask())[0] in (403, 503)
    assert unprepared.model.bodies == []
    await prepare(unprepared, monkeypatch)
    await unprepared.becomes(200)
    status, answer = await unprepared.ask()
    assert status == 200
    assert "thirty days" in answer


async def test_streamed_and_whole_and_embedded(site: Site) -> None:
    status, whole = await site.ask()
    assert (status, "thirty days" in whole) == (200, True)
    status, streamed = await site.ask(stream=True)
    assert (status, streamed.endswith("data: [DONE]\n\n")) == (200, True)
    assert (await site.ask(roles=["analyst"]))[0] == 200
    assert site.model.embedded == ["How many days?"]


@pytest.mark.parametrize("stream", [True, False])
async def test_several_answers_are_one_reservation_settled_to_what_all_used(site: Site, stream: bool) -> None:
    status, answer = await site.ask(stream=stream, n=3)
    assert status == 200
    assert set(re.findall(r'"index":(\d)', answer)) == {"0", "1", "2"}
    assert len(site.model.bodies) == 3
    async with owned(site) as database:
        money = await _settled(database)
        records = await database.fetch("SELECT kind FROM audit.record WHERE request_id <> '' ORDER BY seq")
    assert [(row["state"], row["settled_usd"]) for row in money] == [("settled", 3 * Decimal("0.000019"))]
    assert money[0]["usd"] > money[0]["settled_usd"]
    assert [row["kind"] for row in records] == ["intent", "outcome"]


async def _settled(database: Database) -> Sequence[Any]:
    """All reservations, once none is open: an answer does not wait for its money to be booked."""
    async with asyncio.timeout(60):
        while True:
            money = await database.fetch("SELECT state, usd, settled_usd FROM ledger.reservation")
            if all(row["state"] == "settled" for row in money):
                return money
            await asyncio.sleep(SETTLE_WITHIN_S)


async def test_records_of_the_real_parts_name_user_prompt_policies_usage_and_cost(
    site: Site, postgres: Postgres
) -> None:
    assert (await site.ask())[0] == 200
    assert (await site.ask())[0] == 200
    assert (await site.ask(model="unknown"))[0] == 404
    connection = await postgres.superuser(site.settings.database_name)
    rows = await connection.fetch("SELECT kind, body::text FROM audit.entry WHERE request_id <> '' ORDER BY seq")
    await connection.close()
    bodies = [(row["kind"], json.loads(row["body"])) for row in rows]
    assert [kind for kind, _ in bodies] == ["intent", "outcome", "intent", "outcome", "refusal"]
    (_, intent), (_, outcome), (_, again), _, (_, refused) = bodies
    assert intent["subject"] == refused["subject"] != ""
    assert intent["policy_digest"] == refused["policy_digest"] == CedarAuthorization().digest
    assert re.fullmatch("hmac-sha256:[0-9a-f]{64}", intent["prompt_hash"])
    assert intent["prompt_hash"] == again["prompt_hash"]
    assert outcome["model_version"] != ""
    assert outcome["total_tokens"] == outcome["input_tokens"] + outcome["output_tokens"] > 0
    assert Decimal(outcome["usd"]) > 0
    assert outcome["scanned_bytes"] == outcome["sent_bytes"] > 0


async def test_a_stopped_valkey_is_503_without_a_call_and_heals(site: Site, valkey: Valkey) -> None:
    valkey.stop()
    try:
        assert (await site.ask())[0] == 503
        assert (await site.ready())["limits"] != "ready"
    finally:
        valkey.start()
    assert site.model.bodies == []
    await site.becomes(200)
    await _answers_again(site)


async def test_a_stopped_database_is_503_without_a_call_and_heals(site: Site, postgres: Postgres) -> None:
    postgres.stop()
    try:
        assert (await site.ask())[0] == 503
        assert (await site.ready())["status"] == 503
    finally:
        postgres.start()
    assert site.model.bodies == []
    await site.becomes(200)
    await _answers_again(site)


async def test_a_stopped_issuer_gives_no_stranger_a_pass(site: Site) -> None:
    site.issuer.down = True
    assert (await site.ask())[0] in (200, 503)  # a known key may keep working
    before = len(site.model.bodies)
    headers = {"authorization": f"Bearer {site.issuer.token(header={'kid': 'other'})}"}
    body = {"model": "local", "messages": [{"role": "user", "content": "x"}]}
    async with site.http.post(f"{site.url}/v1/chat/completions", json=body, headers=headers) as response:
        assert response.status in (401, 503)
    assert len(site.model.bodies) == before


async def test_a_failing_model_server_is_502_in_openais_shape_without_its_words(site: Site) -> None:
    site.model.status = 500
    status, body = await site.ask()
    assert status == 502
    assert '"code":"upstream_error"' in body
    assert "quotes the prompt" not in body


async def test_a_model_server_that_goes_on_failing_is_left_alone_and_then_tried(site: Site) -> None:
    site.model.status = 500
    for _ in range(FAILURES_MAX):
        assert (await site.ask())[0] == 502
    status, body = await site.ask()
    assert (status, '"code":"upstream_unavailable"' in body) == (503, True)
    assert len(site.model.bodies) == FAILURES_MAX
    assert (await site.ready())["status"] == 200, "every other model answers"
    async with site.http.get(f"{site.operations}/metrics") as response:
        assert "gateway_breakers_open 1.0" in await response.text()
    site.model.status = 200
    await _answers_again(site)
    async with site.http.get(f"{site.operations}/metrics") as response:
        assert "gateway_breakers_open 0.0" in await response.text()


async def _answers_again(site: Site) -> None:
    recovery = Recovery()
    while (await site.ask())[0] != 200:
        await recovery.pause()
    assert site.model.bodies
