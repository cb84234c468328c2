"""`make up`: the whole platform on one machine, and the proof that it does what it promises.

Runs the unmodified programs for environment `local` with the stand-in engine, then asks, attacks and
verifies. Exit 0 only if every step held; the gateway stays up and listening.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from stacks.local.down import stop_everything
from stacks.local.journey import Journey
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.part import PartError
from stacks.local.parts.places import DEFAULT_ROOT, REPOSITORY, Places
from stacks.local.progress import Row, Step, run_steps, table
from stacks.local.proofs import Proofs
from stacks.local.report import write


class Interrupted(BaseException):
    """SIGTERM came while the platform was starting; no error handler may swallow it."""


def steps(journey: Journey, proofs: Proofs) -> tuple[Step, ...]:
    """Everything `make up` does, in order."""
    return (
        Step("start the local parts", journey.start_parts),
        Step("deploy the platform", journey.deploy_platform),
        Step("migrate the database", journey.migrate),
        Step("deploy the workload", journey.deploy_workload),
        Step("gateway is ready", journey.await_gateway),
        Step("write the connection", journey.write_connection),
        Step("ingest documents", proofs.ingest_documents),
        Step("answer quotes a document", proofs.quotes_a_document),
        Step("streamed answer quotes it", proofs.quotes_a_document_streaming),
        Step("the same through Bedrock", proofs.answers_through_bedrock),
        Step("other tenant learns nothing", proofs.keeps_tenants_apart),
        Step("credential never reaches model", proofs.keeps_credentials_from_the_model),
        Step("attack is refused", proofs.refuses_an_attack),
        Step("audit chain verifies", proofs.verifies_the_audit_chain),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="up", description=__doc__)
    parser.add_argument("--model-url", default="", help="OpenAI-compatible base URL to use instead of our model")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="where the run writes")
    parser.add_argument("--port-offset", type=int, default=0, help="moves every port, for a run beside another")
    chosen = parser.parse_args(arguments)
    os.chdir(REPOSITORY)
    signal.signal(signal.SIGTERM, _interrupt)
    places = Places(chosen.root.resolve())
    addresses = Addresses.default().shifted(chosen.port_offset)
    try:
        rows, held = _run(Journey(places, addresses, chosen.model_url), as_json=chosen.json)
    except (KeyboardInterrupt, Interrupted):
        stop_everything(places)
        print("interrupted: what was started is stopped again", file=sys.stderr)
        return 130
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    except BaseException:  # whatever it was, nothing half-started stays
        stop_everything(places)
        raise
    if not held:
        failed = rows[-1]
        stop_everything(places)
        print(f"{failed.step}: {failed.figure}", file=sys.stderr)
        return 1
    return 0


def _run(journey: Journey, *, as_json: bool) -> tuple[list[Row], bool]:
    progress = Console(stderr=True)
    proofs = Proofs(journey)
    plan = steps(journey, proofs)
    rows = run_steps(plan, progress)
    held = len(rows) == len(plan) and all(row.held for row in rows)
    if as_json:
        json.dump([row.plain() for row in rows], sys.stdout, indent=1)
    else:
        Console().print(table("make up", rows))
    if held:
        page = write(journey.places.root, rows, proofs.passages)
        progress.print(f"report: {page}   connection: {journey.places.root / 'connection.json'}")
        progress.print("call it: make ask QUESTION='…'   token: make token ROLE=analyst   stop: make down")
    return rows, held


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
