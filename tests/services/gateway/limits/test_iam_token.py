"""Tokens are what RDS and ElastiCache expect: presigned, for one user, for 15 minutes, without a scheme."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from services.gateway.adapters.iam_token import IamToken, cache_name, cache_token, database_token
from services.gateway.exchange import Unavailable

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret of the task")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session of the task")


def parameters(token: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(f"https://{token}").query).items()}


def test_a_database_token_is_the_one_botocore_makes() -> None:
    client = boto3.Session().client("rds", region_name=REGION)  # not the default session, which may be older
    for _ in range(5):  # until both are of the same second
        ours = database_token(REGION, "db.example", 5432, "gateway").sign()
        theirs = client.generate_db_auth_token(DBHostname="db.example", Port=5432, DBUsername="gateway", Region=REGION)
        if parameters(ours)["X-Amz-Date"] == parameters(theirs)["X-Amz-Date"]:
            break

    assert parameters(ours) == parameters(theirs)
    assert ours.startswith("db.example:5432/?Action=connect&DBUser=gateway")
    assert "secret of the task" not in ours


def test_a_cache_token_is_for_the_name_of_the_cache() -> None:
    token = cache_token(REGION, "master.limits.abc123.euw1.cache.amazonaws.com", "gateway").sign()

    assert token.startswith("limits/?Action=connect&User=gateway&X-Amz-")
    assert parameters(token)["X-Amz-Expires"] == "900"
    assert "/elasticache/aws4_request" in parameters(token)["X-Amz-Credential"]


def test_a_token_for_a_serverless_cache_says_so() -> None:
    token = cache_token(REGION, "limits-prod-abc123.serverless.euw1.cache.amazonaws.com", "gateway").sign()

    assert token.startswith("limits-prod/?")
    assert parameters(token)["ResourceType"] == "ServerlessCache"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("master.limits.abc123.euw1.cache.amazonaws.com", "limits"),
        ("replica.my-limits.abc123.euw1.cache.amazonaws.com", "my-limits"),
        ("clustercfg.limits.abc123.euw1.cache.amazonaws.com", "limits"),
        ("limits-dev-x1y2z3.serverless.euw1.cache.amazonaws.com", "limits-dev"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_the_name_of_a_cache_is_in_its_endpoint(host: str, name: str) -> None:
    assert cache_name(host) == name


async def test_without_credentials_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(Unavailable, match="NoCredentialsError"):
        await IamToken("rds-db", REGION, "db.example:5432", ())()
