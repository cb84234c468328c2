"""ACM: certificates that a program requests, and a stand-in for one that the account already holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stacks.local.parts import certificates
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list

_KEY = b"-----BEGIN PRIVATE KEY-----"


def held_or_stand_in(aws: Aws, arn: str) -> str:
    """A listener names a certificate that lies in the account before any deployment; an emulator starts empty.

    Where it holds none of that name, one made now is imported, under the ARN that the import gives it.
    """
    acm = aws.client("acm")
    try:
        acm.describe_certificate(CertificateArn=arn)
    except acm.exceptions.ResourceNotFoundException:
        certificate, key = _made_now()
        return str(acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"])
    return arn


def _made_now() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "server.pem"
        certificates.make(Path(folder) / "ca.pem", chain)
        certificate, _, key = chain.read_bytes().partition(_KEY)
    return certificate, _KEY + key


def _create(aws: Aws, inputs: Inputs) -> Made:
    made = aws.client("acm").request_certificate(
        DomainName=inputs["domainName"],
        **given(
            ValidationMethod=inputs.get("validationMethod"),
            SubjectAlternativeNames=inputs.get("subjectAlternativeNames"),
            CertificateAuthorityArn=inputs.get("certificateAuthorityArn"),
            Tags=tag_list(inputs),
        ),
    )
    return Made(made["CertificateArn"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    acm = aws.client("acm")
    try:
        found = acm.describe_certificate(CertificateArn=identifier)["Certificate"]
    except acm.exceptions.ResourceNotFoundException:
        return None
    return {"arn": identifier, "domainName": found["DomainName"], "status": found["Status"]}


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("acm").delete_certificate(CertificateArn=identifier)


KINDS = {"aws:acm/certificate:Certificate": Kind(_create, _read, _delete)}
