"""TLS 1.3 or nothing: contexts for what the gateway calls, for AWS clients, and for its own listener."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTIFICATE_DAYS = 90
AWS_CONNECT_TIMEOUT_S = 2
AWS_READ_TIMEOUT_S = 10


def client_context() -> ssl.SSLContext:
    """Verified against the system's authorities and, where AWS_CA_BUNDLE names a file, those in it."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        context.load_verify_locations(bundle)
    return context


def client_context_for(authority_pem: str) -> ssl.SSLContext:
    """Verified against `authority_pem` and nobody else: no public authority can vouch for a model server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority_pem)
    return context


def server_context(host: str) -> ssl.SSLContext:
    """For the gateway's own listener: a key and a certificate made now, never written to disk.

    The load balancer in front encrypts to its targets and does not verify who they are; the key lives as
    long as the process.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    memory = os.memfd_create("gateway-certificate", os.MFD_CLOEXEC)
    try:
        os.write(memory, _certificate(host))
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context


def aws_session(region: str) -> boto3.Session:
    """An AWS session whose clients speak TLS 1.3 only, whatever botocore's own default is."""
    core = botocore.session.Session()
    sender = _Tls13Sender(
        verify=core.get_config_variable("ca_bundle") or True,
        timeout=(AWS_CONNECT_TIMEOUT_S, AWS_READ_TIMEOUT_S),  # type: ignore[arg-type]  # botocore passes such pairs too
        max_pool_connections=16,
    )
    core.register("before-send", sender.send_instead)  # type: ignore[arg-type]  # what it returns is the response
    return boto3.Session(botocore_session=core, region_name=region)


class _Tls13Sender(URLLib3Session):
    """Sends in place of botocore's own HTTP session, through its documented before-send event."""

    def send_instead(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        response: AWSResponse = self.send(request)
        return response

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()  # type: ignore[misc]  # missing from the stubs
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def _certificate(host: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_alternative_name(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
