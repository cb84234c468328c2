"""TLS 1.3 or nothing: a server that offers only 1.2 is not spoken to, by any of the gateway's clients."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.bedrock_model import BedrockModel
from services.gateway.adapters.sagemaker_model import SageMakerModel
from services.gateway.adapters.tls import _certificate, aws_session
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Denied
from tests.services.gateway.fakes import offer
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class _Answers(BaseHTTPRequestHandler):
    """Says yes to everything; its handshakes run in the request's own thread."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b'<?xml version="1.0"?><ListAllMyBucketsResult/>'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class wants these names

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        del format, arguments


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Refused handshakes are what is tested."""


@contextmanager
def speaking(version: str, folder: Path) -> Iterator[str]:
    """A server with a certificate that is trusted through AWS_CA_BUNDLE, speaking up to `version`."""
    pem = folder / "server.pem"
    pem.write_bytes(_certificate("127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.maximum_version = VERSIONS[version]
    with _Server(("127.0.0.1", 0), _Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def _upstream(url: str) -> bool:
    upstream = Upstream()
    await upstream.start()
    try:
        async with upstream.post(f"{url}/v1/x", b"{}", {}) as response:
            return response.status == 200
    except Denied:
        return False
    finally:
        await upstream.close()


async def _own_model_server(url: str) -> bool:
    """As a self-hosted model is called: only its own authority is asked."""
    authority = os.environ.get("MODEL_AUTHORITY", "")
    upstream = Upstream(["127.0.0.1"], authority or _certificate("127.0.0.1").decode())
    await upstream.start()
    try:
        async with upstream.post(f"{url}/v1/x", b"{}", {}) as response:
            return response.status == 200
    except Denied:
        return False
    finally:
        await upstream.close()


async def _aws(url: str) -> bool:
    def ask() -> bool:
        s3 = aws_session("eu-west-1").client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            s3.list_buckets()
        except SSLError:
            return False
        return True

    return await asyncio.to_thread(ask)


async def _bedrock(url: str) -> bool:
    return await _reached(url, "BEDROCK_RUNTIME", BedrockModel, "bedrock-runtime", "bedrock")


async def _sagemaker(url: str) -> bool:
    return await _reached(url, "SAGEMAKER_RUNTIME", SageMakerModel, "sagemaker-runtime", "sagemaker")


Backend = type[BedrockModel] | type[SageMakerModel]


async def _reached(url: str, variable: str, backend: Backend, service: str, signing_name: str) -> bool:
    """Whether a backend got as far as an answer; what this server says is no model's."""
    model = offer(backend=signing_name, upstream_model="x", guardrail_id="gr-1", guardrail_version="3")
    upstream = Upstream()
    await upstream.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(f"AWS_ENDPOINT_URL_{variable}", url)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            signed = SignedRequests(aws_session("eu-west-1"), service, signing_name)
            with pytest.raises(Denied) as denied:
                await anext(backend(upstream, signed).generate(grounded_prompt(admitted_prompt(model=model))))
    finally:
        await upstream.close()
    return not denied.value.reason.startswith(("no TLS", "no connection"))


@pytest.mark.parametrize("client", [_upstream, _aws, _bedrock, _sagemaker])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_22_only_tls_1_3_is_spoken(
    client: Callable[[str], Awaitable[bool]], version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking(version, tmp_path) as url:
        monkeypatch.setenv("AWS_CA_BUNDLE", os.fspath(tmp_path / "server.pem"))
        assert await client(url) is (version == "1.3")


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_own_model_server_is_vouched_for_by_its_own_authority(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking(version, tmp_path) as url:
        monkeypatch.setenv("MODEL_AUTHORITY", (tmp_path / "server.pem").read_text(encoding="utf-8"))
        assert await _own_model_server(url) is (version == "1.3")


async def test_an_authority_of_the_system_does_not_vouch_for_our_own_model_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking("1.3", tmp_path) as url:
        monkeypatch.setenv("AWS_CA_BUNDLE", os.fspath(tmp_path / "server.pem"))
        assert await _upstream(url)
        assert not await _own_model_server(url)


@pytest.mark.parametrize("client", [_upstream, _aws, _bedrock, _sagemaker])
async def test_a_certificate_nobody_vouches_for_is_refused(
    client: Callable[[str], Awaitable[bool]], tmp_path: Path
) -> None:
    with speaking("1.3", tmp_path) as url:
        assert await client(url) is False
