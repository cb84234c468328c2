"""Judges audit chains with no trust in who wrote or kept them: records against hashes, hashes against signed heads.

What each check catches: (1) the hash: a changed record · (2) the columns: a changed copy of a part, swapped
records · (3) seq without a gap: a removed record · (4) the link to the record before: a changed hash, an
inserted record · (5) the head's root over everything up to it: a chain rewritten from some place on, a forked
head · (6) heads beyond the last record: a cut tail, a chain removed · (7) records no head covers for longer
than sealing takes: records added by somebody who cannot sign · (8) versions, signatures and names of heads:
replaced, deleted or foreign heads · (9) recovery records: anything added to a chain after its writer was gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from services.gateway.audit.head import HeadError, Statement, StoredHead, open_sealed
from services.gateway.audit.merkle import Frontier
from services.gateway.audit.record import END, GENESIS, NO_HASH, RECOVERY, Fields, RecordError, Row, leaf_hash, parse

UNSEALED_MAX = timedelta(seconds=10)
CLOCK_SKEW_MAX = timedelta(seconds=60)

Signed = Callable[[bytes, bytes], bool]  # text, signature → signed by the audit key


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where what is stored is not what was written. `seq` is None when no single record is meant."""

    chain: str
    seq: int | None
    what: str

    def __str__(self) -> str:
        place = f"chain {self.chain}" if self.seq is None else f"chain {self.chain} seq {self.seq}"
        return f"{place}: {self.what}"


@dataclass(slots=True)
class ChainReport:
    chain: str
    records: int = 0
    heads: int = 0
    sealed_seq: int | None = None  # the last record under a head
    unsealed: int = 0
    ended: bool = False
    fault: Fault | None = None  # the first in this chain


@dataclass(frozen=True, slots=True)
class Report:
    chains: tuple[ChainReport, ...]
    open_intents: int

    @property
    def faults(self) -> list[Fault]:
        return [report.fault for report in self.chains if report.fault is not None]


@dataclass(slots=True)
class _ChainCheck:
    """Follows one chain record by record until the first fault."""

    report: ChainReport
    heads: Mapping[int, Statement]
    listed_at: datetime  # when the heads were read: records since then may be unsealed
    frontier: Frontier = field(default_factory=Frontier)
    last_hash: bytes = NO_HASH
    first_unsealed: tuple[int, datetime] | None = None
    bad_head: Fault | None = None

    def add(self, row: Row) -> Fields | None:
        """The record's parts, or None when the chain is at fault already."""
        self.report.records += 1
        if self.report.fault is not None:
            return None
        try:
            fields, written_at = self._judge(row)
        except RecordError as error:
            self._fail(self.frontier.size, str(error))
            return None
        self.frontier.add(row.hash)
        self.last_hash = row.hash
        self._compare_with_head(row.seq)
        self._note_sealing(row.seq, written_at)
        self.report.ended = fields.kind == END
        return fields

    def finish(self) -> None:
        report = self.report
        last_head = max(self.heads, default=-1)
        if report.fault is None and last_head >= self.frontier.size:
            self._fail(
                self.frontier.size,
                f"is missing, and all after it: a signed head covers {last_head + 1} records,"
                f" the store has {self.frontier.size}",
            )
        if report.fault is None and self.bad_head is None and self.first_unsealed is not None:
            seq, written_at = self.first_unsealed
            if self.listed_at - written_at > UNSEALED_MAX:
                age_s = (self.listed_at - written_at).total_seconds()
                self._fail(seq, f"is under no signed head, {age_s:.0f} s after it was written")
        # Of a bad head and a bad record, the earlier one is named.
        if self.bad_head is not None and (report.fault is None or _seq(self.bad_head) <= _seq(report.fault)):
            report.fault = self.bad_head

    def _judge(self, row: Row) -> tuple[Fields, datetime]:
        """The record's parts and time; RecordError says what is wrong with it."""
        expected = self.frontier.size
        if row.seq != expected:
            raise RecordError(f"is missing: the next record in the store is seq {row.seq}")
        if leaf_hash(row.record.encode()) != row.hash:
            raise RecordError("was changed: the record does not match its hash")
        fields = parse(row.record)
        self._judge_columns(row, fields)
        self._judge_place(fields)
        return fields, self._judge_time(fields)

    def _judge_columns(self, row: Row, fields: Fields) -> None:
        stored = (self.report.chain, row.seq, row.kind, row.request_id)
        stated = (fields.chain, fields.seq, fields.kind, fields.request_id)
        for name, kept, meant in zip(("chain", "seq", "kind", "request_id"), stored, stated, strict=True):
            if kept != meant:
                raise RecordError(f"was changed or moved: column {name} says {kept!r}, the record {meant!r}")

    def _judge_place(self, fields: Fields) -> None:
        if fields.previous_hash != self.last_hash.hex():
            raise RecordError(f"does not follow seq {fields.seq - 1}: one of the two was changed or put in")
        if (fields.seq == 0) != (fields.kind == GENESIS):
            raise RecordError(f"a chain has one {GENESIS} record, its first (got {fields.kind})")
        if self.report.ended:
            raise RecordError(f"was added after the {END} record")

    def _judge_time(self, fields: Fields) -> datetime:
        try:
            written_at = datetime.fromisoformat(fields.ts).astimezone(UTC)
        except ValueError:
            raise RecordError(f"was changed: ts is not a time ({fields.ts!r})") from None
        # A time to come would put off for ever the moment when a missing head is noticed.
        if written_at > datetime.now(UTC) + CLOCK_SKEW_MAX:
            raise RecordError(f"is from the future ({fields.ts})")
        return written_at

    def _compare_with_head(self, seq: int) -> None:
        statement = self.heads.get(seq)
        if statement is None:
            return
        peaks = [peak.hex() for peak in self.frontier.peaks]
        if (statement.hash, statement.root, statement.peaks) == (
            self.last_hash.hex(),
            self.frontier.root().hex(),
            peaks,
        ):
            self.report.sealed_seq = seq
            return
        first = 0 if self.report.sealed_seq is None else self.report.sealed_seq + 1
        self._fail(
            seq, f"the signed head covers other records than seq {first} to {seq} in the store: rewritten or forked"
        )

    def _note_sealing(self, seq: int, written_at: datetime) -> None:
        if self.report.sealed_seq == seq:
            self.first_unsealed = None
            self.report.unsealed = 0
            return
        self.report.unsealed += 1
        if self.first_unsealed is None:
            self.first_unsealed = (seq, written_at)

    def _fail(self, seq: int | None, what: str) -> None:
        if self.report.fault is None:
            self.report.fault = Fault(self.report.chain, seq, what)


class Verification:
    """Takes the heads first, then the records chain by chain in order of seq, then reports."""

    def __init__(self, stored: Iterable[StoredHead], signed: Signed, listed_at: datetime) -> None:
        self._listed_at = listed_at
        self._heads: dict[str, dict[int, Statement]] = {}
        self._bad_heads: dict[str, Fault] = {}
        self._reports: dict[str, ChainReport] = {}
        self._checks: dict[str, _ChainCheck] = {}
        self._claims: list[tuple[str, Fields]] = []  # chain that says so, its recovery record
        for head_name, versions in _grouped(stored):
            self._take_head(head_name, versions, signed)

    def add(self, chain: str, row: Row) -> None:
        fields = self._check(chain).add(row)
        if fields is not None and fields.kind == RECOVERY:
            self._claims.append((chain, fields))

    def finish(self, open_intents: int) -> Report:
        for chain in sorted(self._reports):
            self._check(chain)
        for check in self._checks.values():
            check.finish()
        for chain, fields in self._claims:
            self._compare_with_claim(chain, fields)
        return Report(tuple(self._reports[chain] for chain in sorted(self._reports)), open_intents)

    def _report(self, chain: str) -> ChainReport:
        return self._reports.setdefault(chain, ChainReport(chain))

    def _check(self, chain: str) -> _ChainCheck:
        if chain not in self._checks:
            self._checks[chain] = _ChainCheck(
                self._report(chain), self._heads.get(chain, {}), self._listed_at, bad_head=self._bad_heads.get(chain)
            )
        return self._checks[chain]

    def _take_head(self, head_name: str, versions: list[bytes | None], signed: Signed) -> None:
        parts = head_name.split("/")
        report = self._report(parts[1] if len(parts) > 1 else head_name)
        report.heads += 1
        what, statement = _judge_head(head_name, versions, signed)
        if statement is not None:
            self._heads.setdefault(statement.chain, {})[statement.seq] = statement
        if what is not None:
            self._bad_heads.setdefault(report.chain, Fault(report.chain, _seq_of(head_name), what))

    def _compare_with_claim(self, claimant: str, fields: Fields) -> None:
        chain, seq, last_hash = (fields.body.get(name) for name in ("of_chain", "of_seq", "of_hash"))
        if "broken" in fields.body or not isinstance(seq, int):
            return
        report = self._report(str(chain))
        check = self._checks.get(str(chain))
        ends_there = check is not None and check.frontier.size == seq + 1 and check.last_hash.hex() == last_hash
        if report.fault is None and not ends_there:
            size = 0 if check is None else check.frontier.size
            what = f"chain {claimant} took over here after seq {seq}; the store has {size} records, or others"
            report.fault = Fault(report.chain, min(seq + 1, size), what)


def _judge_head(head_name: str, versions: list[bytes | None], signed: Signed) -> tuple[str | None, Statement | None]:
    """What is wrong with a head, and what its first version states if that is signed."""
    statement: Statement | None = None
    for content in versions:
        if content is None:
            return "its signed head was deleted from the archive", statement
        try:
            head = open_sealed(head_name, content)
        except HeadError as error:
            return f"head {head_name}: {error}", statement
        if not signed(head.text, head.signature):
            return "its head is not signed by the audit key", statement
        if statement is not None and head.statement != statement:
            return "its head has two versions that differ: forked", statement
        statement = head.statement
    return None, statement


Entry = TypeVar("Entry")


def _grouped(stored: Iterable[StoredHead]) -> list[tuple[str, list[bytes | None]]]:
    versions: dict[str, list[bytes | None]] = {}
    for one in stored:
        versions.setdefault(one.name, []).append(one.content)
    return sorted(versions.items())


def _seq_of(head_name: str) -> int | None:
    number = head_name.rpartition("/")[2].removesuffix(".json")
    return int(number) if number.isascii() and number.isdigit() else None


def _seq(fault: Fault) -> int:
    return -1 if fault.seq is None else fault.seq
