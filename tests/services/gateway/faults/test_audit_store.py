"""What the audit chain does when its store is full, its answers are lost or its signatures cannot be had.

The store and the archive are real. A full disk is a limit on the size of the files that PostgreSQL's processes may
write, which the kernel enforces where it would say that a device is full.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

import pytest

from services.gateway.adapters import audit_sealer
from services.gateway.adapters.audit_archive import HeadArchive
from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.audit_sealer import Archive, Signer
from services.gateway.adapters.audit_signer import KmsSigner
from services.gateway.adapters.database import Database
from services.gateway.audit.record import BODY_BYTES_MAX
from services.gateway.exchange import AuditRecord, Unavailable
from services.gateway.settings import Settings
from tests.recovery import RECOVERY_S, Recovery
from tests.services.gateway.audit.conftest import Verifier, database, verifier
from tests.services.gateway.real_parts import Postgres

__all__ = ["database", "verifier"]  # fixtures

FILE_BYTES_MAX = 16 * 1024 * 1024  # a segment of the write-ahead log still fits: the log is not what is full
APPENDED_MAX = 200
FILLER = """
INSERT INTO audit.record (chain, seq, kind, request_id, record, hash)
SELECT
    gen_random_uuid(), n, 'filler', '',
    format('{"body":{"text":"%s"},"ts":"2026-01-01T00:00:00.000000Z"}', repeat('x', 1500)),
    decode(repeat('00', 32), 'hex')
FROM generate_series(1, 14000) AS n
"""


class Archives:
    """The log archive, whose answers can get lost after it has stored."""

    def __init__(self, archive: HeadArchive) -> None:
        self._archive = archive
        self.get, self.last_name = archive.get, archive.last_name
        self.lost = 0

    async def put(self, object_name: str, content: bytes) -> bool:
        stored = await self._archive.put(object_name, content)
        if self.lost:
            self.lost -= 1
            raise Unavailable("audit", "the answer was lost")
        return stored


class Signatures:
    """KMS, which can be away."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.away = False

    async def sign(self, text: bytes) -> bytes:
        if self.away:
            raise Unavailable("audit", "KMS does not answer")
        return await self._signer.sign(text)


def record(kind: str, request_id: str) -> AuditRecord:
    return AuditRecord(kind, request_id, {"finish": "stop"} if kind == "outcome" else {})


async def until(holds: Callable[[], bool]) -> None:
    recovery = Recovery()
    while not holds():
        await recovery.pause()


def is_ready(chain: AuditChain) -> bool:
    try:
        chain.ready()
    except Unavailable:
        return False
    return True


def new_chain(
    settings: Settings, database: Database, *, archive: Archive | None = None, signer: Signer | None = None
) -> AuditChain:
    return AuditChain(
        database,
        signer or KmsSigner(settings.region, settings.audit_signing_key_arn),
        archive or HeadArchive(settings.region, settings.audit_bucket),
        {"software": "sha256:0"},
    )


async def test_a_head_whose_answer_was_lost_is_the_head_and_sealing_goes_on(
    gateway_settings: Settings, database: Database, verifier: Verifier
) -> None:
    archive = Archives(HeadArchive(gateway_settings.region, gateway_settings.audit_bucket))
    chain = new_chain(gateway_settings, database, archive=archive)
    await chain.start()
    await until(lambda: chain.lag_s == 0)
    archive.lost = 2
    await chain.append(record("intent", "one"))  # and nothing after it: the same head is tried again
    await until(lambda: not archive.lost)
    await until(lambda: chain.lag_s == 0)
    await chain.append(record("outcome", "one"))
    await until(lambda: chain.lag_s == 0)
    await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def test_without_signatures_records_are_refused_and_with_them_again_taken(
    gateway_settings: Settings, database: Database, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signatures(KmsSigner(gateway_settings.region, gateway_settings.audit_signing_key_arn))
    chain = new_chain(gateway_settings, database, signer=signer)
    await chain.start()
    signer.away = True
    await chain.append(record("intent", "one"))
    monkeypatch.setattr(audit_sealer, "OVERDUE_S", 1.5)
    await until(lambda: not is_ready(chain))
    with pytest.raises(Unavailable, match="sealed"):
        await chain.append(record("intent", "two"))
    signer.away = False
    await until(lambda: is_ready(chain))
    await chain.append(record("outcome", "one"))
    await chain.close()
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def ends_of(database: Database, request_id: str) -> list[str | None]:
    rows = await database.fetch(
        "SELECT record::json -> 'body' ->> 'late' AS late FROM audit.record WHERE request_id = $1 AND kind = 'outcome'",
        request_id,
    )
    return [row["late"] for row in rows]


async def until_recovered(database: Database) -> None:
    """Only the chain of the living gateway is open: the lost one has its last head, which comes after its outcomes."""
    recovery = Recovery(2 * RECOVERY_S)  # of what somebody else left behind, who is given time to come back
    while await database.fetch("SELECT FROM audit.chain WHERE closed_by IS NULL OFFSET 1"):
        await recovery.pause()


async def test_an_outcome_that_met_a_store_that_was_down_is_written_when_it_is_back(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    chain = new_chain(gateway_settings, database)
    await chain.start()
    for request_id in ("late", "in time"):
        await chain.append(record("intent", request_id))
    await chain.append(record("outcome", "in time"))
    postgres.stop()
    with pytest.raises(Unavailable):
        await chain.append(record("outcome", "late"))
    with pytest.raises(Unavailable):
        await chain.append(record("outcome", "without an intent"))
    postgres.start()
    await until(lambda: is_ready(chain))
    recovery = Recovery()
    while not await ends_of(database, "late"):
        await recovery.pause()
    await chain.close()
    assert await ends_of(database, "late") == ["true"]
    assert await ends_of(database, "in time") == [None]
    assert await ends_of(database, "without an intent") == []
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "0 intents without an outcome" in verdict.text


async def test_an_outcome_that_can_never_be_written_is_in_no_others_way_and_the_next_gateway_says_unknown(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    chain = new_chain(gateway_settings, database)
    await chain.start()
    for request_id in ("too large", "late"):
        await chain.append(record("intent", request_id))
    with pytest.raises(Unavailable):
        await chain.append(AuditRecord("outcome", "too large", {"reason": "x" * BODY_BYTES_MAX}))
    postgres.stop()
    with pytest.raises(Unavailable):
        await chain.append(record("outcome", "late"))
    postgres.start()
    await until(lambda: is_ready(chain))
    await chain.close()
    assert await ends_of(database, "late") == ["true"]
    assert await ends_of(database, "too large") == []

    following = new_chain(gateway_settings, database)
    await following.start()
    await until_recovered(database)
    await following.close()
    assert await ends_of(database, "too large") == [None]
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "0 intents without an outcome" in verdict.text


async def test_a_gateway_whose_requests_another_began_to_close_writes_no_second_outcome(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    chain, other = new_chain(gateway_settings, database), new_chain(gateway_settings, database)
    await chain.start()
    for request_id in ("closed", "still open"):
        await chain.append(record("intent", request_id))
    await other.start()
    await take(postgres, gateway_settings)
    await other.append(AuditRecord("outcome", "closed", {"finish": "unknown"}))  # and there it was killed
    await other.close()
    postgres.stop()
    with pytest.raises(Unavailable):
        await chain.append(record("outcome", "closed"))
    postgres.start()
    await until(lambda: is_ready(chain))
    with pytest.raises(Unavailable, match="its recovery closes the request"):
        await chain.append(record("outcome", "still open"))
    await chain.append(record("intent", "of the new chain"))
    await chain.append(record("outcome", "of the new chain"))
    await until_recovered(database)
    await chain.close()
    for request_id in ("closed", "still open", "of the new chain"):
        assert await ends_of(database, request_id) == [None], request_id
    verdict = await verifier()
    assert verdict.code == 0, verdict.text


async def test_a_gateway_whose_chain_nobody_took_goes_on_with_it_and_no_request_ends_twice(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    chain, other = new_chain(gateway_settings, database), new_chain(gateway_settings, database)
    await chain.start()
    for request_id in ("closed", "still open"):
        await chain.append(record("intent", request_id))
    await other.start()
    await other.append(AuditRecord("outcome", "closed", {"finish": "unknown"}))
    await other.close()
    postgres.stop()
    with pytest.raises(Unavailable):
        await chain.append(record("outcome", "closed"))
    postgres.start()
    await until(lambda: is_ready(chain))
    with pytest.raises(Unavailable, match="had ended already"):
        await chain.append(record("outcome", "closed"))
    await chain.append(record("outcome", "still open"))
    await chain.close()
    for request_id in ("closed", "still open"):
        assert await ends_of(database, request_id) == [None], request_id
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "2 chains" in verdict.text


async def take(postgres: Postgres, gateway_settings: Settings) -> None:
    """Marks the first chain as somebody does who recovers it and has its lock."""
    superuser = await postgres.superuser(gateway_settings.database_name)
    await superuser.execute(
        "UPDATE audit.chain SET taken_at = clock_timestamp() WHERE opened_at = (SELECT min(opened_at) FROM audit.chain)"
    )
    await superuser.close()


def restart(postgres: Postgres, file_bytes_max: int) -> None:
    """The server, whose processes may write files up to that size: they inherit it from here."""
    postgres.stop()
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, most))
    try:
        postgres.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


async def fill(settings: Settings, postgres: Postgres) -> None:
    """A table of more than FILE_BYTES_MAX without a free place, in which nothing is left of what filled it."""
    owner = await postgres.superuser(settings.database_name)
    await owner.execute("ALTER TABLE audit.record SET (autovacuum_enabled = off)")
    await owner.execute("ALTER TABLE audit.record ALTER COLUMN record SET STORAGE plain")
    await owner.execute(FILLER)
    await owner.execute("DELETE FROM audit.record WHERE kind = 'filler'")
    await owner.close()


async def is_refused(chain: AuditChain) -> bool:
    """Soon: what is left of the last page is used up first."""
    for number in range(APPENDED_MAX):
        try:
            await chain.append(AuditRecord("retrieval", f"filling-{number}", {"text": "x" * 1500}))
        except Unavailable:
            return True
    return False


async def test_a_full_disk_refuses_records_and_loses_none(
    gateway_settings: Settings, database: Database, postgres: Postgres, verifier: Verifier
) -> None:
    chain = new_chain(gateway_settings, database)
    await chain.start()
    await chain.append(record("intent", "one"))
    await fill(gateway_settings, postgres)
    await asyncio.to_thread(restart, postgres, FILE_BYTES_MAX)
    try:
        await until(lambda: is_ready(chain))
        assert await is_refused(chain)
        with pytest.raises(Unavailable):
            await chain.append(AuditRecord("outcome", "one", {"text": "x" * 4000}))
    finally:
        await asyncio.to_thread(restart, postgres, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    assert "File too large" in (postgres.folder / "log").read_text()
    await until(lambda: is_ready(chain))
    await chain.append(record("intent", "two"))
    await chain.append(record("outcome", "two"))
    await chain.close()
    assert await ends_of(database, "one") == ["true"]
    assert await ends_of(database, "two") == [None]
    verdict = await verifier()
    assert verdict.code == 0, verdict.text
    assert "0 intents without an outcome" in verdict.text
