"""The end of a proxy: what is under way is finished, nothing new begins."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.services.model_proxy.certificates import pair, trusting
from tests.services.model_proxy.conftest import HOST, Site, settings
from tests.services.model_proxy.test_relay import STREAM
from tests.services.model_proxy.vllm import Vllm, running


def refused(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex((HOST, port)) != 0


async def until_refused(port: int) -> None:
    await until(port, listens=False)


async def until(port: int, *, listens: bool) -> None:
    for _ in range(3_000):
        if refused(port) != listens:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(f"port {port} does not change")


async def test_b_15_answer_under_way_is_finished_and_nothing_new_begins(site: Site) -> None:
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
        await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60)
        site.ended.set()
        await until_refused(site.port)
        with pytest.raises(aiohttp.ClientError):
            await site.caller.get(f"{site.url}/v1/models")
        assert (await site.health("/healthz"))[0] == 200  # the node must not kill it for dead
        assert await site.health("/readyz") == (503, "draining\n")
        assert "model_proxy_draining 1.0" in (await site.health("/metrics"))[1]
        site.vllm.go_on.set()
        assert await answer.content.read() == b"data: two\n\ndata: [DONE]\n\n"
    assert site.serving is not None
    await asyncio.wait_for(site.serving, 30)  # well before the drain would cut it
    assert len(site.vllm.arrived) == 1


async def test_b_15_another_replica_takes_what_is_new(site: Site, tmp_path: Path) -> None:
    other = Site(settings(tmp_path, site.vllm.url), site.vllm, site.pair, site.api_key, site.caller)
    await other.start()
    async with site.caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
        await answer.content.readuntil(b"\n\n")
        site.ended.set()
        await until_refused(site.port)
        async with site.caller.get(f"{other.url}/v1/models") as elsewhere:
            assert elsewhere.status == 200
        site.vllm.go_on.set()
        assert (await answer.content.read()).endswith(b"[DONE]\n\n")
    await other.stop()


async def test_b_15_answer_that_takes_longer_than_the_drain_is_cut_visibly(tmp_path: Path) -> None:
    made = pair()
    made.write(tmp_path)
    (tmp_path / "api-key").write_text("k")
    connector = aiohttp.TCPConnector(ssl=trusting(made))
    async with running(Vllm()) as vllm, aiohttp.ClientSession(connector=connector) as caller:
        site = Site(settings(tmp_path, vllm.url, drain_s=1), vllm, made, "k", caller)
        await site.start()
        async with caller.post(f"{site.url}/v1/chat/completions", json=STREAM) as answer:
            await answer.content.readuntil(b"\n\n")
            site.ended.set()
            with pytest.raises(aiohttp.ClientError):
                await asyncio.wait_for(answer.content.read(), 60)
        assert site.serving is not None
        await asyncio.wait_for(site.serving, 60)
        await asyncio.wait_for(vllm.left.wait(), 60)  # the model server works for nobody


async def test_idle_connections_do_not_delay_the_end(site: Site) -> None:
    async with site.caller.get(f"{site.url}/v1/models") as answer:
        await answer.read()  # the caller keeps the connection
    site.ended.set()
    assert site.serving is not None
    await asyncio.wait_for(site.serving, 30)  # the drain would take longer


async def test_b_15_sigterm_drains_the_process(tmp_path: Path) -> None:
    made = pair()
    certificate, private_key = made.write(tmp_path)
    (tmp_path / "api-key").write_text("k")
    port = free_port()
    async with running(Vllm()) as vllm:
        environment = {
            "PATH": os.environ["PATH"],
            "MODEL_PROXY_UPSTREAM": vllm.url,
            "MODEL_PROXY_LISTEN": f"{HOST}:{port}",
            "MODEL_PROXY_HEALTH_LISTEN": f"{HOST}:{free_port()}",
            "MODEL_PROXY_CERTIFICATE": str(certificate),
            "MODEL_PROXY_PRIVATE_KEY": str(private_key),
            "MODEL_PROXY_API_KEY_FILE": str(tmp_path / "api-key"),
            "MODEL_PROXY_N_MAX": "4",
            "MODEL_PROXY_BODY_BYTES_MAX": "65536",
            "MODEL_PROXY_DRAIN_S": "60",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.model_proxy", "serve", env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            await until(port, listens=True)
            connector = aiohttp.TCPConnector(ssl=trusting(made))
            async with (
                aiohttp.ClientSession(connector=connector) as caller,
                caller.post(f"https://{HOST}:{port}/v1/chat/completions", json=STREAM) as answer,
            ):
                await answer.content.readuntil(b"\n\n")
                process.send_signal(signal.SIGTERM)
                await until_refused(port)
                vllm.go_on.set()
                assert (await answer.content.read()).endswith(b"[DONE]\n\n")
            said, _ = await asyncio.wait_for(process.communicate(), 40)
            assert process.returncode == 0
            assert b'"event":"draining"' in said
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
