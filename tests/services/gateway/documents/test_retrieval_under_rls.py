"""What a tenant may see is decided by the database, and passages open only where they belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import boto3
import pytest
from moto.kms.models import kms_backends

from services.gateway.adapters.database import Database
from services.gateway.adapters.document_store import PgDocumentStore
from services.gateway.adapters.documents import PgDocuments, working_for
from services.gateway.adapters.envelope import Envelope, KmsKeys, Scope
from services.gateway.document_ports import Outdated
from services.gateway.exchange import DataClass, Registration, Unavailable
from tests.services.gateway.conftest import REGION
from tests.services.gateway.documents.conftest import MODIFIED, document, passages
from tests.services.gateway.documents.fake_embeddings import DIMENSIONS, vector
from tests.services.gateway.real_parts import OWNER, Postgres

LEAVE = ("Every employee has 25 days of paid leave.", "Leave is asked for ten days ahead.")
QUESTION = vector("how many days of paid leave has every employee")
COPY = (
    "INSERT INTO documents.chunk SELECT tenant, workload, collection, 'copy', n, document_digest, data_class,"
    " data_key_id, nonce, ciphertext,"
)
NEAR = "[" + ",".join(map(str, QUESTION)) + "]"
NEAREST = (
    "SELECT number FROM documents.chunk WHERE collection = ANY ($2)"
    f" ORDER BY embedding::public.vector({DIMENSIONS}) <=> $1::text::public.vector({DIMENSIONS}) LIMIT 5"
)
OpenAs = Callable[[str], Database]


async def texts(documents: PgDocuments, registration: Registration, tenant: str, chunks_max: int = 5) -> list[str]:
    found = await documents.search(registration, tenant, ("handbook",), QUESTION, chunks_max)
    return [chunk.text for chunk in found]


async def test_the_nearest_passages_come_back_decrypted_and_in_order(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(), passages((*LEAVE, "The canteen opens at noon.")))

    found = await documents.search(registration, "acme", ("handbook",), QUESTION, 2)

    assert [chunk.text for chunk in found] == list(LEAVE)
    assert found[0].distance < found[1].distance
    assert (found[0].document, found[0].number, found[0].data_class) == ("leave.txt", 0, DataClass.INTERNAL)


async def test_b_21_a_tenant_gets_nothing_of_another(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document("acme"), passages(LEAVE))
    await store.replace(registration, document("globex"), passages(("Globex leave is unlimited.",)))

    assert await texts(documents, registration, "globex") == ["Globex leave is unlimited."]
    assert await texts(documents, registration, "acme") == list(LEAVE)


async def test_a_workload_gets_nothing_of_another(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(), passages(LEAVE))

    assert await texts(documents, replace(registration, workload="other"), "acme") == []


async def test_another_collection_and_a_higher_data_class_stay_out(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    internal = replace(registration, data_class=DataClass.INTERNAL)
    await store.replace(registration, document(), passages(LEAVE[:1]))
    await store.replace(registration, document(name="hr.txt", collection="hr"), passages(LEAVE[1:]))
    await store.replace(
        registration, document(name="pay.txt", data_class=DataClass.RESTRICTED), passages(("Pay is secret.",))
    )

    assert await texts(documents, internal, "acme") == [LEAVE[0]]
    both = await documents.search(internal, "acme", ("handbook", "hr"), QUESTION, 5)
    assert {chunk.text for chunk in both} == set(LEAVE)


@pytest.mark.parametrize("user", ["gateway", "gateway_ingest"])
async def test_b_21_a_connection_that_does_not_say_for_whom_gets_an_error(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs, user: str
) -> None:
    await store.replace(registration, document(), passages(LEAVE))

    for table in ("chunk", "data_key") if user == "gateway" else ("chunk", "data_key", "document"):
        with pytest.raises(Unavailable) as refusal:
            await as_role(user).fetch(f"SELECT 1 FROM documents.{table}")
        assert isinstance(refusal.value.__cause__, asyncpg.InsufficientPrivilegeError)
        assert "app.tenant is not set" in str(refusal.value.__cause__)


async def test_b_21_the_owner_that_does_not_say_for_whom_sees_no_row(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs
) -> None:
    await store.replace(registration, document(), passages(LEAVE))

    for table in ("chunk", "data_key", "document"):
        assert await as_role(OWNER).fetch(f"SELECT 1 FROM documents.{table}") == []


async def test_b_21_the_owner_sees_no_row_even_when_it_says_for_whom(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    scope = Scope("acme", registration.workload, registration.environment)

    async with working_for(as_role(OWNER), scope) as connection:
        seen_by_owner = await connection.fetchval("SELECT count(*) FROM documents.chunk")
    async with working_for(as_role("gateway"), scope) as connection:
        seen_by_gateway = await connection.fetchval("SELECT count(*) FROM documents.chunk")

    assert (seen_by_owner, seen_by_gateway) == (0, 2)


async def test_a_setting_does_not_outlive_its_transaction(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    database = as_role("gateway")
    async with working_for(database, Scope("acme", registration.workload, "local")) as connection:
        assert await connection.fetchval("SELECT count(*) FROM documents.chunk") == 2

    with pytest.raises(Unavailable) as refusal:
        await database.fetch("SELECT 1 FROM documents.chunk")
    assert "app.tenant is not set" in str(refusal.value.__cause__)


async def test_without_a_where_clause_the_tenant_still_sees_only_its_own(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs
) -> None:
    await store.replace(registration, document("acme"), passages(LEAVE))
    await store.replace(registration, document("globex"), passages(LEAVE))

    async with working_for(as_role("gateway"), Scope("globex", registration.workload, "local")) as connection:
        rows = await connection.fetch("SELECT DISTINCT tenant FROM documents.chunk")

    assert [row["tenant"] for row in rows] == ["globex"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM documents.chunk",
        "UPDATE documents.chunk SET collection = 'x'",
        "INSERT INTO documents.data_key VALUES (gen_random_uuid(), 'acme', 'w', 'arn', 'x', now())",
        "SELECT * FROM documents.document",
        "SELECT documents.ensure_tenant_partition('acme', 'minilm', 128)",
        "ALTER TABLE documents.chunk DISABLE ROW LEVEL SECURITY",
        "SET row_security = off; SELECT * FROM documents.chunk",
        "SET ROLE gateway_owner",
    ],
)
async def test_b_21_the_gateway_may_only_read_and_owns_nothing(as_role: OpenAs, statement: str) -> None:
    async with as_role("gateway").connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_nobody_reads_a_partition_around_its_parent(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    (row,) = await as_role(OWNER).fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'documents.chunk'::regclass"
    )

    for user in ("gateway", "gateway_ingest"):
        async with as_role(user).connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT * FROM {row['name']}")
    assert await as_role(OWNER).fetch(f"SELECT 1 FROM {row['name']}") == []


async def test_ingestion_cannot_write_for_another_tenant(as_role: OpenAs, registration: Registration) -> None:
    scope = Scope("acme", registration.workload, "local")
    with pytest.raises(Unavailable, match="42501"):
        async with working_for(as_role("gateway_ingest"), scope) as connection:
            await connection.execute(
                "INSERT INTO documents.data_key (id, tenant, workload, key_arn, ciphertext)"
                " VALUES (gen_random_uuid(), 'globex', $1, 'arn', 'x')",
                registration.workload,
            )
    with pytest.raises(Unavailable, match="P0001"):
        async with working_for(as_role("gateway_ingest"), scope) as connection:
            await connection.execute("SELECT documents.ensure_tenant_partition('globex', 'minilm', 128)")


async def test_five_thousand_rows_of_another_tenant_change_neither_result_nor_pages_read(
    store: PgDocumentStore,
    documents: PgDocuments,
    registration: Registration,
    as_role: OpenAs,
    postgres: Postgres,
    database_name: str,
) -> None:
    await store.replace(registration, document("acme"), passages([f"{LEAVE[0]} {number}" for number in range(40)]))
    await store.replace(registration, document("globex"), passages(LEAVE))
    await _settle(postgres, database_name)
    before = await texts(documents, registration, "acme"), await _pages_read(as_role, registration)

    superuser = await postgres.superuser(database_name)
    await superuser.execute(
        f"{COPY} $1::text::vector FROM documents.chunk, generate_series(1, 5000) n"
        " WHERE tenant = 'globex' AND number = 0",
        NEAR,
    )
    await superuser.close()
    await _settle(postgres, database_name)

    assert (await texts(documents, registration, "acme"), await _pages_read(as_role, registration)) == before


async def _settle(postgres: Postgres, database_name: str) -> None:
    superuser = await postgres.superuser(database_name)
    await superuser.execute("VACUUM ANALYZE documents.chunk")
    await superuser.close()


async def _pages_read(as_role: OpenAs, registration: Registration) -> int:
    async with working_for(as_role("gateway"), Scope("acme", registration.workload, "local")) as connection:
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NEAREST}", NEAR, ["handbook"])
    (plan,) = json.loads(explained)
    pages: int = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return pages


async def test_a_large_tenant_is_searched_through_its_own_index(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs, postgres: Postgres, database_name: str
) -> None:
    await store.replace(registration, document("acme"), passages(LEAVE))
    superuser = await postgres.superuser(database_name)
    await superuser.execute(
        f"{COPY} (SELECT array_agg(sin(n * 7.3 + i))::vector FROM generate_series(1, {DIMENSIONS}) i)"
        " FROM documents.chunk, generate_series(1, 3000) n WHERE number = 0"
    )
    await superuser.close()
    await _settle(postgres, database_name)

    async with working_for(as_role("gateway"), Scope("acme", registration.workload, "local")) as connection:
        plan = await connection.fetch(f"EXPLAIN {NEAREST}", NEAR, ["handbook"])

    assert any("_embedding_idx" in row[0] for row in plan), "\n".join(row[0] for row in plan)


async def test_a_changed_document_replaces_its_old_passages_in_one_step(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(text="v1"), passages(LEAVE))
    changed = document(text="v2", modified_at=MODIFIED + timedelta(seconds=1))
    assert not await store.holds(registration, changed)

    await store.replace(registration, changed, passages(("Leave is now 30 days.",)))

    assert await texts(documents, registration, "acme") == ["Leave is now 30 days."]
    assert await store.holds(registration, changed)


async def test_an_older_version_never_replaces_a_newer_one(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(text="v2"), passages(LEAVE))

    with pytest.raises(Outdated):
        await store.replace(
            registration, document(text="v1", modified_at=MODIFIED - timedelta(seconds=1)), passages(("old",))
        )

    assert await texts(documents, registration, "acme") == list(LEAVE)


async def test_a_replacement_that_fails_leaves_the_old_document_whole(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(text="v1"), passages(LEAVE))
    broken = (*passages(("new",)), replace(passages(("x",))[0], embedding=(1.0,)))

    with pytest.raises(Unavailable, match="1 dimensions"):
        await store.replace(registration, document(text="v2"), broken)

    assert await texts(documents, registration, "acme") == list(LEAVE)


async def test_vectors_of_another_model_are_refused(
    store: PgDocumentStore, registration: Registration, as_role: OpenAs, envelope: Envelope
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    other = PgDocumentStore(as_role("gateway_ingest"), envelope, "titan", DIMENSIONS)

    with pytest.raises(Unavailable, match="P0001"):
        await other.replace(registration, document(text="v2"), passages(LEAVE))


# --- encryption ------------------------------------------------------------------------------------------


async def test_no_passage_is_stored_in_the_clear(
    store: PgDocumentStore, registration: Registration, postgres: Postgres, database_name: str
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    superuser = await postgres.superuser(database_name)
    stored = await superuser.fetchval("SELECT string_agg(c::text, '') FROM documents.chunk c")
    await superuser.close()

    assert LEAVE[0].encode().hex() not in stored
    assert "employee" not in stored


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE documents.chunk SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)",
        "UPDATE documents.chunk SET ciphertext = set_byte(ciphertext, 0, get_byte(ciphertext, 0) # 1)",
        "UPDATE documents.chunk SET number = number + 7",
        "UPDATE documents.chunk SET collection = 'handbook', document = 'other.txt'",
        "UPDATE documents.chunk SET data_class = 'public'",
        "UPDATE documents.chunk SET document_digest = 'sha256:other'",
        "UPDATE documents.data_key SET ciphertext = set_byte(ciphertext, 60, get_byte(ciphertext, 60) # 1)",
        "DELETE FROM documents.data_key",
    ],
)
async def test_what_was_changed_in_the_database_does_not_open(
    store: PgDocumentStore,
    documents: PgDocuments,
    registration: Registration,
    postgres: Postgres,
    database_name: str,
    tampering: str,
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    superuser = await postgres.superuser(database_name)
    await superuser.execute(tampering)
    await superuser.close()

    with pytest.raises(Unavailable):
        await texts(documents, registration, "acme")


async def test_c_7_a_passage_moved_to_another_tenant_does_not_open(
    store: PgDocumentStore,
    documents: PgDocuments,
    registration: Registration,
    postgres: Postgres,
    database_name: str,
) -> None:
    """Even by somebody who can also give the thief the data key: KMS was told whose it is."""
    await store.replace(registration, document("globex"), passages(("Globex only.",)))
    await store.replace(registration, document("acme"), passages(LEAVE))
    superuser = await postgres.superuser(database_name)
    await superuser.execute("DELETE FROM documents.chunk WHERE tenant = 'acme'")
    await superuser.execute("UPDATE documents.chunk SET tenant = 'acme'")
    await superuser.execute("DELETE FROM documents.data_key WHERE tenant = 'acme'")
    await superuser.execute("UPDATE documents.data_key SET tenant = 'acme'")
    await superuser.close()

    with pytest.raises(Unavailable, match="InvalidCiphertext"):
        await texts(documents, registration, "acme")


async def test_c_7_when_the_key_is_gone_the_passages_are_shredded(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    await store.replace(registration, document(), passages(LEAVE))
    # moto never gets round to deleting a key, so the test takes it out of moto's hands.
    keys = kms_backends["123456789012"][REGION].keys
    del keys[registration.key_arn.rpartition("/")[2]]

    with pytest.raises(Unavailable, match="Decrypt: NotFoundException"):
        await texts(documents, registration, "acme")


async def test_c_7_destroying_a_tenants_key_takes_that_tenants_passages_and_no_other(
    store: PgDocumentStore, documents: PgDocuments, registration: Registration
) -> None:
    keys = {
        tenant: boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
        for tenant in registration.tenants
    }
    separate = replace(registration, tenant_key_arns=keys)
    for tenant in keys:
        await store.replace(separate, document(tenant), passages(LEAVE))
    # moto never gets round to deleting a key, so the test takes it out of moto's hands.
    del kms_backends["123456789012"][REGION].keys[keys["acme"].rpartition("/")[2]]

    with pytest.raises(Unavailable, match="Decrypt: NotFoundException"):
        await texts(documents, separate, "acme")
    assert set(await texts(documents, separate, "globex")) == set(LEAVE)


async def test_each_tenant_has_a_data_key_of_its_own_and_a_new_workload_key_makes_a_new_one(
    store: PgDocumentStore,
    documents: PgDocuments,
    registration: Registration,
    postgres: Postgres,
    database_name: str,
) -> None:
    await store.replace(registration, document("acme"), passages(LEAVE[:1]))
    await store.replace(registration, document("acme", name="b.txt"), passages(LEAVE[1:]))
    await store.replace(registration, document("globex"), passages(LEAVE))
    assert len(await _keys_of(postgres, database_name)) == 2

    arn = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    renewed = replace(registration, key_arn=arn)
    await store.replace(renewed, document("acme", text="v2"), passages(LEAVE[:1]))

    assert len(await _keys_of(postgres, database_name)) == 3
    assert set(await texts(documents, renewed, "acme")) == set(LEAVE)


async def _keys_of(postgres: Postgres, database_name: str) -> list[UUID]:
    superuser = await postgres.superuser(database_name)
    rows = await superuser.fetch("SELECT id FROM documents.data_key")
    await superuser.close()
    return [row["id"] for row in rows]


class _CountingKeys:
    """KMS, counted."""

    def __init__(self) -> None:
        self.decrypted = 0
        self._kms = KmsKeys(REGION)

    async def generate(self, key_arn: str, context: dict[str, str]) -> tuple[bytes, bytes]:
        return await self._kms.generate(key_arn, context)

    async def decrypt(self, key_arn: str, ciphertext: bytes, context: dict[str, str]) -> bytes:
        self.decrypted += 1
        return await self._kms.decrypt(key_arn, ciphertext, context)


async def test_c_7_an_opened_key_is_remembered_for_a_bounded_time_and_for_its_tenant_only(key_arn: str) -> None:
    now_s, keys = 0.0, _CountingKeys()
    envelope = Envelope(keys, lambda: now_s)
    acme, globex = Scope("acme", "assistant", "local"), Scope("globex", "assistant", "local")
    sealed = await envelope.make(key_arn, acme)

    await envelope.open(sealed, acme)
    assert keys.decrypted == 0
    with pytest.raises(Unavailable, match="InvalidCiphertext"):
        await envelope.open(sealed, globex)
    now_s = 301.0
    await envelope.open(sealed, acme)
    assert keys.decrypted == 2
