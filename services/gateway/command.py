"""The command line: `gateway serve | check | migrate | ingest [--once] | audit … | spend | erase | redact-dataset`.

Settings come from the environment. A setting that is missing or unsafe is one sentence and exit code 1.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from types import FrameType
from uuid import UUID

import uvicorn
import uvloop

from services.gateway import audit_consistency, audit_export, audit_prove, audit_verify, operations_server
from services.gateway.adapters import migrations
from services.gateway.adapters.cedar_authorization import PolicyError
from services.gateway.adapters.migrations import MigrationError
from services.gateway.adapters.spend import By
from services.gateway.adapters.tls import server_context
from services.gateway.app import Gateway
from services.gateway.configuration_check import check
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.erasure import Erasure, erase
from services.gateway.exchange import Denied
from services.gateway.http_protocol import BoundedHttp
from services.gateway.ingestion import ingest
from services.gateway.logs import write_to_stdout
from services.gateway.readiness import Readiness
from services.gateway.redact_dataset import Order, redact_dataset
from services.gateway.settings import Address, Settings, SettingsError
from services.gateway.spend_table import spend, today

DRAIN_S = 25  # less than the 30 s that ECS gives
KEEP_ALIVE_S = 75  # longer than the load balancer's idle timeout: it must be the one that closes


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; the process ends with its exit code."""
    options = _parser().parse_args(arguments)
    if options.run is _check:  # what is wrong is what it is for
        raise SystemExit(_check(options))
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        code = run(Settings.from_environment(os.environ), options)
    except (SettingsError, PolicyError, MigrationError) as error:
        code = _refused(str(error))
    except Denied as denied:
        code = _refused(f"{denied.stage}: {denied.reason}")
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="The central LLM gateway.")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("serve", help="answer requests").set_defaults(run=_serve)
    checking = commands.add_parser("check", help="explain every setting, and whether the gateway would start")
    checking.add_argument("--json", action="store_true", dest="as_json", help="print the table as JSON")
    checking.set_defaults(run=_check)
    commands.add_parser("migrate", help="bring the database schema up to date").set_defaults(run=_migrate)
    ingesting = commands.add_parser("ingest", help="take documents in from the workloads' queues")
    ingesting.add_argument("--once", action="store_true", help="stop when the queues are empty")
    ingesting.set_defaults(run=_ingest)
    audit = commands.add_parser("audit", help="the audit chain").add_subparsers(required=True, metavar="act")
    verifying = audit.add_parser("verify", help="check that no record was changed, removed or cut off")
    verifying.add_argument("--json", action="store_true", dest="as_json", help="print the report as JSON")
    verifying.add_argument("--public-key", type=Path, help="PEM file to use instead of asking KMS")
    verifying.set_defaults(run=_verify)
    proving = audit.add_parser("prove", help="print proofs of a request's records, for outsiders")
    proving.add_argument("request_id", help="as in the response's x-request-id")
    proving.set_defaults(run=_prove)
    _add_reading(audit)
    erasing = commands.add_parser("erase", help="take documents out of the vector store, and write it down")
    erasing.add_argument("--workload", required=True)
    erasing.add_argument("--tenant", required=True)
    erasing.add_argument("--collection", default="", help="with --document; without both, everything of the tenant")
    erasing.add_argument("--document", default="")
    erasing.set_defaults(run=_erase)
    spending = commands.add_parser("spend", help="what was spent, by workload, tenant, user or model")
    spending.add_argument("--by", type=By, choices=list(By), default=By.WORKLOAD, help="whose lines (%(default)s)")
    spending.add_argument("--from", type=date.fromisoformat, default=today(), dest="first", help="first day, UTC")
    spending.add_argument("--to", type=date.fromisoformat, default=today(), dest="last", help="last day, UTC")
    spending.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")
    spending.set_defaults(run=_spend)
    redacting = commands.add_parser("redact-dataset", help="redact invocation records into quarantine")
    redacting.add_argument("--source", required=True, metavar="BUCKET", help="content bucket to read")
    redacting.add_argument("--prefix", required=True, help="which of its objects")
    redacting.add_argument("--quarantine", required=True, metavar="BUCKET", help="where the redacted records go")
    redacting.add_argument("--token-key", required=True, metavar="ARN", help="KMS key that tokens are made with")
    redacting.add_argument("--run", required=True, help="name of this run: the same values get the same tokens")
    redacting.add_argument(
        "--source-class", required=True, action="append", metavar="CLASS", help="data class of what is read; repeatable"
    )
    redacting.set_defaults(run=_redact)
    return parser


def _add_reading(audit: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    exporting = audit.add_parser("export", help="print the records of a time range, one a line, and a manifest")
    exporting.add_argument("--since", required=True, type=_moment, metavar="TIME", help="as 2026-01-31T00:00:00Z")
    exporting.add_argument("--until", required=True, type=_moment, metavar="TIME", help="not included")
    exporting.add_argument("--tenant", default="", help="of one tenant only")
    exporting.add_argument("--subject", default="", help="of one user only: `sub` of the token")
    exporting.set_defaults(run=_export)
    continuing = audit.add_parser("consistency", help="prove that a later head of a chain continues an earlier one")
    continuing.add_argument("chain", type=UUID)
    continuing.add_argument("first", type=int, help="number of a record under the earlier head")
    continuing.add_argument("second", type=int, nargs="?", help="number of one under the later; else the last head")
    continuing.set_defaults(run=_consistency)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("a time needs its zone, as in 2026-01-31T00:00:00Z")
    return moment


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    del options
    write_to_stdout(CredentialDetector())
    gateway = Gateway(settings)
    config = uvicorn.Config(
        gateway.application,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        ssl_context_factory=None if settings.listen.loopback else lambda *_: server_context(settings.listen.host),
    )
    # uvicorn repeats the signal after it has drained: that is a good end, not a crash.
    signal.signal(signal.SIGTERM, _ended)
    _spare_the_collector()
    operations = _listening(settings.operations_listen, "GATEWAY_OPERATIONS_LISTEN")
    uvloop.run(_serve_both(Draining(config, gateway.readiness), gateway, settings.operations_listen, operations))
    return 0


async def _serve_both(server: uvicorn.Server, gateway: Gateway, address: Address, operations: socket.socket) -> None:
    """The operations port is there first and goes last: it tells what is missing, and that the other one drains."""
    _spare_the_loop()
    listening = _listening(gateway.settings.listen, "GATEWAY_LISTEN")
    async with operations_server.serving(gateway.operations, address, operations):
        await server.serve(sockets=[listening])


class Draining(uvicorn.Server):
    """Says that it drains as soon as it is told to end."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness) -> None:
        super().__init__(config)
        self._readiness = readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._readiness.draining = True
        super().handle_exit(sig, frame)


def _spare_the_collector() -> None:
    """What lives as long as the process is never looked at again, and a request alone starts no collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _spare_the_loop() -> None:
    """The loop would keep a list of running generators, to close them at its end: who made one closes it here."""
    sys.set_asyncgen_hooks(firstiter=None)


def _listening(address: Address, name: str) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), backlog=2048, reuse_port=False)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        raise SettingsError(f"{name}: cannot listen on {where}: {os.strerror(error.errno or 0)}") from error


def _check(options: argparse.Namespace) -> int:
    return check(os.environ, sys.stdout, CredentialDetector(), as_json=options.as_json)


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    del options
    migrations.migrate(settings)
    return 0


def _ingest(settings: Settings, options: argparse.Namespace) -> int:
    write_to_stdout(CredentialDetector())
    return uvloop.run(ingest(settings, options.once))


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    return audit_verify.verify(settings, sys.stdout, as_json=options.as_json, public_key=options.public_key)


def _prove(settings: Settings, options: argparse.Namespace) -> int:
    return audit_prove.prove(settings, options.request_id, sys.stdout)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    wanted = audit_export.Wanted(options.since, options.until, options.tenant, options.subject)
    return audit_export.export(settings, wanted, sys.stdout)


def _consistency(settings: Settings, options: argparse.Namespace) -> int:
    return audit_consistency.prove(settings, options.chain, options.first, options.second, sys.stdout)


def _erase(settings: Settings, options: argparse.Namespace) -> int:
    if bool(options.collection) != bool(options.document):
        return _refused("--collection and --document go together")
    erasure = Erasure(options.workload, options.tenant, options.collection, options.document)
    return erase(settings, erasure, sys.stdout)


def _spend(settings: Settings, options: argparse.Namespace) -> int:
    return spend(settings, options.by, options.first, options.last, sys.stdout, as_json=options.as_json)


def _redact(settings: Settings, options: argparse.Namespace) -> int:
    order = Order(
        options.source, options.prefix, options.quarantine, options.token_key, options.run, options.source_class
    )
    return redact_dataset(settings.region, order, sys.stdout)


def _ended(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def _refused(sentence: str) -> int:
    print(f"gateway: {sentence}", file=sys.stderr)
    return 1
