"""A flood of strangers fills no chain and leaves no refusal without a record."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from services.gateway.adapters.refusal_tally import IDS_MAX, KINDS_MAX, OWN_RECORDS_PER_S, RefusalTally
from services.gateway.exchange import AuditRecord, Unavailable
from tests.recovery import Recovery

BODY: dict[str, str | int] = {
    "endpoint": "models",
    "stage": "identity",
    "reason": "not a token",
    "status": 401,
    "code": "invalid_token",
}


class Log:
    """Keeps records; `broken`: none is durable."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.broken = False

    async def append(self, record: AuditRecord) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise Unavailable("audit", "does not answer")
        self.records.append(record)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tally(log: Log) -> RefusalTally:
    return RefusalTally(log, ticks=lambda: 0.0)


def refusal(number: int, **changes: str | int) -> AuditRecord:
    return AuditRecord("refusal", f"request-{number}", {**BODY, **changes})


async def flood(tally: RefusalTally, records: list[AuditRecord]) -> list[BaseException | None]:
    return await asyncio.gather(*map(tally.append, records), return_exceptions=True)


def counted(log: Log) -> int:
    return sum(int(str(record.body.get("count", 1))) for record in log.records)


async def test_a_few_refusals_have_a_record_each(tally: RefusalTally, log: Log) -> None:
    records = [refusal(number) for number in range(OWN_RECORDS_PER_S)]
    await flood(tally, records)
    assert log.records == records


async def test_of_2000_refusals_at_once_every_one_is_counted_in_a_few_records(tally: RefusalTally, log: Log) -> None:
    records = [refusal(number) for number in range(2_000)]
    assert set(await flood(tally, records)) == {None}
    assert len(log.records) == OWN_RECORDS_PER_S + 1
    assert counted(log) == 2_000
    shared = log.records[-1].body
    ids = [record.request_id for record in records[OWN_RECORDS_PER_S:]]
    assert shared["request_ids"] == tuple(ids[:IDS_MAX])
    assert shared["request_ids_sha256"] == sha256("".join(f"{one}\n" for one in ids).encode()).hexdigest()
    assert {name: shared[name] for name in BODY} == BODY


async def test_what_differs_is_told_apart(tally: RefusalTally, log: Log) -> None:
    await flood(tally, [refusal(number) for number in range(OWN_RECORDS_PER_S)])
    del log.records[:]
    await flood(tally, [refusal(number, reason=("expired", "not a token")[number % 2]) for number in range(100)])
    assert {(record.body["reason"], record.body["count"]) for record in log.records} == {
        ("expired", 50),
        ("not a token", 50),
    }


async def test_inventing_kinds_does_not_help(tally: RefusalTally, log: Log) -> None:
    await flood(tally, [refusal(number, reason=f"invented {number}") for number in range(1_000)])
    assert len(log.records) == OWN_RECORDS_PER_S + KINDS_MAX + 1
    assert counted(log) == 1_000


async def test_known_callers_and_other_records_pass_as_they_are(tally: RefusalTally, log: Log) -> None:
    await flood(tally, [refusal(number) for number in range(OWN_RECORDS_PER_S)])
    del log.records[:]
    records = [refusal(number, subject="alice") for number in range(100)]
    records += [AuditRecord("intent", f"request-{number}", {}) for number in range(100)]
    await flood(tally, records)
    assert log.records == records


async def test_no_refusal_is_answered_before_its_record_is_durable(tally: RefusalTally, log: Log) -> None:
    log.broken = True
    results = await flood(tally, [refusal(number) for number in range(100)])
    assert all(isinstance(result, Unavailable) for result in results)
    assert log.records == []


async def test_who_hangs_up_is_counted_all_the_same(tally: RefusalTally, log: Log) -> None:
    await flood(tally, [refusal(number) for number in range(OWN_RECORDS_PER_S)])
    waiting = [asyncio.ensure_future(tally.append(refusal(number))) for number in range(50)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    recovery = Recovery(30)
    while counted(log) < OWN_RECORDS_PER_S + 50:
        await recovery.pause()
    assert counted(log) == OWN_RECORDS_PER_S + 50


async def test_after_a_quiet_second_refusals_have_records_of_their_own_again(log: Log) -> None:
    now = [0.0]
    tally = RefusalTally(log, ticks=lambda: now[0])
    for _ in range(2):
        del log.records[:]
        await flood(tally, [refusal(number) for number in range(OWN_RECORDS_PER_S)])
        assert [record.body.get("count") for record in log.records] == [None] * OWN_RECORDS_PER_S
        now[0] += 1
