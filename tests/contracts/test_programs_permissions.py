"""Permissions granted are calls made: the gateway's code names each action, and no other is allowed to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.programs import captured, of_type, only

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once

ADAPTERS = Path(__file__).resolve().parents[2] / "services" / "gateway" / "adapters"
SDK_CALL = re.compile(r"\b_(s3|sqs|kms)\.(?:get_paginator\(\s*\"(\w+)\"|(\w+)\()")
# Calls of the SDK whose permission has another name, or that need two.
NAMED_OTHERWISE = {
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:GetObject": {"s3:GetObject", "s3:GetObjectVersion"},
}
NO_REQUEST = ("close",)
# Made without an SDK client: tokens of connections, Bedrock and SageMaker over our own HTTP client.
SIGNED_BY_HAND = {
    "rds-db:connect",
    "elasticache:Connect",
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
    "bedrock:ApplyGuardrail",
    "sagemaker:InvokeEndpoint",
    "sagemaker:InvokeEndpointWithResponseStream",
}


def _called() -> set[str]:
    found: set[str] = set()
    for path in ADAPTERS.rglob("*.py"):
        for service, paginated, called in SDK_CALL.findall(path.read_text(encoding="utf-8")):
            if called in NO_REQUEST:
                continue
            action = f"{service}:{''.join(part.title() for part in (paginated or called).split('_'))}"
            found |= NAMED_OTHERWISE.get(action, {action})
    return found


def _granted(*tasks: str) -> Iterator[str]:
    for task in tasks:
        policy = json.loads(only(captured("platform", "prod"), "RolePolicy", f"{task}-permissions").inputs["policy"])
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                yield from statement["Action"]


def test_every_call_is_granted_and_every_grant_is_called() -> None:
    assert len(_called()) > 10
    assert set(_granted("gateway", "gateway-ingest")) == _called() | SIGNED_BY_HAND


def test_ingestion_can_neither_hash_prompts_nor_use_the_chat_model_nor_the_limits() -> None:
    granted = set(_granted("gateway-ingest"))

    assert not granted & {"kms:GenerateMac", "bedrock:ApplyGuardrail", "elasticache:Connect"}


def test_the_migration_may_do_nothing_at_aws() -> None:
    names = {policy.name for policy in of_type(captured("platform", "prod"), "RolePolicy")}

    assert "gateway-migrate-execution-permissions" in names
    assert "gateway-migrate-permissions" not in names


def test_whatever_a_task_calls_passes_an_endpoint() -> None:
    endpoints = of_type(captured("platform", "prod"), "VpcEndpoint")
    passing = {
        action
        for endpoint in endpoints
        for statement in json.loads(endpoint.inputs["policy"])["Statement"]
        for action in statement["Action"]
    }

    assert {"s3:ListBucketVersions", "kms:GenerateMac", "sqs:ReceiveMessage"} <= passing
    # Databases are reached directly: connecting is no call of an AWS API.
    assert _called() | SIGNED_BY_HAND - {"rds-db:connect", "elasticache:Connect"} <= passing
