"""A workload's registration: what it may do at the gateway, as a signed document with its templates beside it.

The signature is KMS's authenticated encryption of the document's digest: who may encrypt under the
registration key with this workload's encryption context may speak for this workload, and nobody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class WorkloadRegistrationArgs(TypedDict):
    workload: str
    environment: str
    bucket: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    document: pulumi.Input[str]
    templates: Mapping[str, str]


class WorkloadRegistration(Component):
    """Template objects, signature, registration object: in that order, so that the gateway never misses one."""

    object_key: str

    def __init__(self, name: str, args: WorkloadRegistrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        templates = [self._template(role, text, args) for role, text in args["templates"].items()]
        written = pulumi.Output.from_input(args["document"])
        signature = aws.kms.Ciphertext(
            f"{name}-signature",
            key_id=args["key_arn"],
            plaintext=written.apply(digest),
            context=signing_context(args["workload"], args["environment"]),
            opts=self.child(),
        )
        self.object_key = f"registrations/{args['workload']}.json"
        aws.s3.BucketObject(
            f"{name}-document",
            bucket=args["bucket"],
            key=self.object_key,
            content_type="application/json",
            content=pulumi.Output.all(written, signature.ciphertext_blob).apply(lambda known: sealed(*known)),
            opts=self.child(depends_on=templates),
        )
        self.register_outputs({"objectKey": self.object_key})

    def _template(self, name: str, text: str, args: WorkloadRegistrationArgs) -> aws.s3.BucketObject:
        """An object named by its content. It stays when the next one comes: old answers can be explained."""
        return aws.s3.BucketObject(
            f"{name}-template",
            bucket=args["bucket"],
            key=template_key(args["workload"], text),
            content_type="application/toml",
            content=text,
            opts=self.child(retain_on_delete=True),
        )


def digest(text: str) -> str:
    """sha256:<64 hex> of the text's bytes."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def template_key(workload: str, text: str) -> str:
    return f"templates/{workload}/{digest(text).removeprefix('sha256:')}.toml"


def signing_context(workload: str, environment: str) -> dict[str, str]:
    """Bound to the signature: a document of one workload or environment is worth nothing for another."""
    return {"purpose": "registration", "workload": workload, "environment": environment}


def canonical(document: Mapping[str, object]) -> str:
    """One text for one document: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sealed(document: str, signature: str) -> str:
    """The object that the gateway reads."""
    return canonical({"document": document, "signature": signature})
