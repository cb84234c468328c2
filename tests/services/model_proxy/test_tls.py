"""TLS 1.3 or nothing, with a certificate that is renewed under way."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from services.model_proxy.certificate import Certificate, CertificateError
from services.model_proxy.metrics import Metrics
from tests.services.model_proxy.certificates import Pair, pair, trusting
from tests.services.model_proxy.conftest import HOST, Site


def handshake(port: int, context: ssl.SSLContext) -> tuple[str | None, int]:
    """The protocol agreed on and the serial number shown. Blocking."""
    with (
        socket.create_connection((HOST, port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
        assert shown is not None
        return tls.version(), x509.load_der_x509_certificate(shown).serial_number


def up_to_tls12(made: Pair) -> ssl.SSLContext:
    context = trusting(made)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def test_b_17_tls_1_3_works_and_tls_1_2_is_refused(site: Site) -> None:
    for address in (site.settings.listen, site.settings.health_listen):
        version, serial = await asyncio.to_thread(handshake, address.port, trusting(site.pair))
        assert (version, serial) == ("TLSv1.3", site.pair.serial)
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.to_thread(handshake, address.port, up_to_tls12(site.pair))


async def test_b_17_openssl_agrees(site: Site) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine; the same is tested with Python's ssl")
    for option, works in (("-tls1_3", True), ("-tls1_2", False)):
        words = ("openssl", "s_client", "-brief", option, "-connect", f"{HOST}:{site.port}")
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode == 0) == works, told
        assert (b"TLSv1.3" in told) == works, told


async def test_b_17_plain_text_is_not_answered(site: Site) -> None:
    for port in (site.port, site.settings.health_listen.port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP/1.1" not in await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert site.vllm.arrived == []


async def test_session_does_not_outlive_its_certificate(site: Site) -> None:
    def resumable() -> bool:
        with (
            socket.create_connection((HOST, site.port), timeout=60) as plain,
            trusting(site.pair).wrap_socket(plain, server_hostname=HOST) as tls,
        ):
            tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while tls.recv(4_096):
                pass
            return tls.session is not None and tls.session.has_ticket

    assert not await asyncio.to_thread(resumable)


def certificate_in(folder: Path, metrics: Metrics | None = None) -> Certificate:
    return Certificate(folder / "tls.crt", folder / "tls.key", metrics or Metrics())


async def shown_by(context: ssl.SSLContext, trusted: tuple[Pair, ...]) -> int:
    """The serial number that a listener with this context shows now."""

    def nobody(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(nobody, HOST, 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return (await asyncio.to_thread(handshake, port, trusting(*trusted)))[1]


async def test_renewed_certificate_counts_from_the_next_handshake(tmp_path: Path) -> None:
    first, second = pair(), pair()
    first.write(tmp_path)
    certificate = certificate_in(tmp_path)
    assert await shown_by(certificate.context, (first, second)) == first.serial
    assert certificate.load() is False  # nothing new
    second.write(tmp_path)
    certificate.renew()
    assert await shown_by(certificate.context, (first, second)) == second.serial


@pytest.mark.parametrize("hole", ["other key", "no certificate", "expired", "missing", "encrypted key"])
async def test_pair_that_does_not_load_leaves_the_one_in_use(tmp_path: Path, hole: str) -> None:
    first, second = pair(), pair()
    certificate_path, key_path = first.write(tmp_path)
    metrics = Metrics()
    certificate = certificate_in(tmp_path, metrics)
    if hole == "other key":
        key_path.write_bytes(second.private_key)
    elif hole == "no certificate":
        certificate_path.write_bytes(b"nothing")
    elif hole == "expired":
        pair(timedelta(minutes=-1)).write(tmp_path)
    elif hole == "encrypted key":
        pair(password=b"secret").write(tmp_path)
    else:
        certificate_path.unlink()
    certificate.renew()
    assert await shown_by(certificate.context, (first,)) == first.serial
    assert metrics.registry.get_sample_value("model_proxy_certificates_refused_total") == 1
    with pytest.raises(CertificateError):
        certificate_in(tmp_path)  # to start with it is refused
