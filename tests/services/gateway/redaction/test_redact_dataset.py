"""`gateway redact-dataset` against an AWS API: from a content bucket into quarantine, with a manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from services.gateway.redact_dataset import Order, redact_dataset
from tests.services.gateway.conftest import REGION, Aws

CANARY = "anna.berg@example.com"
RECORD = {
    "accountId": "333344445555",
    "operation": "Converse",
    "input": {"inputBodyJson": {"text": f"My mail is {CANARY}"}, "inputTokenCount": 5},
}


@pytest.fixture
def s3(aws: Aws) -> Any:  # Any: boto3's clients have no common type
    return boto3.client("s3", region_name=REGION)


@pytest.fixture
def order(aws: Aws, s3: Any) -> Order:
    """Two files of records in the content bucket, and a third that is none of the prefix."""
    content, quarantine = f"{aws.audit_bucket}-content", f"{aws.audit_bucket}-quarantine"
    for bucket in (content, quarantine):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    lines = gzip.compress(f"{json.dumps(RECORD)}\n".encode() * 2)
    for name in ("bedrock/1.json.gz", "bedrock/2.json.gz", "other/3.json.gz"):
        s3.put_object(Bucket=content, Key=name, Body=lines)
    return Order(content, "bedrock/", quarantine, aws.mac_key_arn, "week-47", ["confidential"])


def run(order: Order) -> tuple[int, str]:
    out = io.StringIO()
    return redact_dataset(REGION, order, out), out.getvalue()


def stored(s3: Any, order: Order) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=order.quarantine).get("Contents", [])
    return {one["Key"]: s3.get_object(Bucket=order.quarantine, Key=one["Key"])["Body"].read() for one in found}


def test_d_9_a_run_is_in_quarantine_with_its_manifest(order: Order, s3: Any) -> None:
    code, said = run(order)
    objects = stored(s3, order)
    manifest = json.loads(objects["runs/week-47/manifest.json"])

    assert code == 0, said
    assert set(objects) == {
        f"runs/week-47/{name}" for name in ("part-000000.jsonl", "part-000001.jsonl", "manifest.json")
    }
    assert not [name for name, content in objects.items() if CANARY.encode() in content or b"333344445555" in content]
    assert manifest["source_classes"] == ["confidential"]
    assert set(manifest["tools"]) == {"PersonalDataDetector", "CredentialDetector"}
    assert [one["replaced"] for one in manifest["objects"]] == [{"email_address": 2}] * 2
    assert f"manifest {hashlib.sha256(objects['runs/week-47/manifest.json']).hexdigest()}" in said
    for one in manifest["objects"]:
        assert hashlib.sha256(objects[one["key"]]).hexdigest() == one["sha256"]


def test_d_9_another_run_makes_other_tokens(order: Order, s3: Any) -> None:
    run(order)
    run(replace(order, run="week-48"))
    objects = stored(s3, order)

    assert objects["runs/week-47/part-000000.jsonl"] != objects["runs/week-48/part-000000.jsonl"]
    assert objects["runs/week-47/part-000000.jsonl"] == objects["runs/week-47/part-000001.jsonl"]


def test_what_cannot_be_read_is_withheld_and_named(order: Order, s3: Any) -> None:
    s3.put_object(Bucket=order.source, Key="bedrock/3.bin", Body=CANARY.encode())
    code, said = run(order)

    assert code == 1
    assert "WITHHELD runs/week-47/part-000002.jsonl: Unreadable" in said
    assert CANARY not in said
    assert "runs/week-47/part-000002.jsonl" not in stored(s3, order)


def test_an_empty_prefix_is_no_success(order: Order) -> None:
    code, said = run(replace(order, prefix="nothing/"))

    assert code == 1
    assert "0 objects redacted" in said


def test_a_bucket_that_is_not_there_is_said_without_what_was_sent(order: Order) -> None:
    code, said = run(replace(order, source="no-such-bucket-anywhere"))

    assert (code, said) == (1, "FAILED ListObjectsV2: NoSuchBucket\n")
