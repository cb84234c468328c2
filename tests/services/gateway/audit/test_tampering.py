"""`gateway audit verify` against the real stores, after what somebody with every right over the database did."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import boto3
import pytest

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.audit_verify import verify
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.services.gateway.audit.conftest import Verifier
from tests.services.gateway.real_parts import Postgres

REQUESTS = 5  # genesis 0, records 1 to 10, end 11


@pytest.fixture
async def written(chain: AuditChain) -> None:
    for number in range(REQUESTS):
        await chain.append(AuditRecord("intent", f"request-{number}", {"model": "local", "n": number}))
        await chain.append(AuditRecord("outcome", f"request-{number}", {"usd": "0.001"}))
    await chain.close()


@pytest.fixture
async def attacker(postgres: Postgres, gateway_settings: Settings) -> Callable[[str], Awaitable[None]]:
    """Runs a statement as superuser."""

    async def run(statement: str) -> None:
        connection: asyncpg.Connection = await postgres.superuser(gateway_settings.database_name)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    return run


SWAP = """
    UPDATE audit.record SET seq = seq + 1000 WHERE seq IN (4, 6);
    UPDATE audit.record SET seq = CASE seq WHEN 1004 THEN 6 ELSE 4 END WHERE seq >= 1000
"""
PUT_IN = """
    UPDATE audit.record SET seq = seq + 1000 WHERE seq >= 4;
    UPDATE audit.record SET seq = seq - 999 WHERE seq >= 1000;
    INSERT INTO audit.record SELECT chain, 4, kind, request_id, record, hash FROM audit.record WHERE seq = 3
"""
CHANGE = "UPDATE audit.record SET {} WHERE seq = 4"
ATTACKS = {
    "a byte of a record": (CHANGE.format("record = overlay(record placing 'X' from 9)"), "seq 4: was changed"),
    "a byte of a hash": (CHANGE.format("hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"), "seq 4: was changed"),
    "the kind": (CHANGE.format("kind = 'refusal'"), "seq 4: was changed"),
    "the request": (CHANGE.format("request_id = 'request-9'"), "seq 4: was changed"),
    "the chain": (CHANGE.format("chain = gen_random_uuid()"), "seq"),
    "removed": ("DELETE FROM audit.record WHERE seq = 4", "seq 4: is missing"),
    "the first removed": ("DELETE FROM audit.record WHERE seq = 0", "seq 0: is missing"),
    "swapped": (SWAP, "seq 4"),
    "put in": (PUT_IN, "seq 4"),
    "the tail cut": ("DELETE FROM audit.record WHERE seq >= 9", "seq 9: is missing, and all after it"),
    "the last cut": ("DELETE FROM audit.record WHERE seq = 11", "seq 11: is missing, and all after it"),
    "everything": ("DELETE FROM audit.record", "seq 0: is missing, and all after it"),
}


@pytest.mark.usefixtures("written")
async def test_an_untouched_chain_verifies(verifier: Verifier) -> None:
    verdict = await verifier()

    assert verdict.code == 0, verdict.text
    assert "verified: no record was changed, removed, inserted or cut off" in verdict.text


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("attack", ATTACKS)
async def test_tampering_is_found_and_the_first_bad_place_named(
    attack: str, attacker: Callable[[str], Awaitable[None]], verifier: Verifier
) -> None:
    statement, place = ATTACKS[attack]
    await attacker(statement)

    verdict = await verifier()
    assert verdict.code == 1
    assert "FAILED chain " in verdict.text
    assert f" {place}" in verdict.text


@pytest.mark.usefixtures("written")
async def test_a_cut_tail_is_found_although_its_heads_were_deleted(
    gateway_settings: Settings, attacker: Callable[[str], Awaitable[None]], verifier: Verifier
) -> None:
    s3 = boto3.client("s3", region_name=gateway_settings.region)
    heads = s3.list_objects_v2(Bucket=gateway_settings.audit_bucket, Prefix="heads/")["Contents"]
    for head in heads:
        s3.delete_object(Bucket=gateway_settings.audit_bucket, Key=head["Key"])
    await attacker("DELETE FROM audit.record WHERE seq >= 9")

    verdict = await verifier()
    assert verdict.code == 1
    assert "seq 9: is missing" in verdict.text or "was deleted from the archive" in verdict.text


@pytest.mark.usefixtures("written")
async def test_a_head_of_another_signer_is_found(gateway_settings: Settings, verifier: Verifier) -> None:
    kms = boto3.client("kms", region_name=gateway_settings.region)
    another = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    out = io.StringIO()

    code = await asyncio.to_thread(verify, replace(gateway_settings, audit_signing_key_arn=another), out)
    assert code == 1
    assert "not signed by the audit key" in out.getvalue()
    assert (await verifier()).code == 0


@pytest.mark.usefixtures("written")
async def test_json_says_the_same_as_the_table(
    gateway_settings: Settings, attacker: Callable[[str], Awaitable[None]]
) -> None:
    await attacker("DELETE FROM audit.record WHERE seq = 4")
    out = io.StringIO()

    code = await asyncio.to_thread(verify, gateway_settings, out, as_json=True)
    document = json.loads(out.getvalue())
    assert (code, document["verified"]) == (1, False)
    assert "seq 4: is missing" in document["first_fault"]
    assert document["chains"][0]["fault"]["seq"] == 4


@pytest.mark.usefixtures("written")
async def test_the_auditor_can_verify_and_can_change_nothing(gateway_settings: Settings, postgres: Postgres) -> None:
    settings = replace(gateway_settings, database_user="gateway_auditor")
    out = io.StringIO()
    assert await asyncio.to_thread(verify, settings, out) == 0, out.getvalue()

    auditor = await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user="gateway_auditor", database=settings.database_name, password="-"
    )
    try:
        assert await auditor.fetchval("SELECT count(*) FROM audit.entry WHERE body::text LIKE '%local%'") == REQUESTS
        for statement in ("DELETE FROM audit.record", "UPDATE audit.record SET kind = ''", "TRUNCATE audit.record"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await auditor.execute(statement)
    finally:
        await auditor.close()


async def test_a_store_that_does_not_answer_is_no_pass(verifier: Verifier, postgres: Postgres) -> None:
    postgres.stop()
    try:
        verdict = await verifier()
    finally:
        postgres.start()

    assert verdict.code == 1
    assert verdict.text.startswith("FAILED could not verify")
