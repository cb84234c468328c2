"""Token history from the records that the gateway writes, read in its own schema with the auditor's rights."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.forecast.audit_history import Place, usages_since
from services.forecast.history import HistoryError
from services.gateway.audit.record import NO_HASH, Body, entry, row, timestamp

# The gateway's own fixtures: a real server with the gateway's schema.
from tests.services.gateway.conftest import database_name, postgres
from tests.services.gateway.real_parts import HOST, Postgres

__all__ = ["database_name", "postgres"]

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

ENVIRONMENT = {
    "FORECAST_DATABASE": "db.internal:5432",
    "FORECAST_DATABASE_NAME": "gateway",
    "FORECAST_DATABASE_USER": "gateway_auditor",
    "AWS_REGION": "eu-west-1",
}


async def write(server: Postgres, database: str, records: list[tuple[datetime, str, str, int, int]]) -> None:
    connection = await server.superuser(database)
    chain = uuid4()
    try:
        for seq, (at, kind, model, input_tokens, output_tokens) in enumerate(records):
            body: Body = {"model": model, "input_tokens": input_tokens, "output_tokens": output_tokens}
            made = row(str(chain), seq, NO_HASH, entry(kind, f"request-{seq}", body), timestamp(at))
            await connection.execute(
                "INSERT INTO audit.record (chain, seq, kind, request_id, record, hash) VALUES ($1, $2, $3, $4, $5, $6)",
                *(chain, made.seq, made.kind, made.request_id, made.record, made.hash),
            )
    finally:
        await connection.close()


def place(server: Postgres, database: str, user: str = "gateway_auditor") -> Place:
    return Place(HOST, server.port, database, user, "eu-west-1")


async def test_outcomes_are_summed_by_interval_and_model(postgres: Postgres, database_name: str) -> None:
    records = [
        (NOON, "outcome", "a", 10, 1),
        (NOON + timedelta(minutes=59), "outcome", "a", 20, 2),
        (NOON + HOUR, "outcome", "a", 40, 4),
        (NOON, "outcome", "b", 5, 5),
        (NOON, "intent", "a", 999, 999),
        (NOON - 2 * HOUR, "outcome", "a", 999, 999),
    ]
    await write(postgres, database_name, records)
    found = await asyncio.to_thread(usages_since, place(postgres, database_name), NOON - HOUR, HOUR)
    assert sorted((one.at, one.model, one.input_tokens, one.output_tokens) for one in found) == [
        (NOON, "a", 30, 3),
        (NOON, "b", 5, 5),
        (NOON + HOUR, "a", 40, 4),
    ]


async def test_who_may_not_read_the_records_is_told_so(postgres: Postgres, database_name: str) -> None:
    connection = await postgres.superuser(database_name)
    await connection.execute("REVOKE SELECT ON audit.entry FROM gateway_auditor")
    await connection.close()
    with pytest.raises(HistoryError, match="InsufficientPrivilegeError"):
        await asyncio.to_thread(usages_since, place(postgres, database_name), NOON, HOUR)


def test_database_that_does_not_answer_is_said() -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        usages_since(Place(HOST, 1, "gateway", "gateway_auditor", "eu-west-1"), NOON, HOUR)


def test_place_comes_from_the_environment() -> None:
    assert Place.from_environment(ENVIRONMENT) == Place("db.internal", 5432, "gateway", "gateway_auditor", "eu-west-1")
    assert not Place.from_environment(ENVIRONMENT).loopback
    for name in ENVIRONMENT:
        with pytest.raises(HistoryError, match=f"{name} is not set"):
            Place.from_environment({**ENVIRONMENT, name: ""})
    with pytest.raises(HistoryError, match="must be host:port"):
        Place.from_environment({**ENVIRONMENT, "FORECAST_DATABASE": "db.internal"})
