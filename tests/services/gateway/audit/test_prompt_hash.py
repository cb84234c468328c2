"""Hashes of prompts are keyed by KMS: stable, not a plain digest, and refused while there is no key."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest
from moto.server import ThreadedMotoServer

from services.gateway.adapters import prompt_hash
from services.gateway.adapters.prompt_hash import PromptHash, derive
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings
from tests.free_ports import free_port
from tests.services.gateway.conftest import Aws
from tests.services.gateway.real_parts import HOST, settings

PROMPT = b'[{"role":"user","text":"yes"}]'


@pytest.fixture
def chosen(aws: Aws) -> Settings:
    return settings(1, "unused", audit_mac_key_arn=aws.mac_key_arn)


async def test_c_10_two_gateways_hash_a_prompt_alike_and_not_as_anybody_could(chosen: Settings) -> None:
    first, second = derive(chosen), derive(chosen)
    await first.start()
    await second.start()

    digest = first.digest(PROMPT)
    assert digest == second.digest(PROMPT)
    assert digest != first.digest(PROMPT + b" ")
    assert digest.startswith("hmac-sha256:")
    assert hashlib.sha256(PROMPT).hexdigest() not in digest
    assert len(digest) == len("hmac-sha256:") + 64


async def test_without_kms_there_is_no_hash_and_with_it_again_there_is(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_hash, "RETRY_AFTER_S", 0.2)
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{port}")
    hashing = derive(chosen)
    await hashing.start()
    with pytest.raises(Unavailable, match="KMS"):
        hashing.digest(PROMPT)

    kms = ThreadedMotoServer(ip_address=HOST, port=port, verbose=False)  # the same keys at another address
    kms.start()
    try:
        await until_ready(hashing)
    finally:
        kms.stop()
    assert hashing.digest(PROMPT).startswith("hmac-sha256:")


async def until_ready(hashing: PromptHash) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        try:
            return hashing.ready()
        except Unavailable:
            assert time.monotonic() < give_up_at
            await asyncio.sleep(0.05)
