"""History from the gateway's audit records: each `outcome` says which model was asked and how many tokens it took.

(The ledger holds money and no tokens.) Read as `gateway_auditor`, who may read these records and change nothing.
Settings: FORECAST_DATABASE (host:port), FORECAST_DATABASE_NAME, FORECAST_DATABASE_USER, AWS_REGION. The password is
an IAM token; TLS 1.3 with verification, except to loopback.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import boto3

from services.forecast.history import HistoryError, Usage

CONNECT_DEADLINE_S = 10
QUERY_DEADLINE_S = 300

# Summed by the server, in intervals that begin where ours do (the epoch).
QUERY = """
SELECT date_bin($1, written_at, 'epoch'::timestamptz) AS at, body ->> 'model' AS model,
    sum((body ->> 'input_tokens')::bigint)::bigint AS input_tokens,
    sum((body ->> 'output_tokens')::bigint)::bigint AS output_tokens
FROM audit.entry
WHERE kind = 'outcome' AND written_at >= $2
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the audit records are and who reads them."""

    host: str
    port: int
    database: str
    user: str
    region: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Place:
        def text(name: str) -> str:
            if not environ.get(name):
                raise HistoryError(f"{name} is not set")
            return environ[name]

        host, _, port = text("FORECAST_DATABASE").rpartition(":")
        if not host or not port.isdigit():
            raise HistoryError("FORECAST_DATABASE must be host:port")
        name, user = text("FORECAST_DATABASE_NAME"), text("FORECAST_DATABASE_USER")
        return cls(host.strip("[]"), int(port), name, user, text("AWS_REGION"))

    @property
    def loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def usages_since(place: Place, since: datetime, interval: timedelta) -> list[Usage]:
    """Sums by interval and model. For the command line: runs its own event loop."""
    try:
        return asyncio.run(_usages_since(place, since, interval))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise HistoryError(f"the audit records cannot be read: {type(error).__name__}") from None


async def _usages_since(place: Place, since: datetime, interval: timedelta) -> list[Usage]:
    connection = await asyncpg.connect(
        host=place.host,
        port=place.port,
        database=place.database,
        user=place.user,
        password=_token(place),
        ssl=False if place.loopback else _tls13(),
        timeout=CONNECT_DEADLINE_S,
        server_settings={"application_name": "forecast", "default_transaction_read_only": "on"},
    )
    try:
        rows = await connection.fetch(QUERY, interval, since, timeout=QUERY_DEADLINE_S)
    finally:
        connection.terminate()
    return [Usage(row["at"], row["model"], row["input_tokens"], row["output_tokens"]) for row in rows]


def _token(place: Place) -> str:
    if place.loopback:
        return "not asked for by a local server"
    return str(boto3.client("rds", region_name=place.region).generate_db_auth_token(place.host, place.port, place.user))


def _tls13() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("PGSSLROOTCERT"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
