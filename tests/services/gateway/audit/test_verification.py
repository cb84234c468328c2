"""Whatever is done to a chain without the key, the verifier says so and names the first bad place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from services.gateway.audit.head import StoredHead
from services.gateway.audit.record import RECOVERY, Row
from services.gateway.audit.verification import Verification
from tests.services.gateway.audit.written import SigningKey, Written, moved, written

CHAIN = written()  # genesis 0, requests 1 to 12, end 13; heads at 6, 12 and 13


def test_a_chain_as_it_was_written_verifies() -> None:
    report = CHAIN.verify()

    assert report.faults == []
    assert [(one.records, one.heads, one.sealed_seq, one.unsealed, one.ended) for one in report.chains] == [
        (14, 3, 13, 0, True)
    ]


@settings(max_examples=300)
@given(st.data())
def test_c_9_one_changed_character_of_any_column_of_any_record_is_found(data: st.DataObject) -> None:
    seq = data.draw(st.integers(0, len(CHAIN.rows) - 1))
    row = CHAIN.rows[seq]
    change: Callable[[Row], Row] = data.draw(st.sampled_from([_record, _hash, _kind, _request_id]))(data)

    fault = CHAIN.first_fault(rows=[*CHAIN.rows[:seq], change(row), *CHAIN.rows[seq + 1 :]])
    assert fault.startswith(f"seq {seq}: was changed")


def _record(data: st.DataObject) -> Callable[[Row], Row]:
    def change(row: Row) -> Row:
        place = data.draw(st.integers(0, len(row.record) - 1))
        other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != row.record[place]))
        return structs.replace(row, record=row.record[:place] + other + row.record[place + 1 :])

    return change


def _hash(data: st.DataObject) -> Callable[[Row], Row]:
    bit = data.draw(st.integers(0, 255))
    return lambda row: structs.replace(row, hash=(int.from_bytes(row.hash) ^ 1 << bit).to_bytes(32))


def _kind(_data: st.DataObject) -> Callable[[Row], Row]:
    return lambda row: structs.replace(row, kind="refusal")


def _request_id(_data: st.DataObject) -> Callable[[Row], Row]:
    return lambda row: structs.replace(row, request_id="request-99")


@given(st.integers(0, 13))
def test_c_9_a_removed_record_is_found(seq: int) -> None:
    fault = CHAIN.first_fault(rows=[*CHAIN.rows[:seq], *CHAIN.rows[seq + 1 :]])

    assert fault.startswith(f"seq {seq}: is missing")


@given(st.integers(0, 13), st.integers(0, 13))
def test_c_9_swapped_records_are_found(first: int, second: int) -> None:
    rows = list(CHAIN.rows)
    rows[first], rows[second] = moved(CHAIN.rows[second], first), moved(CHAIN.rows[first], second)

    fault = CHAIN.first_fault(rows=rows)
    assert fault.startswith(f"seq {min(first, second)}: was changed or moved") if first != second else fault == ""


@given(st.integers(1, 14))
def test_c_9_a_cut_tail_is_found(kept: int) -> None:
    fault = CHAIN.first_fault(rows=CHAIN.rows[:kept])

    assert fault.startswith(f"seq {kept}: is missing, and all after it") if kept < 14 else fault == ""


def test_a_chain_that_is_gone_altogether_is_found() -> None:
    assert CHAIN.first_fault(rows=[]).startswith("seq 0: is missing, and all after it: a signed head covers 14")


@given(st.integers(0, 12))
def test_a_chain_rewritten_from_some_place_on_is_found_at_the_next_head(seq: int) -> None:
    forged = replace(CHAIN, rows=list(CHAIN.rows))
    forged.rewrite_from(seq, {"model": "another"})
    head = next(head for head in (6, 12, 13) if head >= seq)

    assert forged.first_fault().startswith(f"seq {head}: the signed head covers other records")


def test_a_rewritten_record_with_its_hash_is_found_at_the_link_after_it() -> None:
    forged = replace(CHAIN, rows=list(CHAIN.rows))
    forged.rewrite_from(4, {"model": "another"})

    rows = [*CHAIN.rows[:4], forged.rows[4], *CHAIN.rows[5:]]
    assert CHAIN.first_fault(rows=rows).startswith("seq 5: does not follow seq 4")


def test_a_record_put_in_is_found() -> None:
    rows = [*CHAIN.rows[:5], *(moved(row, row.seq + 1) for row in CHAIN.rows[4:])]

    assert CHAIN.first_fault(rows=rows).startswith("seq 5: was changed or moved: column seq")


def test_records_after_the_end_are_found() -> None:
    longer = replace(CHAIN, rows=list(CHAIN.rows))
    longer.append("intent", "request-99")

    assert longer.first_fault().startswith("seq 14: was added after the end record")


def open_chain(*, written_before: timedelta) -> Written:
    chain = Written(now=datetime.now(UTC) - written_before)
    chain.append("genesis")
    chain.append("intent", "request-1")
    chain.seal()
    chain.append("outcome", "request-1")
    return chain


def test_a_record_no_head_covers_yet_is_counted_and_no_fault() -> None:
    report = open_chain(written_before=timedelta(seconds=2)).verify()

    assert (report.faults, report.chains[0].unsealed) == ([], 1)


def test_a_record_no_head_covers_for_long_is_a_fault() -> None:
    fault = open_chain(written_before=timedelta(seconds=30)).first_fault()

    assert fault.startswith("seq 2: is under no signed head, 30 s after it was written")


def test_a_record_from_the_future_is_a_fault() -> None:
    fault = open_chain(written_before=timedelta(hours=-1)).first_fault()

    assert fault.startswith("seq 0: is from the future")


def test_c_9_a_head_signed_by_another_key_is_a_fault() -> None:
    chain = Written()
    chain.append("genesis")
    chain.seal(key=SigningKey())

    assert chain.first_fault() == "seq 0: its head is not signed by the audit key"


def test_c_9_a_forked_head_is_a_fault_even_when_the_key_signed_it() -> None:
    fork = replace(CHAIN, rows=CHAIN.rows[:4], heads=[])
    fork.append("intent", "request-fork")

    assert CHAIN.first_fault(heads=[*CHAIN.heads, fork.seal()]).startswith("seq 4: the signed head covers other")


def test_a_head_overwritten_by_another_is_a_fault() -> None:
    fork = replace(CHAIN, rows=CHAIN.rows[:6], heads=[])
    fork.append("intent", "request-fork")

    heads = [CHAIN.heads[0], fork.seal(), *CHAIN.heads[1:]]
    assert CHAIN.first_fault(heads=heads) == "seq 6: its head has two versions that differ: forked"


def test_the_same_head_stored_twice_is_no_fault() -> None:
    assert CHAIN.first_fault(heads=[CHAIN.heads[0], *CHAIN.heads]) == ""


def test_a_deleted_head_is_a_fault() -> None:
    heads = [*CHAIN.heads, StoredHead(CHAIN.heads[1].name, None)]

    assert CHAIN.first_fault(heads=heads) == "seq 12: its signed head was deleted from the archive"


def test_a_head_under_another_name_is_a_fault() -> None:
    heads = [*CHAIN.heads[1:], replace(CHAIN.heads[0], name=CHAIN.heads[0].name.replace("6.json", "5.json"))]

    assert "says it is chain" in CHAIN.first_fault(heads=heads)


@given(st.data())
def test_one_changed_byte_of_a_head_is_a_fault(data: st.DataObject) -> None:
    head = CHAIN.heads[0]
    assert head.content is not None
    place = data.draw(st.integers(0, len(head.content) - 1))
    bit = data.draw(st.integers(0, 7))
    content = bytearray(head.content)
    content[place] ^= 1 << bit

    assert "seq 6" in CHAIN.first_fault(heads=[StoredHead(head.name, bytes(content)), *CHAIN.heads[1:]])


def taken_over(of_seq: int) -> tuple[Written, Written, Verification]:
    """A chain whose writer was lost, and the chain of the writer that says it ended at `of_seq`."""
    lost = Written()
    lost.append("genesis")
    lost.append("intent", "request-1")
    lost.append("outcome", "request-1")
    lost.seal()
    body: dict[str, str | int] = {"of_chain": str(lost.chain), "of_seq": of_seq, "of_hash": lost.rows[2].hash.hex()}
    heir = Written(key=lost.key)
    heir.append("genesis")
    heir.append(RECOVERY, body=body)
    heir.seal()
    verification = Verification([*lost.heads, *heir.heads], lost.key.public.signed, datetime.now(UTC))
    for chain in (heir, lost):
        for row in chain.rows:
            verification.add(str(chain.chain), row)
    return lost, heir, verification


def test_a_chain_that_ends_where_it_was_taken_over_verifies() -> None:
    _, _, verification = taken_over(of_seq=2)

    assert verification.finish(open_intents=0).faults == []


@pytest.mark.parametrize("of_seq", [1, 3])
def test_a_chain_that_ends_elsewhere_than_it_was_taken_over_is_a_fault(of_seq: int) -> None:
    lost, heir, verification = taken_over(of_seq)

    (fault,) = verification.finish(open_intents=0).faults
    assert fault.chain == str(lost.chain)
    assert f"chain {heir.chain} took over here after seq {of_seq}" in fault.what
