"""`gateway audit verify`: reads all chains and all heads, judges them, and names the first bad place.

It needs three rights and no more: SELECT on the audit tables, reading versions of heads, kms:GetPublicKey (or
the public key as a file). Exit code 0 when everything holds, 1 when not. As the auditor it also leaves a note of its
verdict, which the operator page shows; under another login, or on a copy that takes no writes, it says that it did not.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from services.gateway.adapters import audit_verifications
from services.gateway.adapters.audit_archive import HeadArchive
from services.gateway.adapters.audit_signer import AuditKey, KmsSigner
from services.gateway.adapters.database import DRIVER_ERRORS, Database, connect, unavailable
from services.gateway.audit.record import CLOSING_KINDS, INTENT, Row
from services.gateway.audit.verification import ChainReport, Report, Verification
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

FETCH_ROWS = 5_000
CHAINS_SHOWN_MAX = 20

RECORDS = "SELECT chain, seq, kind, request_id, record, hash FROM audit.record ORDER BY chain, seq"
OPEN_INTENTS = """
SELECT count(*) FROM audit.record AS intent WHERE intent.kind = $1 AND NOT EXISTS (
    SELECT FROM audit.record AS closing
    WHERE closing.request_id = intent.request_id AND closing.request_id <> '' AND closing.kind = ANY ($2)
)
"""


def verify(settings: Settings, out: TextIO, *, as_json: bool = False, public_key: Path | None = None) -> int:
    """Runs the verification and writes its result. For the command line: runs its own event loop."""
    key = None if public_key is None else AuditKey.from_pem(public_key.read_bytes())
    try:
        report, unnoted = asyncio.run(_verify(settings, key))
    except Unavailable as failure:
        out.write(f"FAILED could not verify: {failure.stage}: {failure.reason}\n")
        return 1
    out.write(_as_json(report, unnoted) if as_json else _as_table(report, unnoted))
    return 1 if report.faults else 0


async def _verify(settings: Settings, key: AuditKey | None) -> tuple[Report, str]:
    """The report, and why it could not be noted: empty when it was."""
    database, began_at = connect(settings), datetime.now(UTC)
    archive = HeadArchive(settings.region, settings.audit_bucket)
    signer = KmsSigner(settings.region, settings.audit_signing_key_arn)
    try:
        report = await judge(database, archive, key or await signer.public_key())
        return report, await _note(database, began_at, report)
    finally:
        archive.close()
        await database.close()


async def _note(database: Database, began_at: datetime, report: Report) -> str:
    try:
        await audit_verifications.note(database, began_at, report)
    except Unavailable as failure:
        return failure.reason
    return ""


async def judge(database: Database, archive: HeadArchive, key: AuditKey) -> Report:
    """Heads are read before records: then every record that a head covers is among the records read."""
    listed_at = datetime.now(UTC)
    verification = Verification(await archive.all_heads(), key.signed, listed_at)
    connection = await database.dedicated(statement_timeout_ms=0)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for found in connection.cursor(RECORDS, prefetch=FETCH_ROWS):
                row = Row(found["seq"], found["kind"], found["request_id"], found["record"], found["hash"])
                verification.add(str(found["chain"]), row)
            open_intents: int = await connection.fetchval(OPEN_INTENTS, INTENT, list(CLOSING_KINDS))
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error
    finally:
        connection.terminate()
    return verification.finish(open_intents)


def _as_json(report: Report, unnoted: str) -> str:
    faults = [str(fault) for fault in report.faults]
    document = {
        "verified": not faults,
        "first_fault": faults[0] if faults else None,
        "faults": faults,
        "open_intents": report.open_intents,
        "chains": [asdict(chain) for chain in report.chains],
        "noted": not unnoted,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def _as_table(report: Report, unnoted: str) -> str:
    lines = [f"{'chain':36} {'records':>9} {'heads':>6} {'sealed to':>9} {'unsealed':>8}  state"]
    shown = sorted(report.chains, key=lambda chain: chain.fault is None)[:CHAINS_SHOWN_MAX]
    lines += [_line(chain) for chain in shown]
    if len(report.chains) > len(shown):
        lines.append(f"… and {len(report.chains) - len(shown)} more chains")
    records = sum(chain.records for chain in report.chains)
    heads = sum(chain.heads for chain in report.chains)
    lines.append(
        f"{len(report.chains)} chains, {records} records, {heads} signed heads,"
        f" {report.open_intents} intents without an outcome"
    )
    faults = report.faults
    lines.append(f"FAILED {faults[0]}" if faults else "verified: no record was changed, removed, inserted or cut off")
    if len(faults) > 1:
        lines.append(f"and {len(faults) - 1} more chains at fault")
    if unnoted:
        lines.append(f"this verification is not noted for the operator page: {unnoted}")
    return "\n".join(lines) + "\n"


def _line(chain: ChainReport) -> str:
    state = "FAULT" if chain.fault else ("ended" if chain.ended else "open")
    sealed = "-" if chain.sealed_seq is None else str(chain.sealed_seq)
    return f"{chain.chain:36} {chain.records:9} {chain.heads:6} {sealed:>9} {chain.unsealed:8}  {state}"
