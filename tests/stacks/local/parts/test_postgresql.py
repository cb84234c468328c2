"""PostgreSQL behaves as Aurora does for us: pgvector, a master user without superuser rights, forced row security."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest

from stacks.local.parts import postgresql, processes
from stacks.local.parts.part import PartError
from stacks.local.parts.places import Places
from tests.stacks.local.parts.running_parts import RunningParts

OWNER = "gateway_owner"


@pytest.fixture
def provisioned(running: RunningParts) -> RunningParts:
    postgresql.provision(running.places, running.addresses, "llm", OWNER)
    return running


async def connect(running: RunningParts, user: str, database: str = "llm") -> asyncpg.Connection:
    port = running.addresses.postgresql
    return await asyncpg.connect(host="127.0.0.1", port=port, user=user, database=database, password="an IAM token")


async def test_nearest_vector_is_found_by_the_database(provisioned: RunningParts) -> None:
    connection = await connect(provisioned, OWNER)
    await connection.execute("create extension if not exists vector")  # as a migration says it
    await connection.execute("create temporary table chunk (name text, embedding vector(2))")
    await connection.execute("insert into chunk values ('near', '[1,0]'), ('far', '[0,1]')")
    found = await connection.fetchval("select name from chunk order by embedding <=> '[0.9,0.1]' limit 1")
    assert found == "near"
    assert await connection.fetchval("show fsync") == "on"
    await connection.close()


async def test_row_security_is_forced_even_on_the_owner_of_the_table(provisioned: RunningParts) -> None:
    connection = await connect(provisioned, OWNER)
    await connection.execute("""
        create table note (tenant text, body text);
        alter table note enable row level security; alter table note force row level security;
        create policy own on note using (tenant = current_setting('app.tenant', true));
        set app.tenant = 'acme'; insert into note values ('acme', 'ours');
    """)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("insert into note values ('globex', 'theirs')")
    assert await connection.fetchval("select count(*) from note") == 1
    await connection.execute("set app.tenant = 'globex'")
    assert await connection.fetchval("select count(*) from note") == 0
    await connection.execute("drop table note")
    await connection.close()


async def test_superuser_is_refused_over_the_network_and_answers_on_its_socket(running: RunningParts) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="rejects connection"):
        await connect(running, "postgres", "postgres")
    who = postgresql.run_as_superuser(running.places, running.addresses, "select current_user")
    assert who == "postgres"


async def test_master_user_has_no_superuser_rights(provisioned: RunningParts) -> None:
    connection = await connect(provisioned, OWNER)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("alter role gateway_owner superuser")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("select pg_read_file('/etc/passwd')")
    await connection.execute("create role member login")  # the twin: what RDS lets it do
    await connection.execute("grant rds_iam to member")
    await connection.execute("drop role member")
    await connection.close()


async def test_other_roles_may_not_enter_the_database_uninvited(provisioned: RunningParts) -> None:
    connection = await connect(provisioned, OWNER)
    await connection.execute("create role visitor login")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connect(provisioned, "visitor")
    await connection.execute("grant connect on database llm to visitor")
    visitor = await connect(provisioned, "visitor")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await visitor.execute("create table loot ()")
    await visitor.close()
    await connection.execute("revoke connect on database llm from visitor")
    await connection.execute("drop role visitor")
    await connection.close()


async def test_committed_rows_survive_a_kill(provisioned: RunningParts) -> None:
    connection = await connect(provisioned, OWNER)
    await connection.execute("create table kept (n int)")
    await connection.execute("insert into kept values (7)")
    provisioned.supervisor.kill("postgresql")
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(provisioned, OWNER)
    connection.terminate()
    provisioned.supervisor.start("postgresql")
    healed = await connect(provisioned, OWNER)
    assert await healed.fetchval("select n from kept") == 7
    await healed.execute("drop table kept")
    await healed.close()


def test_statements_stay_out_of_the_log(running: RunningParts) -> None:
    with pytest.raises(PartError, match='relation "nowhere" does not exist'):
        postgresql.run_as_superuser(running.places, running.addresses, "select 'very private' from nowhere")
    log = running.places.log("postgresql").read_text()
    assert 'relation "nowhere" does not exist' in log
    assert "very private" not in log


def test_folder_closed_to_others_is_recognised(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    inside = tmp_path / "inside"
    inside.mkdir(mode=0o755)
    assert not postgresql.is_open_to_others(inside)
    assert postgresql.is_open_to_others(Path("/"))


def test_socket_is_reached_where_its_path_is_too_long(tmp_path: Path) -> None:
    places = Places(tmp_path / ("long" * 30))
    (places.run / "postgresql").mkdir(parents=True)
    (places.run / "postgresql" / "marker").touch()
    with postgresql.socket_folder(places) as (spelled, _descriptors):
        assert len(spelled) < postgresql.SOCKET_PATH_BYTES_MAX
        assert os.listdir(spelled) == ["marker"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
@pytest.mark.parametrize("account", [postgresql.IN_NAMESPACE, postgresql.WITH_CAPABILITY], ids=["namespace", "setpriv"])
def test_root_runs_it_as_another_user_even_in_a_folder_closed_to_others(
    tmp_path: Path, account: postgresql.Account
) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    account.give(folder)
    if not account.can_run(folder):
        pytest.skip("this machine forbids it")
    done = processes.run(account.launch((str(postgresql.binary("initdb")), "--no-sync", f"--pgdata={folder}"), folder))
    assert done.returncode == 0, done.stderr
    refused = postgresql.OURSELVES.launch((str(postgresql.binary("postgres")), "-D", str(folder)), folder)
    assert "execution of the PostgreSQL server is not permitted" in processes.run(refused).stderr


def test_account_that_cannot_be_had_is_recognised(tmp_path: Path) -> None:
    impossible = postgresql.Account(("no-such-command-anywhere",))
    assert not impossible.can_run(tmp_path)
