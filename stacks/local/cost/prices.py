"""The dated price table: `prices.json`, read strictly."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("prices.json")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Row):
    usd: Decimal
    unit: str


class Assumed(_Row):
    """How much is stored and written while nobody asks anything: not in the graph, so said here."""

    log_group_gb_per_month: Decimal
    bucket_gb: Decimal
    image_gb: Decimal
    database_gb: Decimal
    vended_log_gb_per_month: Decimal
    cache_gb: Decimal
    container_insights_metrics: Decimal


class Prices(_Row):
    as_of: dt.date
    region: str
    currency: str
    hours_per_month: Decimal
    note: str
    prices: dict[str, Price]
    assumed: Assumed
    not_included: tuple[str, ...]
    """What comes with use and is in no figure here."""
    by_use: dict[str, str]
    """Types that cost nothing while idle, and what they are charged by."""
    free: tuple[str, ...]
    """Types that AWS does not charge for; what they hold or lead to is charged elsewhere."""


@cache
def noted() -> Prices:
    """The table of this folder."""
    return Prices.model_validate(json.loads(_FILE.read_text(encoding="utf-8")))
