"""Publishes a registration as a workload's program does: signed under the platform's key, in the bucket."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import boto3

REGION: Final = "eu-west-1"
TEMPLATE = '''\
id = "answer"
version = "1"
citations = true
system = """
Answer from these passages. Today is {today}.
{context}"""
'''
LIMITS = {
    "requests_per_minute": 100_000,
    "input_tokens_per_minute": 100_000_000,
    "output_tokens_per_minute": 100_000_000,
    "concurrent_requests_max": 1_000,
    "input_tokens_max": 100_000,
    "output_tokens_max": 256,
}


def document(template: str = TEMPLATE) -> dict[str, Any]:
    """A registration that holds, to be changed by tests."""
    digest = sha256(template.encode()).hexdigest()
    role = {
        "template": {
            "id": "answer",
            "digest": f"sha256:{digest}",
            "key": f"templates/document-assistant/{digest}.toml",
        },
        "models": ["local", "minilm"],
        "collections": ["handbook"],
        "tools": {"weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
        "limits": LIMITS,
        "budget": {"usd_per_day_user": "1000", "usd_per_day_workload": "100000"},
    }
    load = copy.deepcopy(role) | {"collections": [], "tools": {}}
    return {
        "version": 1,
        "workload": "document-assistant",
        "environment": "local",
        "data_class": "confidential",
        "boundary": "self_hosted",
        "claims": {"workload": "document-assistant"},
        "tenants": ["acme", "globex"],
        "key_arn": "arn:aws:kms:eu-west-1:123456789012:key/workload",
        "documents": {
            "bucket": "b",
            "queue_url": "https://q.invalid/q",
            "dead_letter_queue_url": "https://q.invalid/d",
        },
        "roles": {"analyst": role, "load": load},
    }


@dataclass(frozen=True)
class Registry:
    """The registration bucket and key of one environment."""

    bucket: str
    key_arn: str

    def publish(self, content: dict[str, Any] | None = None, **changes: Any) -> None:
        """Signs and stores a registration and its template."""
        text = changes.pop("text", None) or json.dumps(content or document())
        signature = changes.pop("signature", None) or self.sign(text, **changes.pop("context", {}))
        self.put("registrations/document-assistant.json", json.dumps({"document": text, "signature": signature}))
        template = changes.pop("template", TEMPLATE)
        digest = sha256(TEMPLATE.encode()).hexdigest()
        self.put(f"templates/document-assistant/{digest}.toml", template)
        assert not changes

    def sign(self, text: str, key_arn: str | None = None, **context: str) -> str:
        base = {"purpose": "registration", "workload": "document-assistant", "environment": "local"}
        answer = boto3.client("kms", region_name=REGION).encrypt(
            KeyId=key_arn or self.key_arn,
            Plaintext=f"sha256:{sha256(text.encode()).hexdigest()}".encode(),
            EncryptionContext=base | context,
        )
        return base64.b64encode(answer["CiphertextBlob"]).decode()

    def put(self, key: str, content: str) -> None:
        boto3.client("s3", region_name=REGION).put_object(Bucket=self.bucket, Key=key, Body=content.encode())

    def withdraw(self) -> None:
        boto3.client("s3", region_name=REGION).delete_object(
            Bucket=self.bucket, Key="registrations/document-assistant.json"
        )


def new_registry(bucket: str) -> Registry:
    """A bucket and a key; AWS settings are in the environment."""
    boto3.client("s3", region_name=REGION).create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    key_arn = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    return Registry(bucket, key_arn)
