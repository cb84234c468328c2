"""The certificates that model proxies show: from our private authority, for hours, renewed by themselves.

A certificate that lives a day needs no revocation. Its key is made in the cluster and never leaves it.
https://cert-manager.io/docs/usage/certificate/ · https://github.com/cert-manager/aws-privateca-issuer
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Room
from components.component import LateComponent
from components.manifest import Manifest, metadata

VALID_H = 24
RENEW_BEFORE_H = 8
ISSUER_GROUP, ISSUER_KIND, ISSUER_NAME = "awspca.cert-manager.io", "AWSPCAClusterIssuer", "private-authority"


class ModelCertificateArgs(TypedDict):
    authority_arn: pulumi.Input[str]
    region: str
    host_name: pulumi.Input[str]
    secret_name: str


class ModelCertificate(LateComponent):
    """Issuer and certificate."""

    certificate: kubernetes.apiextensions.CustomResource

    def __init__(self, name: str, args: ModelCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        issuer = kubernetes.apiextensions.CustomResource(
            "issuer",
            api_version=f"{ISSUER_GROUP}/v1beta1",
            kind=ISSUER_KIND,
            metadata=metadata(ISSUER_NAME),
            spec={"arn": args["authority_arn"], "region": args["region"]},
            opts=self.child(),
        )
        self.certificate = kubernetes.apiextensions.CustomResource(
            "certificate",
            api_version="cert-manager.io/v1",
            kind="Certificate",
            metadata=metadata("model-proxy", Room.MODELS),
            spec=pulumi.Output.from_input(args["host_name"]).apply(
                lambda host_name: certificate(host_name, args["secret_name"])
            ),
            opts=self.child(depends_on=[issuer]),
        )
        self.register_outputs({})


def certificate(host_name: str, secret_name: str) -> Manifest:
    """`spec` of the certificate: this host only, for servers only, a new key each time."""
    return {
        "secretName": secret_name,
        "duration": f"{VALID_H}h0m0s",
        "renewBefore": f"{RENEW_BEFORE_H}h0m0s",
        # AWS Private CA takes the subject as it is asked for, and an empty one is refused by some clients.
        "commonName": host_name,
        "dnsNames": [host_name],
        # Exactly this: with any other usage the issuer asks for another template, which its role may not use.
        "usages": ["server auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "issuerRef": {"group": ISSUER_GROUP, "kind": ISSUER_KIND, "name": ISSUER_NAME},
    }
