"""The audit log as a tamper-evident chain in PostgreSQL, with signed heads in the log archive.

`append` returns when the record is durable, and refuses when it cannot be: no record, no answer. One chain a
process; concurrent appends share a commit. Parts: a writer that holds the chain, a sealer that puts heads over
it, and the recovery of chains that others left behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import platform
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec

from services.gateway.adapters.audit_archive import HeadArchive
from services.gateway.adapters.audit_owed import OUTCOME, OwedOutcomes
from services.gateway.adapters.audit_recovery import Recovery
from services.gateway.adapters.audit_sealer import Archive, Sealer, Signer
from services.gateway.adapters.audit_signer import KmsSigner
from services.gateway.adapters.audit_writer import ChainWriter
from services.gateway.adapters.database import Database
from services.gateway.adapters.group_call import GroupCall, failed
from services.gateway.audit.record import END, HEARTBEAT, INTENT, Body, Entry, RecordError, entry
from services.gateway.exchange import AuditRecord, Unavailable
from services.gateway.settings import Settings

STAGE = "audit"
GROUP_MAX = 512
WAITING_MAX = 4_096
HEARTBEAT_INTERVAL_S = 60.0

_logger = logging.getLogger(__name__)


class AuditChain:
    """`genesis` is what the chain's first record says about its writer: digests of software and settings."""

    def __init__(self, database: Database, signer: Signer, archive: Archive, genesis: Body) -> None:
        self._writer = ChainWriter(database, genesis, self._committed)
        self._sealer = Sealer(self._writer, signer, archive)
        self._recovery = Recovery(database, signer, archive, self._writer, self._append)
        self._owed = OwedOutcomes(database, self._writer, self._append)
        self._writing = GroupCall[Entry, bool](STAGE, self._writer.write, group_max=GROUP_MAX, waiting_max=WAITING_MAX)
        self._open: dict[str, UUID] = {}  # the chain that holds the intent of a request that is under way
        self._committed_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Opens the chain if the database answers; if not, keeps trying, and `append` refuses until then."""
        await self._writer.start()
        self._tasks = [
            asyncio.create_task(self._sealer.run()),
            asyncio.create_task(self._recovery.run()),
            asyncio.create_task(self._owed.run()),
            asyncio.create_task(self._beat()),
        ]

    def append(self, record: AuditRecord) -> Awaitable[None]:
        """Done only when the record is durable; Unavailable otherwise. An outcome is then written later."""
        if record.kind == INTENT:
            return self._append_intent(record)
        if record.kind == OUTCOME:
            return self._outcome(record)
        return self._other(record)

    async def _append_intent(self, record: AuditRecord) -> None:
        self._open[record.request_id] = self._writer.chain.id
        try:
            await self._append(record)
        except Unavailable:
            self._open.pop(record.request_id, None)
            raise

    async def _other(self, record: AuditRecord) -> None:
        _require_written(await self._append(record))

    def _outcome(self, record: AuditRecord) -> asyncio.Future[None]:
        """Into the chain of its intent; when that is lost, whoever recovers it says how the request ended."""
        try:
            now = self._writer.chain.id
        except Unavailable as failure:
            return failed(failure)
        chain = self._open.pop(record.request_id, now)
        if chain != now:
            lost = "the chain that holds the intent was lost: its recovery closes the request"
            return failed(Unavailable(STAGE, lost))
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin(record).add_done_callback(partial(self._ended, chain, record, ended))
        return ended

    def _ended(
        self, chain: UUID, record: AuditRecord, ended: asyncio.Future[None], written: asyncio.Future[bool]
    ) -> None:
        try:
            _require_written(written.result())
        except Unavailable as failure:
            if written.exception() is not None:
                self._owed.owe(chain, record)
            _set(ended, failure)
        except Exception as defect:  # noqa: BLE001 - raised where the end is waited for
            _set(ended, defect)
        else:
            _set(ended, None)

    async def _append(self, record: AuditRecord) -> bool:
        """False for an end of a request that has ended already: it is not written."""
        return await self._begin(record)

    def _begin(self, record: AuditRecord) -> asyncio.Future[bool]:
        try:
            self.ready()
            return self._writing.begin(entry(record.kind, record.request_id, record.body))
        except RecordError as error:
            return failed(Unavailable(STAGE, str(error)))
        except Unavailable as failure:
            return failed(failure)

    def ready(self) -> None:
        """Returns when records can be made durable and are being sealed; Unavailable otherwise."""
        if self._closing:
            raise Unavailable(STAGE, "the audit chain is closing")
        if not self._writer.connected:
            raise Unavailable(STAGE, "the audit store is not connected")
        if self._sealer.overdue:
            raise Unavailable(STAGE, "the audit chain cannot be sealed: no head has been stored in time")

    @property
    def lag_s(self) -> float:
        """Seconds that the oldest record under no signed head has been waiting."""
        return self._sealer.lag_s

    @property
    def sealed(self) -> tuple[str, int] | None:
        """This process's chain and how many of its records are under a signed head."""
        return None if self._sealer.sealed is None else (str(self._sealer.sealed[0]), self._sealer.sealed[1])

    async def close(self) -> None:
        """Finishes what was begun, ends the chain with a record and seals it."""
        if self._closing:
            return
        with suppress(Unavailable):
            await self._owed.pay()
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._writing.drain()
        await self._writer.close(ended=await self._end())

    async def _end(self) -> bool:
        """False when something is missing that only the recovery of the chain can add."""
        try:
            if self._owed.of(self._writer.chain.id):
                _logger.warning("outcomes are still owed: the next gateway ends the audit chain")
                return False
            await self._writer.write([entry(END, "", {})])
            await self._sealer.seal()
        except Unavailable as failure:
            _logger.warning("the audit chain could not be ended in order, the next gateway will: %s", failure.reason)
            return False
        return True

    def _committed(self) -> None:
        self._committed_at = time.monotonic()
        self._sealer.committed()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL_S / 4)
            if time.monotonic() - self._committed_at >= HEARTBEAT_INTERVAL_S:
                with suppress(Unavailable):  # the writer and the sealer say so themselves
                    await self.append(AuditRecord(HEARTBEAT, "", {}))


def _set(ended: asyncio.Future[None], error: Exception | None) -> None:
    if ended.done():  # nobody waits any more
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


def _require_written(written: bool) -> None:
    if not written:
        raise Unavailable(STAGE, "the request had ended already: whoever recovered its chain has closed it")


def audit_chain(settings: Settings, database: Database) -> AuditChain:
    """The audit chain of the settings: signed by KMS, its heads in the log archive."""
    return AuditChain(
        database,
        KmsSigner(settings.region, settings.audit_signing_key_arn),
        HeadArchive(settings.region, settings.audit_bucket),
        {"software": software_digest(), "settings": settings_digest(settings), "host": platform.node()},
    )


def software_digest() -> str:
    """What runs: a digest over the names and bytes of the gateway's own files."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def settings_digest(settings: Settings) -> str:
    """With what it runs. Settings hold no secrets."""
    return f"sha256:{hashlib.sha256(msgspec.json.encode(asdict(settings), order='sorted')).hexdigest()}"
