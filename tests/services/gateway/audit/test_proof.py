"""A proof convinces whoever has the public key and nothing else; a forged one convinces nobody."""

from __future__ import annotations

import asyncio
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.audit_signer import KmsSigner
from services.gateway.audit.proof import Proof, ProofError, check, encode
from services.gateway.audit.proof import prove as prove_record
from services.gateway.audit_prove import prove
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.services.gateway.audit.written import SigningKey, written

CHAIN = written()
HASHES = [row.hash for row in CHAIN.rows]
LAST_HEAD = CHAIN.heads[-1].content
assert LAST_HEAD is not None


def proof_of(seq: int) -> Proof:
    assert LAST_HEAD is not None
    return prove_record(CHAIN.rows[seq].record, seq, HASHES, LAST_HEAD)


@given(st.integers(0, 13))
def test_every_record_of_a_chain_is_proven(seq: int) -> None:
    proof = encode(proof_of(seq)).encode()

    assert check(proof, CHAIN.key.public.signed) == CHAIN.rows[seq].record


@given(st.integers(0, 13), st.integers(0, 13))
def test_no_other_record_is_proven_by_the_same_path(seq: int, other: int) -> None:
    proof = msgspec.structs.replace(proof_of(seq), record=CHAIN.rows[other].record)

    if seq == other:
        assert check(encode(proof).encode(), CHAIN.key.public.signed)
    else:
        with pytest.raises(ProofError):
            check(encode(proof).encode(), CHAIN.key.public.signed)


def test_a_head_of_another_key_proves_nothing() -> None:
    with pytest.raises(ProofError, match="not signed by the audit key"):
        check(encode(proof_of(3)).encode(), SigningKey().public.signed)


@given(st.data())
def test_one_changed_byte_of_a_proof_is_found(data: st.DataObject) -> None:
    proof = bytearray(encode(proof_of(3)).encode())
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] ^= 1 << data.draw(st.integers(0, 7))

    try:
        record = check(bytes(proof), CHAIN.key.public.signed)
    except ProofError:
        return
    # Case of a hexadecimal digit, for one, carries no meaning: what is proven is the record itself all the same.
    assert record == CHAIN.rows[3].record


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"record":"","path":[],"head":"{}"}', "null"])
def test_what_is_no_proof_proves_nothing(text: str) -> None:
    with pytest.raises(ProofError, match="is not a proof"):
        check(text.encode(), CHAIN.key.public.signed)


async def test_the_records_of_a_request_are_proven_to_somebody_with_the_key_only(
    chain: AuditChain, gateway_settings: Settings
) -> None:
    for number in range(20):
        await chain.append(AuditRecord("intent", f"request-{number}", {"n": number}))
        await chain.append(AuditRecord("outcome", f"request-{number}", {"finish": "stop"}))
    await chain.close()
    out = io.StringIO()
    assert await asyncio.to_thread(prove, gateway_settings, "request-7", out) == 0, out.getvalue()

    key = await KmsSigner(gateway_settings.region, gateway_settings.audit_signing_key_arn).public_key()
    records = [check(line.encode(), key.signed) for line in out.getvalue().splitlines()]
    assert ['"kind":"intent"' in records[0], '"kind":"outcome"' in records[1], len(records)] == [True, True, 2]


async def test_a_request_nobody_made_is_not_proven(chain: AuditChain, gateway_settings: Settings) -> None:
    await chain.close()
    out = io.StringIO()

    assert await asyncio.to_thread(prove, gateway_settings, "request-99", out) == 1
    assert out.getvalue().startswith("FAILED no record of request 'request-99'")
