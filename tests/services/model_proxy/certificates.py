"""Certificates made at run time: an authority of the test's own and what it signs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate for loopback that signs itself."""

    certificate: bytes
    private_key: bytes
    serial: int

    def write(self, folder: Path) -> tuple[Path, Path]:
        certificate, private_key = folder / "tls.crt", folder / "tls.key"
        certificate.write_bytes(self.certificate)
        private_key.write_bytes(self.private_key)
        return certificate, private_key


def pair(lifetime: timedelta = HOUR, *, password: bytes | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"model-proxy {serial % 10_000_000}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        locked = serialization.BestAvailableEncryption(password)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private, serial)


def trusting(*pairs: Pair) -> ssl.SSLContext:
    """A client that verifies, and would speak TLS 1.2 too."""
    context = ssl.create_default_context(cadata="".join(one.certificate.decode() for one in pairs))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
