"""The listener's certificate: TLS 1.3 only, loaded anew when its files change, because it lives a day or less.

Kubernetes swaps the files of a mounted secret in one step (a symbolic link), so certificate and key fit each
other once both are read. A pair that does not fit changes nothing: the one in use goes on until it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from services.model_proxy.metrics import Metrics

LOOK_EVERY_S = 10.0

_logger = logging.getLogger(__name__)


class CertificateError(Exception):
    """The certificate cannot be used. The message says why."""


class Certificate:
    """`context` is the listener's, and stays the same object: a renewed pair counts from the next handshake."""

    def __init__(self, certificate: Path, private_key: Path, metrics: Metrics) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._metrics = metrics
        self._seen = b""
        self.context = _tls13()
        self.load()

    def load(self) -> bool:
        """True when there was a new pair. CertificateError when it cannot be used; the one in use stays."""
        try:
            pair = self._private_key.read_bytes() + b"\n" + self._certificate.read_bytes()
            if pair == self._seen:
                return False
            ends_at = _end_of(self._certificate.read_bytes())
            _load(_tls13(), pair)  # on trial: half a pair must not get into the context in use
            _load(self.context, pair)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise CertificateError(f"certificate and key do not load: {type(error).__name__}") from None
        self._seen = pair
        self._metrics.certificate_ends.set(ends_at.timestamp())
        return True

    async def keep_loading(self) -> None:
        """Looks at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.renew()

    def renew(self) -> None:
        try:
            if self.load():
                _logger.info("a renewed certificate is in use")
        except CertificateError as error:
            self._metrics.certificate_refused.inc()
            _logger.error("%s", error)  # noqa: TRY400 - a sentence of ours; a trace would add nothing


def _tls13() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no resumption: a session must not outlive the certificate it began under
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pair: bytes) -> None:
    """From memory, so that what was tried is what is used."""
    memory = os.memfd_create("model-proxy-certificate", os.MFD_CLOEXEC)
    try:
        os.write(memory, pair)
        context.load_cert_chain(f"/proc/self/fd/{memory}", password=_no_password)
    finally:
        os.close(memory)


def _no_password() -> str:
    raise ValueError("the private key is encrypted; OpenSSL would ask at the terminal")


def _end_of(pem: bytes) -> datetime:
    certificate = x509.load_pem_x509_certificate(pem)
    ends_at = certificate.not_valid_after_utc
    if ends_at <= datetime.now(UTC):
        raise CertificateError(f"the certificate ended at {ends_at.isoformat()}")
    return ends_at
