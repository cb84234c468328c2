"""A private certificate authority for certificates that live hours: nothing to revoke, nothing to steal for long.

Its key never leaves AWS. In short-lived mode it signs for seven days at most, needs no revocation list, and costs
an eighth. https://docs.aws.amazon.com/privateca/latest/userguide/short-lived-certificates.html
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import allow, document

VALID_YEARS = 10
DELETION_WINDOW_DAYS = 30
SIGNING = "SHA384WITHECDSA"
ROOT_TEMPLATE = "arn:aws:acm-pca:::template/RootCACertificate/V1"
# For servers only: whoever asks cannot get a certificate that signs others, or a client's.
SERVER_TEMPLATE = "arn:aws:acm-pca:::template/EndEntityServerAuthCertificate/V1"


class PrivateAuthorityArgs(TypedDict):
    common_name: str
    organization: str


class PrivateAuthority(Component):
    """The authority and its own certificate, which clients trust."""

    arn: pulumi.Output[str]
    certificate: pulumi.Output[str]

    def __init__(self, name: str, args: PrivateAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        authority = aws.acmpca.CertificateAuthority(
            f"{name}-authority",
            type="ROOT",
            usage_mode="SHORT_LIVED_CERTIFICATE",
            key_storage_security_standard="FIPS_140_2_LEVEL_3_OR_HIGHER",
            permanent_deletion_time_in_days=DELETION_WINDOW_DAYS,
            certificate_authority_configuration={
                "key_algorithm": "EC_secp384r1",
                "signing_algorithm": SIGNING,
                "subject": {"common_name": args["common_name"], "organization": args["organization"]},
            },
            opts=self.child(),
        )
        own = aws.acmpca.Certificate(
            f"{name}-certificate",
            certificate_authority_arn=authority.arn,
            certificate_signing_request=authority.certificate_signing_request,
            signing_algorithm=SIGNING,
            template_arn=ROOT_TEMPLATE,
            validity={"type": "YEARS", "value": str(VALID_YEARS)},
            opts=self.child(),
        )
        installed = aws.acmpca.CertificateAuthorityCertificate(
            f"{name}-installed-certificate",
            certificate_authority_arn=authority.arn,
            certificate=own.certificate,
            opts=self.child(),
        )
        # Through what installs it: before that the authority signs nothing.
        self.arn = installed.certificate_authority_arn
        self.certificate = own.certificate
        self.register_outputs({"arn": self.arn})


def issuing_permissions(authority_arn: str) -> str:
    """The certificate controller asks this authority for server certificates, and for no other kind."""
    return document(
        allow(
            "ReadAuthority",
            [
                "acm-pca:DescribeCertificateAuthority",
                "acm-pca:GetCertificate",
            ],
            authority_arn,
        ),
        allow(
            "IssueServerCertificates",
            ["acm-pca:IssueCertificate"],
            authority_arn,
            when={"StringEquals": {"acm-pca:TemplateArn": SERVER_TEMPLATE}},
        ),
    )
