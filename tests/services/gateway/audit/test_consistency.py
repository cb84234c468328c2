"""A later head proves that it continues an earlier one; a chain that was rewritten in between cannot."""

from __future__ import annotations

import asyncio
import io
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.audit_signer import KmsSigner
from services.gateway.audit.consistency import Consistency, check, encode, prove
from services.gateway.audit.proof import ProofError
from services.gateway.audit_consistency import prove as prove_from_stores
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.recovery import Recovery
from tests.services.gateway.audit.written import SigningKey, Written


def sealed_at(chain: Written, size: int) -> bytes:
    """The head over the first `size` records, as it was sealed when they were all there were."""
    rows, chain.rows = chain.rows, chain.rows[:size]
    head = chain.seal().content
    chain.rows = rows
    assert head is not None
    return head


def grown(records: int) -> Written:
    chain = Written()
    for number in range(records):
        chain.append("intent", f"r{number}")
    return chain


def proof_of(chain: Written, first: int, second: int, first_head: bytes | None = None) -> Consistency:
    hashes = [row.hash for row in chain.rows[:second]]
    return prove(hashes, first_head or sealed_at(chain, first), first, sealed_at(chain, second))


@given(st.integers(1, 20), st.integers(0, 20))
def test_every_later_head_continues_every_earlier_one(first: int, more: int) -> None:
    chain = grown(first + more)
    proof = encode(proof_of(chain, first, first + more)).encode()
    assert check(proof, chain.key.public.signed) == (first, first + more)


@given(st.integers(2, 12), st.data())
def test_a_chain_rewritten_under_the_first_head_continues_nothing(first: int, data: st.DataObject) -> None:
    chain = grown(first + 5)
    kept = sealed_at(chain, first)
    chain.rewrite_from(data.draw(st.integers(0, first - 1)), {"rewritten": True})
    with pytest.raises(ProofError, match="does not continue"):
        check(encode(proof_of(chain, first, first + 5, kept)).encode(), chain.key.public.signed)


def test_a_head_of_another_key_or_chain_continues_nothing() -> None:
    chain, other = grown(9), grown(9)
    other.key = chain.key
    with pytest.raises(ProofError, match="not signed"):
        check(encode(proof_of(chain, 4, 9)).encode(), SigningKey().public.signed)
    with pytest.raises(ProofError, match="does not continue"):
        check(encode(proof_of(chain, 4, 9, sealed_at(other, 4))).encode(), chain.key.public.signed)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"first":"{}","second":"{}","path":[]}', "null"])
def test_what_is_no_proof_proves_nothing(text: str) -> None:
    with pytest.raises(ProofError, match="is not a proof"):
        check(text.encode(), Written().key.public.signed)


async def until_sealed(chain: AuditChain, size: int) -> None:
    """A head a second, over all that is there."""
    recovery = Recovery(60)
    while chain.sealed is None or chain.sealed[1] < size:
        await recovery.pause()


async def test_heads_of_the_archive_are_proven_to_somebody_with_the_key_only(
    chain: AuditChain, gateway_settings: Settings
) -> None:
    for number in range(10):
        await chain.append(AuditRecord("intent", f"request-{number}", {"n": number}))
    await until_sealed(chain, 11)
    for number in range(10):
        await chain.append(AuditRecord("outcome", f"request-{number}", {"finish": "stop"}))
    await until_sealed(chain, 21)
    assert chain.sealed is not None
    name = UUID(chain.sealed[0])
    await chain.close()
    out = io.StringIO()
    assert await asyncio.to_thread(prove_from_stores, gateway_settings, name, 0, None, out) == 0, out.getvalue()

    key = await KmsSigner(gateway_settings.region, gateway_settings.audit_signing_key_arn).public_key()
    first, second = check(out.getvalue().encode(), key.signed)
    assert 0 < first < second


async def test_of_a_chain_nobody_wrote_nothing_is_proven(chain: AuditChain, gateway_settings: Settings) -> None:
    await chain.close()
    out = io.StringIO()
    assert await asyncio.to_thread(prove_from_stores, gateway_settings, uuid4(), 0, None, out) == 1
    assert out.getvalue().startswith("FAILED")
