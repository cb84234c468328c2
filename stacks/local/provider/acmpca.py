"""Private certificate authorities: moto really signs, so a chain can be checked. It keeps no usage mode."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel, given, left_to_owner, pascal, tag_list


def _create(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("acm-pca").create_certificate_authority(
        CertificateAuthorityConfiguration=pascal(inputs["certificateAuthorityConfiguration"]),
        CertificateAuthorityType=inputs.get("type") or "SUBORDINATE",
        **given(
            KeyStorageSecurityStandard=inputs.get("keyStorageSecurityStandard"),
            UsageMode=inputs.get("usageMode"),
            Tags=tag_list(inputs),
        ),
    )
    return Made(answer["CertificateAuthorityArn"])


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    authorities = aws.client("acm-pca")
    try:
        found = authorities.describe_certificate_authority(CertificateAuthorityArn=identifier)["CertificateAuthority"]
    except authorities.exceptions.ResourceNotFoundException:
        return None
    if found["Status"] == "DELETED":
        return None
    request = authorities.get_certificate_authority_csr(CertificateAuthorityArn=identifier)["Csr"]
    return {
        "arn": identifier,
        "type": found["Type"],
        "certificateAuthorityConfiguration": camel(found["CertificateAuthorityConfiguration"]),
        "certificateSigningRequest": request,
    }


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    authorities = aws.client("acm-pca")
    authorities.update_certificate_authority(CertificateAuthorityArn=identifier, Status="DISABLED")
    authorities.delete_certificate_authority(CertificateAuthorityArn=identifier)


def _issue(aws: Aws, inputs: Inputs) -> Made:
    validity = inputs["validity"]
    answer = aws.client("acm-pca").issue_certificate(
        CertificateAuthorityArn=inputs["certificateAuthorityArn"],
        Csr=inputs["certificateSigningRequest"].encode(),
        SigningAlgorithm=inputs["signingAlgorithm"],
        Validity={"Type": validity["type"], "Value": int(validity["value"])},
        **given(TemplateArn=inputs.get("templateArn")),
    )
    return Made(answer["CertificateArn"])


def _read_issued(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("acm-pca").get_certificate(
        CertificateAuthorityArn=inputs["certificateAuthorityArn"], CertificateArn=identifier
    )
    return given(arn=identifier, certificate=found["Certificate"], certificateChain=found.get("CertificateChain"))


def _install(aws: Aws, inputs: Inputs) -> Made:
    authority = inputs["certificateAuthorityArn"]
    aws.client("acm-pca").import_certificate_authority_certificate(
        CertificateAuthorityArn=authority,
        Certificate=inputs["certificate"].encode(),
        **given(CertificateChain=(inputs.get("certificateChain") or "").encode() or None),
    )
    return Made(authority)


def _read_installed(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("acm-pca").get_certificate_authority_certificate(CertificateAuthorityArn=identifier)
    return {"certificateAuthorityArn": identifier, "certificate": found["Certificate"]}


KINDS = {
    "aws:acmpca/certificateAuthority:CertificateAuthority": Kind(_create, _read, _delete),
    "aws:acmpca/certificate:Certificate": Kind(_issue, _read_issued, left_to_owner),
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate": Kind(
        _install, _read_installed, left_to_owner
    ),
}
